"""Files: room that is reserved is on the disk, and never in the file."""

import os
import sys
from pathlib import Path

import pytest
from strongbax.vault import files
from strongbax.vault.files import reserve

ROOM = 1 << 20


@pytest.fixture
def descriptor(tmp_path: Path):
    """An empty file, open for writing."""
    opened = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    yield opened
    os.close(opened)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux reserves beyond a file's end")
def test_reserved_room_is_beyond_the_end(descriptor: int):
    """A reservation takes blocks on the disk, and the file is as long as before."""
    os.write(descriptor, b"abc")
    reserve(descriptor, ROOM)
    found = os.fstat(descriptor)
    assert found.st_size == 3
    if found.st_blocks * 512 < ROOM:
        pytest.skip("this file system reserves nothing")
    os.ftruncate(descriptor, 3)
    assert os.fstat(descriptor).st_blocks * 512 < ROOM


def test_a_refused_reservation_is_no_error(descriptor: int, monkeypatch: pytest.MonkeyPatch):
    """Where the disk has no room, or the system no such call, the file stays as it is."""
    asked = list[tuple[int, ...]]()

    def refuse(*arguments: int) -> int:
        asked.append(arguments)
        return -1

    monkeypatch.setattr(files, "_fallocate", lambda: refuse)
    os.write(descriptor, b"abc")
    reserve(descriptor, ROOM)
    assert len(asked) == 1
    monkeypatch.setattr(files, "_fallocate", lambda: None)
    reserve(descriptor, ROOM)
    assert os.fstat(descriptor).st_size == 3
    assert os.pread(descriptor, 9, 0) == b"abc"
