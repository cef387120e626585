"""A vault is built beside its place and put there whole: a kill at any moment leaves no half-made one.

```
# .hopper.vault.creating-1f0a3c22    the new one, growing; its lock is held as long as its maker lives
# hopper.vault                       the old one, if it is replaced; untouched until both change names at once
```
What a killed maker left goes when the next one builds at the same place.
"""

import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .create import ASIDE, check_free, put_in_place, sweep
from .files import Lock, exchange, make_directories, storage_errors, sync_directory
from .root import LOCK


@contextmanager
def beside(path: Path, *, overwrite: bool = False) -> Generator[Path]:
    """Gives a folder to build a vault in; when the block ends it stands at `path`, whole and durable.

    If the block raises, the folder goes and nothing has changed.

    Args:
      path: where the vault is to be.
      overwrite: replace a vault that stands there; nobody can write it meanwhile.

    Raises:
      AlreadyExistsError: if something stands at `path`, unless it is a vault and `overwrite`.
      LockedError: if the vault that is to be replaced is being written.
      StorageError: if the disk refuses.
    """
    path = path.absolute()
    with storage_errors(path, "make room for"):
        check_free(path, overwrite=overwrite)
        make_directories(path.parent)
        sweep(path)
        old = Lock(path / LOCK) if (path / LOCK).exists() else None
        aside = path.with_name(f".{path.name}{ASIDE}{secrets.token_hex(4)}")
        aside.mkdir()
    lock = Lock(aside / LOCK)
    try:
        yield aside
        with storage_errors(path, "put in place"):
            _settle(aside, path)
    finally:
        try:
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            lock.release()
            if old is not None:
                old.release()


def sync_folders(folder: Path) -> None:
    """Makes durable which files a folder and those below it have."""
    for below in folder.rglob("*"):
        if below.is_dir():
            sync_directory(below)
    sync_directory(folder)


def _settle(aside: Path, path: Path) -> None:
    # A lock's file says who had it, so no two would be equal. Nobody can wait for one that has another name.
    (aside / LOCK).unlink()
    sync_folders(aside)
    if path.exists() and any(path.iterdir()):
        exchange(path, aside)
        sync_directory(path.parent)
    else:
        put_in_place(aside, path)
