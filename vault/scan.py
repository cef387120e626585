"""Looking at every inner chunk of a shard: which are what was written, without decompressing any.

A chunk's crc32c is over its bytes as they are stored, so one look is the same for all codecs, and takes no
memory but the map of the file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .arrays import ArraySpec
from .checksum import crc32c
from .dtypes import NpArray
from .errors import StorageError
from .location import Location, contents_of

_CRC_BYTES = 4
_ENTRY_BYTES = 16  # offset and size, in the index
_ABSENT = np.uint64(2**64 - 1)
_NAMED = 5  # lost chunks of a shard that a sentence names one by one


@dataclass(frozen=True)
class Loss:
    """Rows of an array that are not what was written.

    Attributes:
      array: its path, `steps/reward`.
      shard: name of the file.
      chunk: group of streams and place of the inner chunk in the shard; None: the whole shard.
      streams: first and last + 1; (0, 1) of a table.
      rows: first and last + 1, of those that are committed.
      why: what is wrong, in a few words.
    """

    array: str
    shard: str
    chunk: tuple[int, int] | None
    streams: tuple[int, int]
    rows: tuple[int, int]
    why: str


def look(root: Location, array: ArraySpec, shard: int, rows: int) -> list[Loss]:
    """Looks at the inner chunks that hold the first `rows` rows of a shard.

    Args:
      root: folder of the vault.
      array: that the shard is of.
      shard: its number along the growing axis.
      rows: that are committed in it.

    Returns:
      What is lost, in order.

    Raises:
      StorageError: if an object store does not answer.
    """
    outer, inner = (array.shard, array.chunk) if array.axis else ((1, *array.shard), (1, *array.chunk))
    streams, first = outer[0], shard * array.rows
    path = root / array.path / array.key(shard)
    if 0 in array.shape or rows <= 0:
        return []
    try:
        data = contents_of(path)
        entries = _index(data, (outer[0] // inner[0], outer[1] // inner[1]))
    except StorageError:  # of an object store: it says nothing of the bytes
        raise
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        why = "it is missing" if missing else "it is empty, cut short, or its index is damaged"
        return [Loss(array.path, path.name, None, (0, streams), (first, first + rows), why)]
    losses: list[Loss] = []
    for group, place in np.ndindex(*entries.shape[:2]):
        low, high = place * inner[1], min(rows, (place + 1) * inner[1])
        why = _wrong(data, entries[group, place]) if low < high else None
        if why is not None:
            span = (group * inner[0], (group + 1) * inner[0])
            losses.append(Loss(array.path, path.name, (group, place), span, (first + low, first + high), why))
    return losses


def look_at_all(root: Path, array: ArraySpec) -> Iterator[list[Loss]]:
    """Looks at all shards of an array, one after the other."""
    length = array.shape[array.axis]
    for shard in range(-(-length // array.rows)):
        yield look(root, array, shard, min(array.rows, length - shard * array.rows))


def tell(losses: Sequence[Loss]) -> str:
    """Says in a sentence what of a shard is lost.

    Example:
      >>> tell([Loss("steps/reward", "c.0.0", (0, 3), (0, 4), (96, 128), "it is lost")])
      'The array steps/reward is damaged: inner chunk (0, 3) of the shard c.0.0 (rows 96 to 127): it is lost.'
    """
    first = losses[0]
    if first.chunk is None:
        return f"The shard {first.array}/{first.shard} is damaged: {first.why}."
    named = [f"{loss.chunk} of the shard {loss.shard} ({_rows(loss)})" for loss in losses[:_NAMED]]
    more = f" and {len(losses) - _NAMED} more" if len(losses) > _NAMED else ""
    chunks = "inner chunk " if len(losses) == 1 else "inner chunks "
    return f"The array {first.array} is damaged: {chunks}{', '.join(named)}{more}: {first.why}."


def _rows(loss: Loss) -> str:
    return f"rows {loss.rows[0]} to {loss.rows[1] - 1}"


def _index(data: NpArray, places: tuple[int, int]) -> NpArray:
    """Reads the index, uint64 `[groups, chunks, 2]`.

    Raises:
      ValueError: if it is not what was written.
    """
    length = places[0] * places[1] * _ENTRY_BYTES
    index = data[-length - _CRC_BYTES :]
    if len(index) != length + _CRC_BYTES or crc32c(index[:length]) != _number(index[length:]):
        raise ValueError("the index is damaged or cut short")
    return index[:length].copy().view("<u8").reshape(*places, 2)


def _wrong(data: NpArray, entry: NpArray) -> str | None:
    """Says what is wrong with an inner chunk, or gives None."""
    if entry[0] == _ABSENT:
        return "it was never written"
    start, stop = int(entry[0]), int(entry[0]) + int(entry[1])
    if stop > len(data) or stop - start < _CRC_BYTES:
        return "it lies outside the file"
    if crc32c(data[start : stop - _CRC_BYTES]) != _number(data[stop - _CRC_BYTES : stop]):
        return "its checksum is wrong"
    return None


def _number(data: NpArray) -> int:
    return int.from_bytes(data.tobytes(), "little")
