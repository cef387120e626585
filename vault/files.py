"""Files that survive: atomic replacement, synced directories, and a lock that dies with its holder.

A name is durable when its directory was synced, bytes are durable when their file was. Nothing here is
ever changed in place; `replace` makes the new bytes durable under a temporary name first.
"""

import errno
import fcntl
import functools
import os
import sys
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import LockedError, StorageError

TEMPORARY = ".new"  # suffix of a file that was not yet renamed; left by a crash, it means nothing


def refused(error: OSError, path: object, doing: str) -> OSError:
    """Says in one sentence what the operating system refused; our own errors stay as they are."""
    if isinstance(error, StorageError) or error.errno is None:
        return error
    mend = _MENDS.get(error.errno, "Nothing that was committed is lost.")
    return StorageError(f"Could not {doing} {str(path)!r}: {os.strerror(error.errno)}. {mend}")


@contextmanager
def storage_errors(path: object, doing: str) -> Generator[None]:
    """Turns what the operating system refuses into a `StorageError`."""
    try:
        yield
    except OSError as error:
        told = refused(error, path, doing)
        if told is error:
            raise
        raise told from error


_MENDS = {
    errno.ENOSPC: "Free some space and try again; everything committed before is safe.",
    errno.EDQUOT: "Free some of the quota and try again; everything committed before is safe.",
    errno.EROFS: "The file system is read-only; open with mode='r', or copy the vault.",
    errno.EACCES: "Check the permissions, or open with mode='r'.",
    errno.EPERM: "Check the permissions, or open with mode='r'.",
}


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Makes the bytes of a file durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path) -> None:
    """Makes a directory and its parents, their names durable."""
    missing = [parent for parent in (path, *path.parents) if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(exist_ok=True)
        sync_directory(parent.parent)


def reserve(descriptor: int, room: int) -> None:
    """Reserves room on the disk after a file's end, where the system can; the file's length stays.

    Failing is no error: nothing stays reserved, and whoever writes finds out whether there is room.
    """
    fallocate = _fallocate()
    if fallocate is not None and room > 0 and fallocate(descriptor, _KEEP_SIZE, 0, room):
        os.ftruncate(descriptor, os.fstat(descriptor).st_size)


def exchange(a: Path, b: Path) -> None:
    """Lets two folders change names; on Linux at once, so that nobody ever finds one of them missing.

    Elsewhere, and on file systems that cannot, `a` is missing for a moment.
    """
    rename = _renameat2()
    if rename is not None and rename(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _EXCHANGE) == 0:
        return
    between = b.with_name(f"{b.name}.between")
    a.rename(between)
    b.rename(a)
    between.rename(b)


_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of Linux


@functools.cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """Gives the C library's `renameat2`, which Linux has and Python does not offer."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    call = getattr(ctypes.CDLL(None), "renameat2", None)
    if call is not None:
        call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return call


_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE; os.posix_fallocate would let the file grow


@functools.cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """Gives the C library's `fallocate`, which Linux has and Python does not offer."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    call = getattr(ctypes.CDLL(None), "fallocate", None)
    if call is not None:
        call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return call


def write_new(path: Path, data: bytes) -> None:
    """Writes a file and makes its bytes (not yet its name) durable."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes) -> None:
    """Replaces a file atomically and durably: a reader sees the old bytes or the new, whole."""
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        write_new(temporary, data)
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


class Lock:
    """An exclusive lock on a file, held until `release` or the end of the process, however it ends.

    A forked child does not hold it: it closes its copy at once, so that the lock ends with its owner.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 64).decode(errors="replace").strip()
            self._close()
            who = f"process {holder}" if holder else "another process"
            raise LockedError(
                f"The vault {str(path.parent)!r} is being written by {who}: one writer at a time. "
                "Close that writer, open with mode='r', or write to a vault of your own."
            ) from None
        _held.add(self)
        with suppress(OSError):  # on a full disk the lock is held all the same; the name is a courtesy
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Lets the next writer in."""
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._close()

    def __del__(self) -> None:
        # An interrupt may come before anybody has the lock in hand; it must not stay locked then. At the
        # interpreter's end the kernel lets go.
        if getattr(self, "_descriptor", -1) >= 0 and not _is_finalizing():
            self.release()

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    @staticmethod
    def _forget() -> None:
        for lock in list(_held):
            lock._close()  # noqa: SLF001 - the same class


_is_finalizing = sys.is_finalizing
_held: "weakref.WeakSet[Lock]" = weakref.WeakSet()
os.register_at_fork(after_in_child=Lock._forget)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
