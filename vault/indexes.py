"""Indexes of shards that are damaged, made anew where their own checksum says that they are right.

Without its index a shard is lost, however whole its inner chunks are. One flipped bit is found by the
checksum. Of an uncompressed shard there are few indexes that it can have, since its writers lay chunks of one
size side by side in C order: the one whose checksum stands in the file is it.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .arrays import ArraySpec
from .checksum import crc32c
from .codecs import NONE
from .dtypes import NpArray
from .flips import flipped_bit
from .mapped import map_file
from .root import Root
from .salvage_table import Notes

_CRC_BYTES = 4
_ENTRY_BYTES = 16
_ABSENT = 2**64 - 1


def mirror(source: Path, folder: Path, root: Root, notes: Notes) -> Path:
    """Gives a vault whose damaged indexes are mended as far as they can be: links, and copies of shards.

    Args:
      source: folder of the damaged vault; it is not touched.
      folder: where to put links and copies.
      root: of the vault.
      notes: grows.

    Returns:
      `folder`; or `source`, where there is nothing to mend.
    """
    mended = dict(_mended(source, root))
    if not mended:
        return source
    _link(source, folder, mended)
    names = ", ".join(path.relative_to(source).as_posix() for path in mended)
    notes.mended.append(f"Indexes were damaged, and made anew by their checksums: those of {names}.")
    return folder


def _mended(source: Path, root: Root) -> Iterator[tuple[Path, tuple[int, bytes]]]:
    """Yields shards whose index can be mended: how many bytes of the file stay, and the index."""
    for array in root.arrays():
        for shard in range(-(-array.shape[array.axis] // array.rows) if 0 not in array.shape else 0):
            path = source / array.path / array.key(shard)
            try:
                found = _find(map_file(path), array)
            except (OSError, ValueError):
                continue
            if found is not None:
                yield path, found


def _find(data: NpArray, array: ArraySpec) -> tuple[int, bytes] | None:
    outer, inner = (array.shard, array.chunk) if array.axis else ((1, *array.shard), (1, *array.chunk))
    groups, places = outer[0] // inner[0], outer[1] // inner[1]
    length = groups * places * _ENTRY_BYTES
    body = len(data) - length - _CRC_BYTES
    if body < 0:
        return None
    index, stored = bytearray(data[body : body + length]), _number(data[body + length :])
    change = crc32c(bytes(index)) ^ stored
    if change == 0:
        return None
    place = flipped_bit(change, length)
    if change.bit_count() > 1 and place is not None:
        index[place[0]] ^= 1 << place[1]
    if (change.bit_count() == 1 or place is not None) and _fits(bytes(index), body):
        return body, bytes(index)
    if array.codec != NONE:
        return None
    size = int(np.prod((*inner, *array.stored.trailing), dtype=np.int64)) * array.stored.base.itemsize
    return _side_by_side(data, groups, places, size + _CRC_BYTES)


def _side_by_side(data: NpArray, groups: int, places: int, size: int) -> tuple[int, bytes] | None:
    """Finds the index of chunks of one size, of which each group has as many, that stands in the file."""
    for held in range(places, 0, -1):
        body = groups * held * size
        index = np.full((groups, places, 2), _ABSENT, "<u8")
        index[:, :held, 0] = (np.arange(groups * held) * size).reshape(groups, held)
        index[:, :held, 1] = size
        length = index.nbytes
        if body + length + _CRC_BYTES > len(data):
            continue
        if crc32c(index.tobytes()) == _number(data[body + length : body + length + _CRC_BYTES]):
            return body, index.tobytes()
    return None


def _fits(index: bytes, body: int) -> bool:
    """Says whether an index names chunks that lie one behind the other and fill the file."""
    entries = np.frombuffer(index, "<u8").reshape(-1, 2)
    entries = entries[entries[:, 0] != _ABSENT]
    if not len(entries) or (entries > body).any():
        return False
    begin, size = entries.astype(np.int64)[np.argsort(entries[:, 0])].T
    stops = begin + size
    return begin[0] == 0 and bool((begin[1:] == stops[:-1]).all()) and int(stops[-1]) == body


def _link(source: Path, target: Path, mended: dict[Path, tuple[int, bytes]]) -> None:
    for entry in source.iterdir():
        place = target / entry.name
        if entry in mended:
            body, index = mended[entry]
            shutil.copyfile(entry, place)
            with place.open("r+b") as file:
                file.truncate(body)
                file.seek(body)
                file.write(index + crc32c(index).to_bytes(_CRC_BYTES, "little"))
        elif any(entry in path.parents for path in mended):
            place.mkdir()
            _link(entry, place, mended)
        elif not place.exists():
            place.symlink_to(entry)


def _number(data: NpArray) -> int:
    return int.from_bytes(data.tobytes(), "little")
