"""The log as a writer sees it: where records go, which of them are still needed, and whose turn it is.

A `FileJournal` appends to files, under a lock that dies with its holder. An object store has neither; there
an `ObjectJournal` writes an object a record.
"""

import logging
import threading
from pathlib import Path
from typing import Protocol, TypeAlias

from . import log
from .block import BLOCK_BYTES
from .files import TEMPORARY, Lock, make_directories, refused, storage_errors
from .files import replace as replace_file
from .manifest import FILE as MANIFEST
from .record import Record, encode
from .root import FILE, LOCK, Root, document, read_root
from .store import STALE_LOCK
from .tail import State

_IN_USE = (1 << 62, 0)  # where a log file ends that has no record yet

_logger = logging.getLogger(__name__)


Ends: TypeAlias = dict[int, tuple[int, int]]  # of log files: the step and the sequence behind the last record


def end_of(record: Record) -> tuple[int, int]:
    """Says where a file ends whose last record this is."""
    return record.stop, record.sequence + 1


def first_needed(ends: Ends, stop: int, sequence: int, following: int) -> int:
    """Gives the number of the first file with steps behind `stop`, or with a record from `sequence` on.

    A record may have no steps: it is needed all the same, as the records behind it follow it.
    """
    return min((number for number, (a, b) in ends.items() if a > stop or b > sequence), default=following)


class Journal(Protocol):
    """What a writer asks of the log."""

    @property
    def claimed(self) -> bool:
        """Whether the vault is this writer's to change."""
        ...

    @property
    def holds_blocks(self) -> bool:
        """Whether flushes of any size are records; otherwise those of a block or more go to shards."""
        ...

    def read(self) -> tuple[Root, list[Record]]:
        """Reads the root, and what the log holds beyond the shards."""
        ...

    def tidy(self, root: Root) -> None:
        """Makes safe what was read, and removes what a crash or a failure left."""
        ...

    def claim(self, state: State) -> None:
        """Makes the vault this writer's to change; what it holds must be read anew then.

        Raises:
          LockedError: if another writer changed it meanwhile.
        """
        ...

    def check(self) -> None:
        """Checks that the vault is still this writer's.

        Raises:
          LockedError: if another writer has it by now.
        """
        ...

    def append(self, record: Record) -> None:
        """Commits a record.

        Raises:
          StorageError: if the disk refuses.
          LockedError: if another writer has the vault by now.
        """
        ...

    def rotate(self, length: int) -> None:
        """Ends the file that is being appended to, at a vault of so many steps."""
        ...

    def first_beyond(self, stop: int, sequence: int) -> int:
        """Gives the number of the first file that is needed once a seal ends at a step and a sequence."""
        ...

    def drop(self, first: int) -> None:
        """Removes the files before a number; one that stays by accident means nothing."""
        ...

    def replace_root(self, root: Root) -> None:
        """Replaces the root, durably."""
        ...

    def write_documents(self, root: Root) -> None:
        """Gives every array's own `zarr.json` its length, for readers that know no consolidated metadata."""
        ...

    def restore(self) -> None:
        """Cuts off what a failed append may have left."""
        ...

    def release(self) -> None:
        """Lets the next writer in."""
        ...


class FileJournal:
    """The log in the files of a folder.

    Args:
      path: folder of the vault.
      lock: of the vault, where it is held already.

    Raises:
      LockedError: if another writer holds the vault.
    """

    claimed = True
    holds_blocks = False

    def __init__(self, path: Path, lock: Lock | None = None) -> None:
        self._path, self._directory = path, path / log.DIRECTORY
        if lock is None:
            read_root(path)
        self.lock = lock or Lock(path / LOCK)
        self._mutex = threading.RLock()
        self._log: log.LogFile | None = None
        self._replayed: log.Replay | None = None

    def read(self) -> tuple[Root, list[Record]]:
        """Reads the root and the log."""
        root = read_root(self._path)
        self._schema, self._next, self._ends = root.schema, root.log, Ends()
        self._room = min(root.schema.block * root.schema.step_bytes, BLOCK_BYTES)  # of a log file
        self._replayed = log.replay(self._directory, root)
        for record, number in self._replayed.records:
            self._ends[number] = end_of(record)
        return root, [record for record, _ in self._replayed.records]

    def tidy(self, root: Root) -> None:
        """Syncs what was read, and removes leftovers."""
        assert self._replayed is not None
        with storage_errors(self._path, "recover"):
            (self._path / MANIFEST).unlink(missing_ok=True)  # it will not hold any more
            make_directories(self._directory)  # an empty folder is lost by git and by archives
            self._replayed.keep(self._directory)
            self._next = self._replayed.tidy(self._directory)
            for array in root.arrays():
                for pattern in (STALE_LOCK, f"*{TEMPORARY}"):
                    for stale in (self._path / array.path).glob(pattern):
                        stale.unlink(missing_ok=True)
        self._replayed = None

    def claim(self, state: State) -> None:
        """Does nothing: the lock is held."""

    def check(self) -> None:
        """Does nothing: the lock is held."""

    def append(self, record: Record) -> None:
        """Appends a record and waits for the disk, once."""
        parts = encode(record, self._schema)
        try:
            file = self._log or self._open()
            self._ends[file.number] = end_of(record)  # before it is there: a seal must not drop the file
            file.append(parts)
        except OSError as error:
            raise refused(error, self._path, "flush to") from error

    def _open(self) -> log.LogFile:
        file = log.LogFile(self._directory, self._next, self._room)
        with self._mutex:
            self._ends[file.number] = _IN_USE
            self._log, self._next = file, self._next + 1
        return file

    def rotate(self, length: int) -> None:
        """Closes the file that is being appended to."""
        with self._mutex:
            if self._log is not None:
                self._log.close()
                if self._ends[self._log.number] == _IN_USE:
                    self._ends[self._log.number] = (length, 0)
                self._log = None

    def first_beyond(self, stop: int, sequence: int) -> int:
        """Gives the number of the first file that is needed once a seal ends there."""
        with self._mutex:
            return first_needed(self._ends, stop, sequence, self._next)

    def drop(self, first: int) -> None:
        """Removes the files before a number."""
        with self._mutex:
            for number in [number for number in self._ends if number < first]:
                del self._ends[number]  # in place: a flush may be noting where it ends
        for number in log.file_numbers(self._directory):
            if number < first:
                try:
                    (self._directory / log.file_name(number)).unlink(missing_ok=True)
                except OSError as error:
                    _logger.warning(
                        "Log file %d of %s is no longer needed, but stays: %s", number, self._path, error
                    )

    def replace_root(self, root: Root) -> None:
        """Replaces the root by a rename."""
        replace_file(self._path / FILE, root.encode())

    def write_documents(self, root: Root) -> None:
        """Writes those that say something else."""
        for array in root.arrays():
            path, data = self._path / array.path / FILE, document(array.to_dict())
            if not path.exists() or path.read_bytes() != data:
                replace_file(path, data)

    def restore(self) -> None:
        """Cuts the file back to where it was, and closes it."""
        if self._log is not None:
            with storage_errors(self._path, "recover"):
                self._log.restore()
            self._log = None

    def release(self) -> None:
        """Lets go of the lock; twice is harmless."""
        self.lock.release()
