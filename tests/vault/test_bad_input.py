"""Whatever is given wrong is refused in a sentence, and the vault is as it was."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from strongbax.vault import (
    AlreadyExistsError,
    ClosedError,
    CorruptionError,
    Ends,
    Episode,
    FormatError,
    LockedError,
    NotFoundError,
    StrongbaxError,
    Vault,
)

F = np.float32
STEP = {"observation": np.zeros(2, F), "reward": F(0), "terminated": np.bool_(0)}
NAN = float("nan")


def steps(count: int, **changes: Any) -> dict[str, Any]:
    plain = {
        "observation": np.ones((count, 2), F),
        "reward": np.ones(count, F),
        "terminated": np.arange(count) == count - 1,
    }
    return {name: values for name, values in (plain | changes).items() if values is not None}


@pytest.fixture
def vault(tmp_path):
    """A vault of two episodes, seven steps, some sealed, some in the log."""
    with Vault.create(tmp_path / "a.vault", steps=STEP, columns={"seed": np.int64}, block=4) as vault:
        vault.append([Episode(steps(5)), Episode(steps(2))])
        yield vault
        vault.append(Episode(steps(1)))  # whatever was refused, it goes on
        assert vault.length == 8
        assert vault.verify().problems == []


def ends(stop: list[Any], **changes: Any) -> Ends:
    flags = np.ones(len(stop), np.bool_)
    return Ends(**({"stop": np.array(stop), "terminated": flags, "truncated": ~flags} | changes))


APPENDED: dict[str, tuple[Any, type[Exception], list[str]]] = {
    "a leaf is missing": (
        Episode(steps(2, reward=None)),
        ValueError,
        ["must have the vault's leaves ['observation', 'reward', 'terminated']", "missing ['reward']"],
    ),
    "a leaf too many": (Episode(steps(2, action=np.ones(2))), ValueError, ["not in the vault ['action']"]),
    "another dtype": (
        Episode(steps(2, reward=np.ones(2, np.float64))),
        ValueError,
        ["'reward' of `episode.steps` must be float32 [] a step", "got float64 []", "Convert it"],
    ),
    "another shape": (
        Episode(steps(2, observation=np.ones((2, 3), F))),
        ValueError,
        ["'observation' of `episode.steps` must be float32 [2] a step", "got float32 [3]"],
    ),
    "no axis of time": (
        Episode(steps(2, reward=F(1))),
        ValueError,
        ["'reward' of `episode.steps` must have an axis of time: got a scalar"],
    ),
    "unequal lengths": (
        Episode(steps(2, reward=np.ones(3, F))),
        ValueError,
        ["The leaves of `episode.steps` must have one length", "'reward': 3"],
    ),
    "no pytree of arrays": (Episode("steps"), ValueError, ["must have the vault's leaves"]),
    "a final of another shape": (
        Episode(steps(2), final={"observation": np.ones(3, F)}),
        ValueError,
        ["'observation' of `episode.final` must be float32 [2]", "got float32 [3]"],
    ),
    "a final of another leaf": (
        Episode(steps(2), final={"reward": F(1)}),
        ValueError,
        ["`final` must have the leaves ['observation']", "got ['reward']"],
    ),
    "an unknown column": (
        Episode(steps(2), columns={"seeds": 1}),
        ValueError,
        ["The columns ['seeds'] are not in the vault", "Declare them with `Vault.create(columns=...)`"],
    ),
    "a column of another kind": (
        Episode(steps(2), columns={"seed": "seven"}),
        ValueError,
        ["seed", "int64"],
    ),
    "a column that does not fit": (Episode(steps(2), columns={"seed": 1.5}), ValueError, ["seed", "int64"]),
    "attributes with NaN": (
        Episode(steps(2), attributes={"a": [1, NAN]}),
        ValueError,
        ["`attributes` must be what JSON can hold", "NaN into None"],
    ),
    "attributes of objects": (
        Episode(steps(2), attributes={"a": np.ones(2)}),
        ValueError,
        ["`attributes` must be what JSON can hold", "Turn arrays into lists"],
    ),
    "attributes that are no dict": (Episode(steps(2), attributes=[1]), ValueError, ["`attributes`"]),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", APPENDED)
def test_wrong_episodes_are_refused(vault, name):
    """An episode that does not fit is refused with what was wanted and what came, alone or among others."""
    episode, error, said = APPENDED[name]
    for items in (episode, [Episode(steps(3)), episode]):
        with pytest.raises(error) as caught:
            vault.append(items)
        assert [part for part in said if part not in str(caught.value)] == []
    assert (vault.length, vault.num_episodes) == (7, 2)


def test_text_that_is_too_long_for_a_column_is_refused(tmp_path):
    """A column's text is not cut short silently."""
    with Vault.create(tmp_path / "a.vault", steps=STEP, columns={"task": "U3"}) as vault:
        vault.append(Episode(steps(1), columns={"task": "abc"}))
        with pytest.raises(ValueError, match="'task'"):
            vault.append(Episode(steps(1), columns={"task": "abcd"}))
        assert vault.episodes["task"].tolist() == ["abc"]


EXTENDED: dict[str, tuple[Any, list[str]]] = {
    "beyond the block": (ends([4]), ["`ends.stop` must rise within 0 and the block's 3 steps: got [4]"]),
    "negative": (ends([-1]), ["`ends.stop` must rise within 0"]),
    "falling": (ends([2, 1]), ["`ends.stop` must rise within 0", "got [2, 1]"]),
    "fewer flags": (ends([1, 2], terminated=np.ones(1, bool)), ["names 2 stops", "'terminated': 1"]),
    "finals of one": (
        ends([1, 2], final={"observation": np.zeros((1, 2), F)}),
        ["names 2 stops", "'observation': 1"],
    ),
    "finals of no leaf": (ends([1], final={"obs": np.zeros((1, 2), F)}), ["`final` names the leaf 'obs'"]),
    "finals of a dtype": (
        ends([1], final={"observation": np.zeros((1, 2))}),
        ["'observation' of `final` must be float32 [2]", "got float64 [2]"],
    ),
    "knowledge of one": (ends([1, 2], final_known=np.ones(1, bool)), ["names 2 stops", "'final_known': 1"]),
    "columns of one": (ends([1, 2], columns={"seed": np.zeros(1, int)}), ["names 2 stops", "'seed': 1"]),
    "columns unknown": (ends([1], columns={"sead": np.zeros(1, int)}), ["The columns ['sead'] are not"]),
    "attributes of one": (ends([1, 2], attributes=[{}]), ["names 2 stops", "'attributes': 1"]),
    "attributes with NaN": (ends([1], attributes=[{"a": NAN}]), ["`attributes` must be what JSON can hold"]),
    "stops that are no integers": (ends([1.5]), ["`ends.stop`", "float64"]),
}


@pytest.mark.parametrize("name", EXTENDED)
def test_wrong_ends_are_refused(vault, name):
    """Ends that do not fit the block are refused, and not a step of it is committed."""
    given, said = EXTENDED[name]
    with pytest.raises(ValueError) as caught:
        vault.extend(steps(3), given)
    assert [part for part in said if part not in str(caught.value)] == []
    assert (vault.length, vault.num_episodes) == (7, 2)


CREATED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "neither steps nor like": ({"steps": None}, ["Give either `steps`, an example of one step, or `like`"]),
    "no streams": ({"streams": 0}, ["`streams` must be at least 1: got 0"]),
    "a block of 6": ({"block": 6}, ["`block` must be a power of two: got 6"]),
    "a block of 0": ({"block": 0}, ["`block` must be a power of two: got 0"]),
    "a codec": (
        {"codec": "zip"},
        ["`codec` must be one of ['none', 'zstd', 'gzip', 'lz4', 'blosc']", "'zip'"],
    ),
    "a leaf's codec": ({"codec": {"reward": "zip"}}, ["`codec` must be one of", "got 'zip'"]),
    "a codec's leaf": (
        {"codec": {"rewards": "zstd"}},
        ["`codec` names the leaf 'rewards'", "['observation', 'reward', 'terminated']"],
    ),
    "a role": (
        {"roles": {"terminal": "reward"}},
        ["`roles` may name ['reward', 'terminated',", "'terminal'"],
    ),
    "a role's leaf": ({"roles": {"done": "dones"}}, ["`roles` gives 'done' to the leaf 'dones'", "'reward'"]),
    "finals": ({"finals": ["obs"]}, ["`finals` names 'obs', which no leaf has", "'observation'"]),
    "a column of ours": ({"columns": {"length": int}}, ["`columns` names must be identifiers", "'length'"]),
    "a column's name": ({"columns": {"a/b": int}}, ["`columns` names must be identifiers", "'a/b'"]),
    "attributes with NaN": ({"attributes": {"a": NAN}}, ["`attributes` must be what JSON can hold"]),
    "attributes of objects": ({"attributes": {"a": object()}}, ["`attributes` must be what JSON can hold"]),
}


@pytest.mark.parametrize("name", CREATED)
def test_wrong_vaults_are_not_made(tmp_path, name):
    """Arguments that do not fit make no vault, and leave nothing behind."""
    arguments, said = CREATED[name]
    with pytest.raises(ValueError) as caught:
        Vault.create(tmp_path / "a.vault", **({"steps": STEP} | arguments))
    assert [part for part in said if part not in str(caught.value)] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["O", "no such dtype", "i4,f4"])
def test_columns_without_a_dtype_are_refused(tmp_path, dtype):
    """A column whose dtype cannot be stored makes no vault."""
    with pytest.raises(TypeError):
        Vault.create(tmp_path / "a.vault", steps=STEP, columns={"a": dtype})
    assert list(tmp_path.iterdir()) == []


def test_what_stands_there_is_not_replaced(tmp_path, vault):
    """A vault, a file and a folder with something in it stay as they are; an empty folder may be filled."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AlreadyExistsError, match=r"Open it with `Vault\.open") as caught:
        Vault.create(vault.path, steps=STEP)
    assert isinstance(caught.value, FileExistsError)
    for name in ("file", "folder"):
        for overwrite in (False, True):
            with pytest.raises(AlreadyExistsError, match="It is not a vault; choose another path"):
                Vault.create(tmp_path / name, steps=STEP, overwrite=overwrite)
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "x").read_text() == "x"
    Vault.create(tmp_path / "empty", steps=STEP).close()
    assert Vault.open(tmp_path / "empty").num_steps == 0


def test_a_vault_is_overwritten_when_asked(tmp_path):
    """overwrite=True replaces a vault, but not one that is being written."""
    path = tmp_path / "a.vault"
    with Vault.create(path, steps=STEP) as vault:
        vault.append(Episode(steps(3)))
        with pytest.raises(LockedError, match="is being written by process"):
            Vault.create(path, steps=STEP, overwrite=True)
        assert vault.num_steps == 3
    Vault.create(path, steps={"x": F(0)}, overwrite=True).close()
    assert Vault.open(path).leaves == ("x",)
    assert [item.name for item in tmp_path.iterdir()] == ["a.vault"]


@pytest.mark.parametrize("mode", ["r", "a"])
def test_what_is_no_vault_is_not_opened(tmp_path, mode):
    """A path that is nothing, a file, an empty folder, or another Zarr node is named for what it is."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    zarr.create_group(tmp_path / "group", attributes={"mine": 1})
    zarr.create_array(tmp_path / "array", shape=(3,), dtype="f4")
    for name, what in (
        ("nothing", "nothing is there"),
        ("file", "it is a file"),
        ("empty", "it has no zarr.json"),
    ):
        with pytest.raises(NotFoundError, match=what) as caught:
            Vault.open(tmp_path / name, mode=mode)
        assert "Make one with `Vault.create`" in str(caught.value)
        assert isinstance(caught.value, FileNotFoundError)
    for name in ("group", "array"):
        with pytest.raises(FormatError, match="is a Zarr node but not a vault"):
            Vault.open(tmp_path / name, mode=mode)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["array", "empty", "file", "group"]
    assert list((tmp_path / "empty").iterdir()) == []


DOCUMENTS = ["[]", "1", '"text"', "null", "{}", '{"attributes": []}', '{"attributes": {"strongbax": 1}}']


@pytest.mark.parametrize("text", DOCUMENTS)
def test_foreign_documents_are_no_vaults(tmp_path, text):
    """Any JSON in zarr.json that is not a vault's is said to be none."""
    (tmp_path / "zarr.json").write_text(text)
    with pytest.raises(FormatError, match="not a vault"):
        Vault.open(tmp_path)


@pytest.mark.parametrize("version", [2, 99, "2", None])
def test_other_formats_are_not_read(tmp_path, version):
    """A vault of a format that this version does not know is refused with the version it needs."""
    path = tmp_path / "a.vault"
    Vault.create(path, steps=STEP).close()
    document = json.loads((path / "zarr.json").read_bytes())
    document["attributes"]["strongbax"]["format"] = version
    (path / "zarr.json").write_text(json.dumps(document))
    for mode in ("r", "a"):
        with pytest.raises(
            FormatError, match=f"of format {version!r}, this version reads format 1"
        ) as caught:
            Vault.open(path, mode=mode)
        assert "pip install --upgrade strongbax" in str(caught.value)


@pytest.mark.parametrize("how", ["empty", "half", "one byte less", "a flipped bit", "binary"])
def test_a_damaged_root_is_said_to_be_damaged(tmp_path, how):
    """A root that is cut short or flipped anywhere is never read as if it were whole."""
    path = tmp_path / "a.vault"
    Vault.create(path, steps=STEP).close()
    data = (path / "zarr.json").read_bytes()
    at = data.index(b'"length": 0') + len(b'"length": ')
    damaged = {
        "empty": b"",
        "half": data[: len(data) // 2],
        "one byte less": data[:-1],
        "a flipped bit": data[:at] + b"8" + data[at + 1 :],
        "binary": b"\xff\x00\xfe" * 99,
    }[how]
    (path / "zarr.json").write_bytes(damaged)
    for mode in ("r", "a"):
        with pytest.raises(CorruptionError, match="restore that file from a copy") as caught:
            Vault.open(path, mode=mode)
        assert "zarr.json" in str(caught.value)
        assert isinstance(caught.value, OSError)


def test_modes_are_two(tmp_path):
    """A mode that is neither 'r' nor 'a' is refused before anything is touched."""
    for mode in ("w", "rb", "", None):
        with pytest.raises(ValueError, match="`mode` must be 'r' to read or 'a' to append: got"):
            Vault.open(tmp_path / "nothing", mode=mode)


def test_the_way_of_a_gap_is_one_of_two(vault):
    """`on_gap` is 'error' or 'record'."""
    with pytest.raises(ValueError, match="`on_gap` must be 'error' or 'record': got 'ignore'"):
        vault.write(None, on_gap="ignore")


READS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "stop beyond": ({"stop": 8}, ["must rise within the vault's 7 steps: got (0, 8)"]),
    "start beyond": ({"start": 8}, ["must rise within the vault's 7 steps"]),
    "below": ({"start": -8}, ["must rise within the vault's 7 steps"]),
    "falling": ({"start": 5, "stop": 4}, ["must rise within the vault's 7 steps: got (5, 4)"]),
    "more timesteps": ({"timesteps": 8}, ["`timesteps` must be between 0 and the vault's 7 steps: got 8"]),
    "fewer timesteps": ({"timesteps": -1}, ["`timesteps` must be between 0"]),
    "percentiles": ({"percentiles": (50, 101)}, ["`percentiles` must rise within 0 and 100: got (50, 101)"]),
    "falling percentiles": ({"percentiles": (60, 40)}, ["`percentiles` must rise within 0 and 100"]),
    "two ways": ({"timesteps": 3, "start": 1}, ["Give `start` and `stop`, or `timesteps`, or `percentiles`"]),
    "two other ways": ({"timesteps": 3, "percentiles": (0, 50)}, ["got more than one of them"]),
    "an unknown leaf": ({"leaves": ["rewards"]}, ["There is no leaf 'rewards'", "'reward'"]),
    "streams beyond": ({"streams": slice(0, 2)}, ["`streams` must be a run within the vault's 1 streams"]),
    "streams with a step": ({"streams": slice(0, 1, 2)}, ["`streams` must be a run within"]),
    "no streams": ({"streams": slice(0, 0)}, ["`streams` must be a run within"]),
}


@pytest.mark.parametrize("name", READS)
def test_reading_what_is_not_there_is_refused(vault, name):
    """What lies outside the vault is refused, saying what there is."""
    arguments, said = READS[name]
    with pytest.raises(ValueError) as caught:
        vault.read_numpy(**arguments)
    assert [part for part in said if part not in str(caught.value)] == []


def test_reading_nothing_and_from_the_end(vault):
    """An empty range is empty, negative steps count from the end, percentiles are of the length."""
    whole = vault.read_numpy()["terminated"]
    for arguments, expected in (
        ({"start": 3, "stop": 3}, whole[:, :0]),
        ({"start": 7}, whole[:, :0]),
        ({"timesteps": 0}, whole[:, :0]),
        ({"start": -2}, whole[:, 5:]),
        ({"stop": -2}, whole[:, :5]),
        ({"timesteps": 3}, whole[:, 4:]),
        ({"percentiles": (0, 50)}, whole[:, :3]),
        ({"percentiles": (50, 100)}, whole[:, 3:]),
    ):
        assert np.array_equal(vault.read_numpy(**arguments)["terminated"], expected)


def test_episodes_out_of_range(vault):
    """An episode that is not there is an IndexError that says how many are."""
    for place in (2, -3):
        with pytest.raises(IndexError, match=f"There is no episode {place}: the vault holds 2"):
            vault[place]


def test_what_is_closed_is_closed(tmp_path):
    """Every use of a closed vault says that it is closed; closing twice is harmless; readers do not write."""
    path = tmp_path / "a.vault"
    vault = Vault.create(path, steps=STEP)
    vault.append(Episode(steps(2)))
    vault.close()
    vault.close()
    assert repr(vault) == f"Vault({str(path)!r}, closed)"
    for use in (
        lambda: vault.length,
        lambda: vault.episodes,
        lambda: vault[0],
        vault.read_numpy,
        vault.read,
        vault.refresh,
        vault.seal,
        lambda: vault.append(Episode(steps(1))),
        lambda: vault.extend(steps(1)),
        lambda: vault.write(None),
        lambda: vault.write_card({}),
    ):
        with pytest.raises(ClosedError, match=r"is closed\. Open it again with `Vault.open`"):
            use()
    reader = Vault.open(path)
    for use in (
        reader.seal,
        lambda: reader.append(Episode(steps(1))),
        lambda: reader.extend(steps(1)),
        lambda: reader.write_card({}),
    ):
        with pytest.raises(ClosedError, match=r"open for reading\. Open it with mode='a' to write"):
            use()
    assert reader.num_steps == 2


def test_several_streams_are_not_appended_to(tmp_path):
    """`append` and `extend` want one stream, and say what to do with several."""
    with Vault.create(tmp_path / "a.vault", steps=STEP, streams=2) as vault:
        for verb in ("append", "extend"):
            with pytest.raises(ValueError, match=f"`{verb}` wants a vault of one stream: this one has 2"):
                getattr(vault, verb)(Episode(steps(1)) if verb == "append" else steps(1))


def test_a_second_writer_is_refused(tmp_path):
    """One writer at a time: a second says who holds it, and readers are not in the way."""
    path = tmp_path / "a.vault"
    with Vault.create(path, steps=STEP) as vault:
        with pytest.raises(LockedError, match="one writer at a time") as caught:
            Vault.open(path, mode="a")
        assert isinstance(caught.value, BlockingIOError)
        assert Vault.open(path).num_steps == 0
        vault.append(Episode(steps(2)))
    Vault.open(path, mode="a").close()


@pytest.mark.parametrize("buffer", [None, 3, "buffer", object()])
def test_only_buffers_are_loaded_into(tmp_path, buffer):
    """Loading into something that is no buffer is a TypeError that says so."""
    with Vault.create(tmp_path / "a.vault", steps=STEP) as vault:
        vault.append(Episode(steps(2)))
        with pytest.raises(TypeError, match="`buffer` must"):
            vault.load(buffer)


def test_errors_are_one_family():
    """Every error of ours is caught by StrongbaxError."""
    for error in (AlreadyExistsError, ClosedError, CorruptionError, FormatError, LockedError, NotFoundError):
        assert issubclass(error, StrongbaxError)


def test_paths_may_be_text_and_begin_at_home(tmp_path, monkeypatch):
    """A path is text or Path, `~` is the home folder, and missing parents are made."""
    monkeypatch.setenv("HOME", str(tmp_path))
    Vault.create("~/runs/a.vault", steps=STEP).close()
    assert Vault.open(str(tmp_path / "runs" / "a.vault")).path == Path(tmp_path / "runs" / "a.vault")


def test_facts_are_kept(tmp_path):
    """Attributes stay as given, a card is replaced, and both survive reopening."""
    facts = {"name": "öß→", "nested": {"a": [1, None, {"b": 2.5}]}, "crc32c": "00000000", "strongbax": {}}
    with Vault.create(tmp_path / "a.vault", steps=STEP, attributes=facts) as vault:
        vault.write_card({"version": 1})
        vault.write_card(facts)
        with pytest.raises(ValueError, match="`card` must be what JSON can hold"):
            vault.write_card({"a": NAN})
        assert vault.attributes == vault.card == facts
    reader = Vault.open(tmp_path / "a.vault")
    assert reader.attributes == reader.card == facts
