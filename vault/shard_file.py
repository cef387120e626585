"""One uncompressed shard, memory-mapped.

It is its inner chunks, 4 bytes of crc32c behind each, and an index with a crc32c of its own. The index is
checked when the file is opened; a chunk's checksum when a long read copies it, and by `verify`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from .arrays import ArraySpec
from .checksum import crc32c
from .dtypes import NpArray
from .mapped import map_file

_CRC_BYTES = 4
_ENTRY_BYTES = 16  # offset and size, in the index
_ABSENT = np.uint64(2**64 - 1)


class Damaged(Exception):  # noqa: N818 - never seen by a user; the reader names the vault and raises it anew
    """A shard file is not what was written."""


class ShardFile:
    """One uncompressed shard in memory.

    Args:
      path: of the file.
      array: that it belongs to.

    Raises:
      Damaged: if the file is missing, cut short, or its index is damaged.
    """

    def __init__(self, path: Path, array: ArraySpec) -> None:
        self.name = path.name
        outer, inner = array.shard, array.chunk
        if array.axis == 0:
            outer, inner = (1, *outer), (1, *inner)
        self._base = array.stored.base
        self._shape = (*inner, *array.stored.trailing)
        self._size = int(np.prod(self._shape, dtype=np.int64)) * self._base.itemsize
        self.group, self.rows = inner[0], inner[1]
        places = (outer[0] // inner[0], outer[1] // inner[1])
        try:
            self._data = map_file(path)
        except (FileNotFoundError, ValueError):
            raise Damaged(f"the shard {self.name} is missing or empty") from None
        self._offsets = self._index(places)

    def _index(self, places: tuple[int, int]) -> NpArray:
        length = places[0] * places[1] * _ENTRY_BYTES
        index = self._data[-length - _CRC_BYTES :]
        if len(index) != length + _CRC_BYTES or crc32c(index[:length]) != _stored_crc(index[length:]):
            raise Damaged(f"the index of the shard {self.name} is damaged or cut short")
        entries = index[:length].copy().view("<u8").reshape(*places, 2)
        present = entries[..., 0] != _ABSENT
        ends = entries[..., 0][present] + entries[..., 1][present]
        if (entries[..., 1][present] != self._size + _CRC_BYTES).any() or (ends > len(self._data)).any():
            raise Damaged(f"the index of the shard {self.name} points outside it")
        return np.where(present, entries[..., 0].astype(np.int64), -1)

    def chunk(self, group: int, place: int, *, check: bool) -> NpArray:
        """Gives an inner chunk `[streams, rows, ...]`, a read-only view of the file.

        Raises:
          Damaged: if it was never written, or `check` and its checksum does not hold.
        """
        offset = int(self._offsets[group, place])
        if offset < 0:
            raise Damaged(f"the shard {self.name} lacks inner chunk ({group}, {place})")
        raw = self._data[offset : offset + self._size]
        if check:
            crc = self._data[offset + self._size : offset + self._size + _CRC_BYTES]
            if crc32c(raw) != _stored_crc(crc):
                raise Damaged(f"inner chunk ({group}, {place}) of the shard {self.name} has a wrong checksum")
        return raw.view(self._base).reshape(self._shape)

    def places(self) -> NpArray:
        """Gives the address of each inner chunk's first byte, int64 `[groups, chunks]`; -1 where absent."""
        begin = self._data.__array_interface__["data"][0]
        return np.where(self._offsets < 0, -1, self._offsets + begin)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of one stream."""
        return self._size // (self.group * self.rows)


def _stored_crc(data: Any) -> int:
    return int.from_bytes(bytes(data), "little")
