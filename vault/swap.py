"""A vault is replaced by another under its name at once, and the old one is kept beside it.

```
# .hopper.vault.repairing-5b      built here; a marker in it says that it is not done
# hopper.vault                    the old one, not touched; then both change names at once
# hopper.vault.damaged            where the old one is kept
```
A kill leaves the old or the new one under the name, and the other one beside it or still to be made.
"""

import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .beside import sync_folders
from .errors import LockedError
from .files import Lock, exchange, sync_directory
from .root import LOCK

MARKER = "unfinished"  # a file in a folder that is not done


@contextmanager
def aside(path: Path, doing: str) -> Generator[Path]:
    """Gives a folder beside a vault to build in; unless it is swapped by then, it goes when the block ends.

    Args:
      path: of the vault.
      doing: what is done to it, a word.
    """
    folder = path.with_name(f".{path.name}.{doing}-{secrets.token_hex(4)}")
    folder.mkdir()
    (folder / MARKER).touch()
    lock = Lock(folder / LOCK)
    try:
        yield folder
    finally:
        try:
            if (folder / MARKER).exists():
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()


def swap(folder: Path, path: Path, kept: Path) -> Path:
    """Gives what was built the vault's name, and the vault the one under which it is kept.

    Returns:
      Where the old one is: `kept`, with a number behind it if something stands there.
    """
    (folder / LOCK).unlink()
    sync_folders(folder)
    (folder / MARKER).unlink()
    sync_directory(folder)
    exchange(path, folder)
    sync_directory(path.parent)
    return _put_by(folder, kept)


def sweep(path: Path, doing: str, kept: Path) -> None:
    """Removes what a killed process had not done, and puts by what it had swapped but not yet put by."""
    for folder in list(path.parent.iterdir()):
        if not folder.name.startswith(f".{path.name}.{doing}-"):
            continue
        if not (folder / MARKER).exists():
            _put_by(folder, kept)
            continue
        try:
            if (folder / LOCK).exists():
                Lock(folder / LOCK).release()
        except LockedError:
            continue
        shutil.rmtree(folder, ignore_errors=True)


def _put_by(folder: Path, kept: Path) -> Path:
    free, number = kept, 1
    while free.exists():
        number += 1
        free = kept.with_name(f"{kept.name}-{number}")
    folder.rename(free)
    sync_directory(free.parent)
    sync_directory(folder.parent)
    return free
