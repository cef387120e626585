"""Writing shards chunk by chunk, in memory that does not grow with them.

TensorStore, which seals blocks, has a whole shard in memory; a packed vault's are of some hundred MB. What is
written here is the same to every reader: inner chunks in C order, each with its crc32c, then the index.
"""

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import ArraySpec
from .checksum import crc32c
from .codecs import encode
from .dtypes import NpArray

Rows = Callable[
    [int, int], NpArray
]  # gives rows [start, stop) of an array: [1, n, ...] of steps, else [n, ...]
Tick = Callable[[int], None]  # called with bytes that were written, before compression

PIECE_BYTES = 8 << 20  # what is read at a time
_CRC_BYTES = 4
_ABSENT = 2**64 - 1
_THREADS = min(8, os.cpu_count() or 1)


def write_array(folder: Path, array: ArraySpec, rows: Rows, tick: Tick) -> None:
    """Writes all shards of an array, of one stream where it has streams, and syncs them.

    Args:
      folder: of the vault.
      array: with its length.
      rows: what to write.
      tick: told as it goes on.

    Raises:
      OSError: if the disk refuses.
    """
    length = array.shape[array.axis]
    if 0 in array.shape:
        return
    with ThreadPoolExecutor(_THREADS, "strongbax-pack") as pool:
        for shard in range(-(-length // array.rows)):
            start = shard * array.rows
            stop = min(length, start + array.rows)
            with (folder / array.path / array.key(shard)).open("wb") as file:
                _write_shard(file, array, _encoded(array, rows, (start, stop), pool, tick))
                file.flush()
                os.fsync(file.fileno())


def write_shard(path: Path, array: ArraySpec, values: NpArray, pool: ThreadPoolExecutor) -> None:
    """Writes one shard of rows that are in memory, `[1, n, ...]` of steps; it is not synced.

    Args:
      path: of the file.
      array: that it is of.
      values: its rows; fewer than a shard has, at the array's end.
      pool: encodes inner chunks.

    Raises:
      OSError: if the disk refuses.
    """

    def rows(start: int, stop: int) -> NpArray:
        return values[(slice(None),) * array.axis + (slice(start, stop),)]

    with path.open("wb") as file:
        span = (0, values.shape[array.axis])
        _write_shard(file, array, _encoded(array, rows, span, pool, lambda _: None))


def _write_shard(file: Any, array: ArraySpec, chunks: Iterator[bytes]) -> None:
    index = np.full((array.rows // array.chunk[array.axis], 2), _ABSENT, "<u8")
    offset = 0
    for place, chunk in enumerate(chunks):
        file.write(chunk)
        index[place] = offset, len(chunk)
        offset += len(chunk)
    file.write(_summed(index.tobytes()))


def _encoded(
    array: ArraySpec, rows: Rows, span: tuple[int, int], pool: ThreadPoolExecutor, tick: Tick
) -> Iterator[bytes]:
    """Yields the inner chunks of rows `[start, stop)`, read some at a time and encoded by several threads."""
    axis, size = array.axis, array.chunk[array.axis]
    row_bytes = max(1, int(np.prod(array.tail, dtype=np.int64)) * array.dtype.itemsize)
    piece = max(1, PIECE_BYTES // (size * row_bytes)) * size
    for start in range(span[0], span[1], piece):
        values = rows(start, min(span[1], start + piece))
        count = values.shape[axis]
        cut = [values[(slice(None),) * axis + (slice(at, at + size),)] for at in range(0, count, size)]
        yield from pool.map(functools.partial(_encode, array), cut)
        tick(count * row_bytes)


def _encode(array: ArraySpec, values: NpArray) -> bytes:
    """Encodes an inner chunk; what the last one lacks is zeros, so that equal rows are equal bytes."""
    if values.shape != array.chunk:
        full = np.zeros(array.chunk, array.dtype)
        full[tuple(slice(size) for size in values.shape)] = values
        values = full
    stored = np.ascontiguousarray(array.stored.to_disk(np.ascontiguousarray(values)))
    return _summed(encode(stored, array.codec))


def _summed(data: bytes) -> bytes:
    return data + crc32c(data).to_bytes(_CRC_BYTES, "little")
