"""A record of the log: one flush as bytes.

```
# record  : header (64 bytes) | meta length | meta (JSON) | start [B] | total [B] | episodes | leaves
# episodes: each column, each final leaf, the lengths of the attribute texts, the texts
# leaves  : each leaf [B, T, ...] in C order, zstd-1 where its shards are compressed
```
A record counts if both its checksums hold.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from .checksum import crc32c
from .codecs import NONE, compress, decompress
from .dtypes import NpArray
from .episodes import Rows
from .errors import CorruptionError
from .root import Gap, Mark, Running
from .schema import Schema

MAGIC = b"SBXR"
# magic, header crc, sequence, first row, steps, first episode, payload bytes, episodes, payload crc, zeros
HEADER = struct.Struct("<4sIQQQQQII8x")
CHECKED = 8  # the header's crc covers what follows these bytes

Part: TypeAlias = bytes | Any  # bytes, or a read-only array of them


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
