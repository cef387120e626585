"""Making, opening and closing: what stands at a path is named for what it is, and never harmed."""

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
    Episode,
    FormatError,
    LockedError,
    NotFoundError,
    StrongbaxError,
    Vault,
)

F = np.float32
STEP = {"observation": np.zeros(2, F), "reward": F(0), "terminated": np.bool_(0)}


def steps(count: int) -> dict[str, Any]:
    return {
        "observation": np.ones((count, 2), F),
        "reward": np.ones(count, F),
        "terminated": np.arange(count) == count - 1,
    }


@pytest.fixture
def vault(tmp_path):
    with Vault.create(tmp_path / "a.vault", steps=STEP) as vault:
        yield vault


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
            vault.write_card({"a": float("nan")})
        assert vault.attributes == vault.card == facts
    reader = Vault.open(tmp_path / "a.vault")
    assert reader.attributes == reader.card == facts
