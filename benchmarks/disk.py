"""The disk that is measured: a folder on a real file system, what it holds, what was sent to it."""

import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MEMORY = ("tmpfs", "ramfs")  # where fdatasync costs nothing
_BLOCK = 512  # bytes in st_blocks
CHECKOUT = Path(__file__).parents[1]


@contextmanager
def scratch(directory: Path | None) -> Iterator[Path]:
    """Makes a folder and removes it: in `directory`, or in the checkout's `build`, which git passes over."""
    parent = directory or CHECKOUT / "build"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as name:
        yield Path(name)


def file_system(path: Path) -> str:
    """Names the type of the file system that holds `path`."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    above = [(len(point), kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return max(above)[1]


@dataclass(frozen=True)
class Held:
    """What a folder takes.

    Attributes:
      apparent: bytes of its files.
      allocated: bytes of the blocks they stand on.
      files: how many.
    """

    apparent: int
    allocated: int
    files: int


def held(path: Path) -> Held:
    """Measures a folder."""
    stats = [file.lstat() for file in path.rglob("*") if file.is_file()]
    return Held(sum(s.st_size for s in stats), sum(s.st_blocks * _BLOCK for s in stats), len(stats))


def sent() -> dict[str, int]:
    """Gives what this process sent so far: `wchar` to write calls, `write_bytes` (pages) to the disk."""
    lines = Path("/proc/self/io").read_text("utf-8").splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def settle() -> None:
    """Lets the disk finish what earlier work left in memory."""
    os.sync()


def forget(folder: Path) -> None:
    """Drops a folder's files from the page cache, where this process has none of them mapped."""
    gc.collect()
    assert str(folder) not in Path("/proc/self/maps").read_text("utf-8"), "mapped pages would stay"
    os.sync()
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
