"""An arrival: a publication on its way into a folder, where it appears whole or not at all.

```
# .hopper.fetching/        the files as they come; a call that was killed is taken up here
# .hopper.fetching.lock    held by whoever fetches; it goes with the last file
# hopper                   the dataset, once every byte of it was compared
```
"""

import shutil
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from ..vault.beside import sync_folders
from ..vault.errors import AlreadyExistsError
from ..vault.files import Lock, exchange, make_directories, storage_errors, sync_directory, sync_file
from ..vault.manifest import FILE, check_manifest
from .manifest import Entry, Manifest
from .part import MARK, PART, digest
from .publication import Progress
from .source import Source

CLIENT = ".cache"  # where the Hub's client keeps what it has of a file


def is_there(place: Path, manifest: Manifest) -> bool:
    """Tells whether exactly these files stand at a place, by their sizes."""
    try:
        data = (place / FILE).read_bytes()
    except OSError:
        return False
    return data == manifest.data and not check_manifest(place, deep=False)


def check_place(place: Path, *, overwrite: bool) -> None:
    """Checks that something may be put at a place.

    Raises:
      AlreadyExistsError: if something stands there, unless it is a publication and `overwrite`.
    """
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    if not (overwrite and (place / FILE).is_file()):
        known = (place / FILE).is_file()
        mend = "Pass overwrite=True to replace it, or choose" if known else "Choose"
        raise AlreadyExistsError(f"Something else stands at {str(place)!r} already. {mend} another place.")


@contextmanager
def arriving(place: Path) -> Generator[Path]:
    """Gives the folder in which what is fetched to a place grows; it stays if the block raises.

    Raises:
      LockedError: if another process fetches to the same place.
    """
    work = place.with_name(f".{place.name}.fetching")
    with storage_errors(place, "make room for"):
        make_directories(place.parent)
        lock = Lock(work.with_name(f"{work.name}.lock"))
        try:
            work.mkdir(exist_ok=True)
            yield work
            if not work.exists():
                work.with_name(f"{work.name}.lock").unlink(missing_ok=True)
        finally:
            lock.release()


def collect(
    source: Source, entries: Sequence[Entry], work: Path, progress: Progress, *, sweep: bool = True
) -> None:
    """Brings files into a folder; those that are there and right are not brought again.

    Args:
      source: of them.
      entries: the files.
      work: the folder.
      progress: told the bytes.
      sweep: remove whatever else is in the folder.

    Raises:
      CorruptionError: naming a file that is not the one in the manifest.
      StorageError: if one cannot be had, or the disk refuses.
    """
    if sweep:
        _drop_strangers(work, entries)
    missing = [entry for entry in entries if not _is_right(work / entry.path, entry)]
    come = {entry.path: 0 if entry in missing else entry.size for entry in entries}
    total, stop = sum(entry.size for entry in entries), threading.Event()

    failed: list[BaseException] = []
    turn = threading.Lock()

    def bring(entry: Entry) -> None:
        path = work / entry.path
        try:
            tell(entry, 0)
            path.unlink(missing_ok=True)
            make_directories(path.parent)
            source.bring(entry, path, lambda have: tell(entry, have))
            tell(entry, entry.size)
        except BaseException as error:  # noqa: BLE001 - it is raised below
            failed.append(error)
            stop.set()

    def tell(entry: Entry, have: int) -> None:
        if stop.is_set():
            raise CancelledError
        with turn:
            come[entry.path] = have
            progress(f"Fetching {source.name}", sum(come.values()), total)

    with ThreadPoolExecutor(source.requests, "strongbax-fetch") as pool:
        try:
            wait([pool.submit(bring, entry) for entry in missing])
        finally:
            stop.set()
    if failed:
        raise failed[0]
    progress(f"Fetching {source.name}", total, total)


def settle(work: Path, place: Path) -> None:
    """Gives what has come its place, at once and durably; what stood there goes."""
    with storage_errors(place, "put in place"):
        shutil.rmtree(work / CLIENT, ignore_errors=True)
        if (work / "zarr.json").exists():
            (work / "log").mkdir(exist_ok=True)  # writers expect it, and stores have no empty folders
        for path in work.rglob("*"):
            if path.is_file():
                sync_file(path)
        sync_folders(work)
        if place.exists() and any(place.iterdir()):
            exchange(place, work)
            sync_directory(place.parent)
            shutil.rmtree(work, ignore_errors=True)
        else:
            work.rename(place)
            sync_directory(place.parent)


def _drop_strangers(work: Path, entries: Sequence[Entry]) -> None:
    """Removes what an earlier call brought that is no file of this publication."""
    known = {entry.path for entry in entries}
    kept = known | {path + suffix for path in known for suffix in (PART, MARK)}
    for path in list(work.rglob("*")):
        if path.relative_to(work).parts[0] == CLIENT:
            continue
        if not path.is_dir() and path.relative_to(work).as_posix() not in kept:
            path.unlink()
        elif path.is_dir() and path.relative_to(work).as_posix() in known:
            shutil.rmtree(path)


def _is_right(path: Path, entry: Entry) -> bool:
    """Tells whether a file that came is the one that is meant."""
    same = path.is_file() and path.stat().st_size == entry.size
    return same and digest(path, "sha256") == entry.sha256
