"""The tail log: every flush is one record, appended and made durable by one `fdatasync`.

A record counts if it is whole and follows the one before; the first that does not ends the log.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from .checksum import crc32c
from .errors import CorruptionError
from .files import reserve, sync_directory, write_new
from .location import Location, can_append, can_list, read_all
from .record import CHECKED, HEADER, MAGIC, Part, Record, decode
from .root import Root, read_bytes

DIRECTORY = "log"
_IOV_MAX = 512
_ATTEMPTS = 1000  # a writer seals at most a few times a second; this is never reached
_MISSING = 4  # numbers that a recovery may have left out

_logger = logging.getLogger(__name__)


def file_name(number: int) -> str:
    """Names a log file."""
    return f"{number:08d}.log"


def file_numbers(directory: Location, first: int = 0) -> list[int]:
    """Gives the numbers of the log files that are there, in order.

    A web server cannot list: it is asked for one number after the other, from `first` on.
    """
    if can_list(directory):
        return sorted(int(path.stem) for path in directory.glob("*.log") if path.stem.isdigit())
    found, number = list[int](), first
    while number <= max([first, *found]) + _MISSING:
        if (directory / file_name(number)).is_file():
            found.append(number)
        number += 1
    return found


@dataclass(frozen=True)
class Replay:
    """What the log holds.

    Attributes:
      records: the whole, contiguous records with the number of their file, oldest first.
      torn: number and offset of a record that was not finished, or None.
      files: numbers of all log files that are there.
      first: number of the first file that counts.
    """

    records: list[tuple[Record, int]]
    torn: tuple[int, int] | None
    files: list[int]
    first: int

    def keep(self, directory: Path) -> None:
        """Makes durable what was read: after a kill it may stand in the kernel's memory only."""
        for number in sorted({number for _, number in self.records}):
            descriptor = os.open(directory / file_name(number), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        for folder in (directory, directory.parent, directory.parent.parent):
            sync_directory(folder)

    def tidy(self, directory: Path) -> int:
        """Removes what a crash left behind, and gives the number of the next log file.

        A torn record that has its full length is kept aside as `<number>.torn`: it was never acknowledged
        as durable, or it was damaged since.
        """
        if self.torn is not None:
            _cut_off(directory / file_name(self.torn[0]), self.torn[1])
        last = max((number for _, number in self.records), default=-1)
        for number in self.files:
            if number < self.first or number > max(last, self.torn[0] if self.torn else -1):
                (directory / file_name(number)).unlink(missing_ok=True)
        sync_directory(directory)
        return max([self.first, last + 1, *(number + 1 for number in self.files)])


def replay(directory: Location, root: Root) -> Replay:
    """Reads the log from the file that the root names on.

    Raises:
      CorruptionError: if a damaged record is followed by a whole one, or steps are missing between the
        shards and the log: what was committed is not all there.
    """
    files = file_numbers(directory, root.log)
    counting = [number for number in files if number >= root.log]
    records: list[tuple[Record, int]] = []
    torn: tuple[int, int] | None = None
    paths = [directory / file_name(number) for number in counting]
    for number, path, content in zip(counting, paths, read_all(paths), strict=True):
        data = memoryview(content)
        offset = 0
        while offset < len(data):
            found = decode(data, offset, root.schema)
            if torn is not None and _later(data, offset, found, records):
                raise _damaged(directory / file_name(torn[0]), torn[1])
            if found is None:
                if _later(data, offset + 1, None, records):
                    raise _damaged(path, offset)
                torn = torn or (number, offset)
                break
            if torn is not None or not _follows(found[0], records, root, path):
                break
            record, offset = found
            records.append((record, number))
    if torn is not None and not can_append(directory):
        raise CorruptionError(
            f"The log {str(directory / file_name(torn[0]))!r} is damaged: an object is written whole, but "
            "its checksum does not hold. Nothing was changed; restore that object from a copy of the vault."
        )
    reached = max([root.length, *(record.stop for record, _ in records[-1:])])
    if reached < root.committed:
        raise CorruptionError(
            f"The log {str(directory)!r} is damaged: it ends at step {reached}, but {root.committed} are "
            "committed. Nothing was changed; restore the log folder from a copy of the vault."
        )
    return Replay(records, torn, files, root.log)


def look(path: Location) -> tuple[Root, Replay]:
    """Reads root and log of a vault that somebody may be writing, as of one moment.

    Raises:
      NotFoundError: if there is no vault.
      CorruptionError: as `replay` does.
    """
    data = read_bytes(path)
    for _ in range(_ATTEMPTS):
        root, before = Root.decode(data, path), data
        try:
            replayed = replay(path / DIRECTORY, root)
        except (FileNotFoundError, CorruptionError):
            if (data := read_bytes(path)) == before:
                raise
            continue
        if (data := read_bytes(path)) == before:
            return root, replayed
    raise CorruptionError(f"The root of {str(path)!r} changes faster than it can be read.")


def _follows(record: Record, records: list[tuple[Record, int]], root: Root, path: Location) -> bool:
    """Says whether a record is the next one; an older one is a leftover, a later one means a loss."""
    if not records:
        if record.row > root.length or record.sequence > root.sequence:
            raise CorruptionError(
                f"The log {str(path)!r} begins at step {record.row}, the shards end at {root.length}: the "
                "steps between are missing. Restore the vault's log folder and zarr.json from the same copy."
            )
        return True
    last = records[-1][0]
    if record.sequence > last.sequence + 1:
        raise _damaged(path, 0)
    return record.sequence == last.sequence + 1


def _later(
    data: memoryview,
    offset: int,
    found: tuple[Record, int] | None,
    records: list[tuple[Record, int]],
) -> bool:
    """Says whether a whole record newer than those read stands at or after `offset`."""
    newest = records[-1][0].sequence if records else -1
    if found is not None:
        return found[0].sequence > newest
    text = bytes(data[offset:])
    at = text.find(MAGIC)
    while at >= 0:
        header = text[at : at + HEADER.size]
        if len(header) == HEADER.size:
            _, crc, sequence, *_ = HEADER.unpack(header)
            if crc == crc32c(header[CHECKED:]) and sequence > newest:
                return True
        at = text.find(MAGIC, at + 1)
    return False


def _damaged(path: Location, offset: int) -> CorruptionError:
    return CorruptionError(
        f"The log {str(path)!r} is damaged at byte {offset}, and whole records follow: committed steps would "
        "be lost by passing over it. Nothing was changed; restore that file from a copy of the vault."
    )


def _cut_off(path: Path, offset: int) -> None:
    data = path.read_bytes()[offset:]
    if len(data) >= HEADER.size:
        size = HEADER.unpack(data[: HEADER.size])[6]
        if len(data) >= HEADER.size + size:
            _logger.warning("The last record of %s is damaged; it is kept as %s.torn", path, path.stem)
            write_new(path.with_suffix(".torn"), data)
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LogFile:
    """The log file that is being appended to.

    Args:
      directory: of the log.
      number: of the file.
      room: bytes to reserve on the disk; an append that need not find its place first is durable sooner.
    """

    def __init__(self, directory: Path, number: int, room: int = 0) -> None:
        self.number = number
        self.path = directory / file_name(number)
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o644)
        self._size = 0
        reserve(self._descriptor, room)
        sync_directory(directory)

    def append(self, parts: list[Part]) -> int:
        """Appends a record and makes it durable; if the disk refuses, the file is as it was.

        Returns:
          The bytes written.
        """
        size = sum(len(part) for part in parts)
        try:
            written = os.writev(self._descriptor, parts[:_IOV_MAX])
            if written < size:
                rest = memoryview(b"".join(parts))[written:]
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            os.fdatasync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += size
        return size

    def restore(self) -> None:
        """Cuts off what a failed append may have left, and closes the file."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, self._size)
            os.fsync(self._descriptor)
            self.close()

    def close(self) -> None:
        """Closes the file; it stays until its rows are sealed."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1  # an interrupt may come after the close
            os.close(descriptor)
