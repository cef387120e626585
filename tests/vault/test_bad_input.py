"""Whatever is given wrong is refused in a sentence, and the vault is as it was."""

from typing import Any

import numpy as np
import pytest
import strongbax.buffer as fbx
from strongbax.vault import Ends, Episode, Vault

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


def test_several_streams_are_not_appended_to(tmp_path):
    """`append` and `extend` want one stream, and say what to do with several."""
    with Vault.create(tmp_path / "a.vault", steps=STEP, streams=2) as vault:
        for verb in ("append", "extend"):
            with pytest.raises(ValueError, match=f"`{verb}` wants a vault of one stream: this one has 2"):
                getattr(vault, verb)(Episode(steps(1)) if verb == "append" else steps(1))


@pytest.mark.parametrize("buffer", [None, 3, "buffer", object()])
def test_only_buffers_are_loaded_into(tmp_path, buffer):
    """Loading into something that is no buffer is a TypeError that says so."""
    with Vault.create(tmp_path / "a.vault", steps=STEP) as vault:
        vault.append(Episode(steps(2)))
        with pytest.raises(TypeError, match="`buffer` must"):
            vault.load(buffer)


def test_what_is_mistaken_for_something_else_is_told(vault, tmp_path):
    """A step for a state, a state for a step, and steps for an episode are named, with where they belong."""
    ring = fbx.make_trajectory_buffer(1, 1, 1, 1, 1, max_length_time_axis=4).init(STEP)
    for call, said in (
        (lambda: Vault.create(tmp_path / "b.vault", like=STEP), "`like` must be .* got dict. .* `steps=`"),
        (lambda: Vault.create(tmp_path / "b.vault", steps=ring), "got a buffer's state. Give it as `like=`"),
        (lambda: vault.write(steps(3)), "`state` must be .* got dict. Add the steps to a buffer"),
        (lambda: vault.append(steps(3)), "`episodes` must be .* got dict. .*`Episode\\(steps, terminated="),
        (lambda: vault.append([Episode(steps(3)), 3]), "`episodes` must be an Episode, or several: got int"),
    ):
        with pytest.raises(TypeError, match=said):
            call()
    assert not (tmp_path / "b.vault").exists()
