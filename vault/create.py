"""Making a vault: built aside, synced, and renamed into place, so that it is there whole or not at all."""

import errno
import secrets
import shutil
import time
from pathlib import Path

from . import log
from .errors import AlreadyExistsError, LockedError
from .files import Lock, make_directories, storage_errors, sync_directory, write_new
from .root import FILE, LOCK, Root, document, group_document, group_paths
from .schema_copy import GROUP, with_schema

ASIDE = ".creating-"
_OLD = ".old"  # suffix of what was overwritten
_ABANDONED_SECONDS = 60.0


def create(path: Path, root: Root, *, overwrite: bool = False) -> Lock:
    """Makes an empty vault.

    Returns:
      The vault's lock, held.

    Raises:
      AlreadyExistsError: if something stands at `path`, unless `overwrite`.
      StorageError: if the disk refuses; nothing is left behind.
    """
    path = path.absolute()
    with storage_errors(path, "create the vault"):
        check_free(path, overwrite=overwrite)
        make_directories(path.parent)
        sweep(path)
        aside = path.with_name(f".{path.name}{ASIDE}{secrets.token_hex(4)}")
        old = path.with_name(f"{aside.name}{_OLD}")
        aside.mkdir()
        try:
            lock = Lock(aside / LOCK)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        try:
            fill(aside, root)
            if overwrite and path.exists():
                path.rename(old)
            put_in_place(aside, path)
        except BaseException:
            lock.release()
            if old.exists() and not path.exists():
                old.rename(path)
            shutil.rmtree(aside, ignore_errors=True)
            raise
        shutil.rmtree(old, ignore_errors=True)
    return lock


def check_free(path: Path, *, overwrite: bool) -> None:
    """Checks that a vault may be put at a path.

    Raises:
      AlreadyExistsError: if something stands there, unless it is a vault and `overwrite`.
      LockedError: if it is a vault that somebody writes.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if overwrite and (path / FILE).exists():
        Lock(path / LOCK).release()
        return
    mend = (
        "Open it with `Vault.open(path, mode='a')`, choose another path, or pass overwrite=True."
        if (path / FILE).exists()
        else "It is not a vault; choose another path."
    )
    raise AlreadyExistsError(f"Something stands at {str(path)!r} already. {mend}")


def put_in_place(aside: Path, path: Path) -> None:
    """Renames what was built to its place, durably.

    Raises:
      AlreadyExistsError: if somebody else made something there meanwhile.
    """
    try:
        aside.rename(path)
        try:
            sync_directory(path.parent)
        except OSError:
            path.rename(aside)
            raise
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise AlreadyExistsError(
                f"Somebody else made {str(path)!r} at the same time. Open that one."
            ) from None
        raise


def sweep(path: Path) -> None:
    """Removes what creations that were killed left beside `path`."""
    for old in path.parent.glob(f".{path.name}{ASIDE}*"):
        try:
            if (old / LOCK).exists():
                Lock(old / LOCK).release()
            elif old.suffix != _OLD and time.time() - old.stat().st_mtime < _ABANDONED_SECONDS:
                continue  # somebody is about to lock it
        except (LockedError, FileNotFoundError):
            continue
        shutil.rmtree(old, ignore_errors=True)


def fill(folder: Path, root: Root) -> None:
    """Writes all documents of a vault into a folder that has none, durably; shards may be there already."""
    arrays = {array.path: array.to_dict() for array in root.arrays()}
    nodes = {group: group_document() for group in group_paths(list(arrays))} | arrays
    for path in (log.DIRECTORY, *nodes):
        (folder / path).mkdir(exist_ok=True)
    nodes[GROUP] = with_schema(root)
    for path, node in nodes.items():
        write_new(folder / path / FILE, document(node))
    write_new(folder / FILE, root.encode())
    for path in reversed(nodes):
        sync_directory(folder / path)
    sync_directory(folder / log.DIRECTORY)
    sync_directory(folder)
