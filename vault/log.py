"""The tail log: every flush is one record, appended and made durable by one `fdatasync`.

```
# record  : header (64 bytes) | meta length | meta (JSON) | start [B] | total [B] | episodes | leaves
# episodes: each column, each final leaf, the lengths of the attribute texts, the texts
# leaves  : each leaf [B, T, ...] in C order, zstd-1 where its shards are compressed
```
A record counts if both its checksums hold and it follows the one before; the first that does not ends
the log.
"""

import json
import logging
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .checksum import crc32c
from .codecs import NONE, compress, decompress
from .dtypes import NpArray
from .episodes import Rows
from .errors import CorruptionError
from .files import reserve, sync_directory, write_new
from .location import Location, can_append, can_list, read_all
from .root import Gap, Mark, Root, Running, read_bytes
from .schema import Schema

DIRECTORY = "log"
MAGIC = b"SBXR"
# magic, header crc, sequence, first row, steps, first episode, payload bytes, episodes, payload crc, zeros
HEADER = struct.Struct("<4sIQQQQQII8x")
CHECKED = 8  # the header's crc covers what follows these bytes
_IOV_MAX = 512
_ATTEMPTS = 1000  # a writer seals at most a few times a second; this is never reached
_MISSING = 4  # numbers that a recovery may have left out

Part: TypeAlias = bytes | Any  # bytes, or a read-only array of them

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One flush.

    Attributes:
      sequence: number of the record in the vault's life.
      row: time of the first step.
      steps: steps a stream.
      episode: id of the first episode that ended.
      leaves: `[B, steps, ...]` by leaf name.
      rows: the episodes that ended.
      running: the episodes that run after it.
      added: where the last buffer's last flush stands after it, or None.
      gaps: gaps at its first row.
    """

    sequence: int
    row: int
    steps: int
    episode: int
    leaves: Mapping[str, NpArray]
    rows: Rows
    running: Running
    added: Mark | None
    gaps: tuple[Gap, ...]

    @property
    def stop(self) -> int:
        """Time after its last step."""
        return self.row + self.steps


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


def encode(record: Record, schema: Schema) -> list[Part]:
    """Gives the record's bytes, in pieces that can be written at once."""
    leaves = [_leaf_part(record.leaves[leaf.name], leaf.codec) for leaf in schema.leaves]
    added = f"[{record.added.count}, {record.added.row}]" if record.added else "null"
    gaps = f', "gaps": {[[gap.time, gap.lost] for gap in record.gaps]}' if record.gaps else ""
    # Lists of integers print as JSON does; json.dumps would cost as much as the checksum.
    text = f'{{"added": {added}, "leaves": {[len(part) for part in leaves]}{gaps}}}'.encode()
    small = [
        len(text).to_bytes(4, "little"),
        text,
        record.running.start.tobytes(),
        record.running.total.tobytes(),
    ]
    if len(record.rows):
        small.append(_episode_part(record.rows, schema))
    parts: list[Part] = [b"".join(small), *leaves]
    crc = 0
    for part in parts:
        crc = crc32c(part, crc)
    size = sum(len(part) for part in parts)
    fields = (
        record.sequence,
        record.row,
        record.steps,
        record.episode,
        size,
        len(record.rows),
        crc,
    )
    header = HEADER.pack(MAGIC, 0, *fields)
    return [
        header[:4] + struct.pack("<I", crc32c(header[CHECKED:])) + header[CHECKED:],
        *parts,
    ]


def decode(data: memoryview, offset: int, schema: Schema) -> tuple[Record, int] | None:
    """Reads the record at an offset.

    Returns:
      The record and the offset after it, or None if there is no whole record.
    """
    if offset + HEADER.size > len(data):
        return None
    header = bytes(data[offset : offset + HEADER.size])
    magic, header_crc, sequence, row, steps, episode, size, episodes, crc = HEADER.unpack(header)
    start = offset + HEADER.size
    if magic != MAGIC or header_crc != crc32c(header[CHECKED:]) or start + size > len(data):
        return None
    payload = data[start : start + size]
    if crc32c(payload) != crc:
        return None
    try:
        record = _decode_payload(payload, schema, (sequence, row, steps, episode, episodes))
    except (ValueError, KeyError, TypeError, RuntimeError, struct.error) as error:
        raise CorruptionError(
            f"A log record of {steps} steps from step {row} on has the right checksum but does not fit the "
            f"vault's schema: {error}. Log and zarr.json are of different vaults."
        ) from error
    return record, start + size


def _decode_payload(payload: memoryview, schema: Schema, numbers: tuple[int, ...]) -> Record:
    sequence, row, steps, episode, episodes = numbers
    at = 4 + struct.unpack_from("<I", payload)[0]
    meta: dict[str, Any] = json.loads(bytes(payload[4:at]))
    cursor = _Cursor(payload, at)
    running = Running(
        cursor.take(np.dtype(np.int64), (schema.streams,)),
        cursor.take(np.dtype(np.float64), (schema.streams, *schema.return_shape)),
    )
    rows = _read_episodes(cursor, schema, episodes)
    leaves: dict[str, NpArray] = {}
    for leaf, length in zip(schema.leaves, meta["leaves"], strict=True):
        raw = cursor.bytes(length)
        raw = memoryview(decompress(raw)) if leaf.codec != NONE and length else raw
        leaves[leaf.name] = np.frombuffer(raw, leaf.dtype).reshape(schema.streams, steps, *leaf.shape)
    gaps = tuple(Gap(*gap) for gap in meta.get("gaps", ()))
    added = Mark(*meta["added"]) if meta["added"] else None
    return Record(sequence, row, steps, episode, leaves, rows, running, added, gaps)


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


class _Cursor:
    def __init__(self, data: memoryview, at: int) -> None:
        self._data = data
        self._at = at

    def bytes(self, length: int) -> memoryview:
        self._at += length
        return self._data[self._at - length : self._at]

    def take(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NpArray:
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self.bytes(count * dtype.itemsize), dtype).reshape(shape).copy()


def _leaf_part(values: NpArray, codec: str) -> Part:
    if codec != NONE and values.size:
        return compress(values)
    return values.reshape(-1).view(np.uint8)


def _episode_part(rows: Rows, schema: Schema) -> bytes:
    columns = [rows.columns[name].tobytes() for name in schema.column_dtypes]
    finals = [rows.finals[name].tobytes() for name in schema.finals]
    lengths = np.array([len(text) for text in rows.attributes], np.int64).tobytes()
    return b"".join([*columns, *finals, lengths, *rows.attributes])


def _read_episodes(cursor: _Cursor, schema: Schema, count: int) -> Rows:
    shapes = {"return": schema.return_shape}
    dtypes = schema.column_dtypes if count else {}
    columns = {name: cursor.take(dtype, (count, *shapes.get(name, ()))) for name, dtype in dtypes.items()}
    if not count:
        from .running import empty_rows

        return empty_rows(schema)
    leaves = [schema.leaf(name) for name in schema.finals]
    finals = {leaf.name: cursor.take(leaf.dtype, (count, *leaf.shape)) for leaf in leaves}
    lengths = cursor.take(np.dtype(np.int64), (count,))
    return Rows(columns, finals, [bytes(cursor.bytes(int(length))) for length in lengths])
