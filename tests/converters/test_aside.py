"""Building aside: what fails leaves no trace, and what was killed is cleaned up or finished."""

import subprocess
import sys
from pathlib import Path

import pytest
from strongbax.converters.aside import aside, check_free, put_in_place
from strongbax.vault.errors import AlreadyExistsError, LockedError, StorageError
from strongbax.vault.files import Lock


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def build(path: Path, text: str) -> None:
    path.mkdir()
    (path / "zarr.json").write_text(text)


def test_what_fails_leaves_no_trace(tmp_path: Path):
    """An exception while building removes all that was built."""
    with pytest.raises(FileExistsError), aside(tmp_path / "v") as path:  # noqa: PT012
        build(path, "new")
        build(path, "twice")
    assert names(tmp_path) == []


def test_the_new_one_takes_the_place_of_the_old(tmp_path: Path):
    """After it is put in place the new one stands there, alone; parents are made."""
    for text in ("old", "new"):
        with aside(tmp_path / "a" / "v") as path:
            build(path, text)
            put_in_place(path, tmp_path / "a" / "v")
    assert (tmp_path / "a" / "v" / "zarr.json").read_text() == "new"
    assert names(tmp_path / "a") == ["v"]


def killed(dst: Path, then: str) -> None:
    """Builds in another process that dies without a chance to tidy up."""
    code = f"""
import os
from pathlib import Path
from strongbax.converters.aside import aside, put_in_place
with aside(Path({str(dst)!r})) as path:
    path.mkdir()
    (path / "zarr.json").write_text("new")
    {then}
    os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 9


def test_a_killed_conversion_is_swept_by_the_next(tmp_path: Path):
    """What a killed process left beside the place goes when the next one begins."""
    killed(tmp_path / "v", "pass")
    assert len(names(tmp_path)) == 1
    with aside(tmp_path / "v"):
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == []


def test_one_killed_between_the_renames_is_finished(tmp_path: Path):
    """Killed after the old one was moved away, the new one is put in place by the next."""
    build(tmp_path / "v", "old")
    killed(tmp_path / "v", f"Path({str(tmp_path / 'v')!r}).rename(path.with_name('replaced'))")
    assert "v" not in names(tmp_path)
    with aside(tmp_path / "v"):
        pass
    assert (tmp_path / "v" / "zarr.json").read_text() == "new"
    assert names(tmp_path) == ["v"]


def test_a_living_conversion_is_left_alone(tmp_path: Path):
    """Two conversions to one place do not touch each other's work; nor that of similar names."""
    with aside(tmp_path / "v") as first:
        build(first, "first")
        with aside(tmp_path / "v") as second, aside(tmp_path / "v2"):
            assert first.exists()
            assert first != second
        assert first.exists()


def test_only_a_vault_may_be_replaced(tmp_path: Path):
    """Free places and empty folders are free; a vault is on request, unless somebody writes it."""
    check_free(tmp_path / "nothing", overwrite=False)
    (tmp_path / "empty").mkdir()
    check_free(tmp_path / "empty", overwrite=False)
    build(tmp_path / "v", "a vault's root")
    with pytest.raises(AlreadyExistsError, match="pass overwrite=True to replace it"):
        check_free(tmp_path / "v", overwrite=False)
    check_free(tmp_path / "v", overwrite=True)
    lock = Lock(tmp_path / "v" / "writer.lock")
    with pytest.raises(LockedError):
        check_free(tmp_path / "v", overwrite=True)
    lock.release()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="it is no vault and is left alone"):
        check_free(tmp_path / "file", overwrite=True)


def test_a_disk_that_refuses_is_told_in_a_sentence(tmp_path: Path):
    """Where nothing can be written, the error says what could not be done."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match=r"Could not make room for .*file/v"),
        aside(tmp_path / "file" / "v"),
    ):
        pass
