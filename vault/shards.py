"""Shards as files: uncompressed ones are memory-mapped, the others read through TensorStore.

An uncompressed shard is its inner chunks, 4 bytes of crc32c behind each, and an index with a crc32c of its
own. The index is checked when the file is opened; a chunk's checksum when a long read copies it, and by
`verify`.
"""

import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from .arrays import ArraySpec
from .codecs import NONE
from .dtypes import NpArray, read_only
from .errors import CorruptionError
from .items import copy_items
from .mapped import map_file
from .store import open_store, read_into, read_many

_CRC_BYTES = 4
_UNMAPPED = -2  # the address of an inner chunk whose shard was not opened yet
_ENTRY_BYTES = 16  # offset and size, in the index
_ABSENT = np.uint64(2**64 - 1)
CHECKED_BYTES = 1 << 20  # reads of this size compare checksums and use several threads; tables always do
_THREADS = min(8, os.cpu_count() or 1)


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
        if len(index) != length + _CRC_BYTES or _crc(index[:length]) != _stored_crc(index[length:]):
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
            if _crc(raw) != _stored_crc(crc):
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


class ShardReader:
    """Reads the sealed rows of one array.

    Args:
      root: folder of the vault.
      array: with its sealed length.
    """

    def __init__(self, root: Path, array: ArraySpec) -> None:
        self.array = array
        self._root = root
        self._file = functools.cache(self._open)
        self._places: NpArray | None = None  # of inner chunks in memory, [shards, groups, chunks]
        self._lock = threading.Lock()
        self._store = functools.cache(lambda: open_store(root, array))

    def read(self, start: int, stop: int, out: NpArray, streams: slice = slice(None)) -> None:
        """Reads rows `[start, stop)` into `out`, `[B, rows, ...]` for steps and `[rows, ...]` for tables.

        `streams` is a run of streams, a slice without a step.

        Raises:
          CorruptionError: if a shard is missing or damaged, naming it.
        """
        if stop <= start or out.size == 0:
            return
        try:
            if self.array.codec == NONE:
                self._read_files(start, stop, out, streams)
            else:
                place = (streams, slice(start, stop)) if self.array.axis else (slice(start, stop),)
                read_into(self._store(), self.array, place, out)
        except Damaged as damage:
            raise self._corrupt(str(damage)) from None
        except ValueError as error:
            raise self._corrupt(str(error).split(" [source locations", maxsplit=1)[0][:300]) from None

    def view(self, start: int, stop: int) -> NpArray | None:
        """Gives rows `[B, rows, ...]` of a step array as a view of the file, or None.

        None where they are compressed, in more than one inner chunk, or where streams are in several.
        """
        array = self.array
        rows, group = array.chunk[1], array.chunk[0]
        if array.codec != NONE or group != array.shape[0] or start // rows != (stop - 1) // rows:
            return None
        try:
            file = self._file(start // array.rows)
            chunk = file.chunk(0, start % array.rows // rows, check=False)
        except Damaged as damage:
            raise self._corrupt(str(damage)) from None
        return array.stored.from_disk(chunk[:, start % rows : start % rows + stop - start])

    def gather(self, streams: NpArray, rows: NpArray, items: NpArray, places: NpArray) -> None:
        """Copies items of whole rows, each from a row on and within one inner chunk, to `items[places]`.

        Args:
          streams: int64 `[N]`; zeros for tables.
          rows: int64 `[N]`.
          items: void, one item of bytes each; the array is not compressed.
          places: int64 `[N]`.

        Raises:
          CorruptionError: if a shard is missing or damaged, naming it.
        """
        if not len(rows):
            return
        shards = rows // self.array.rows
        try:
            file = self._map(np.unique(shards))
        except Damaged as damage:
            raise self._corrupt(str(damage)) from None
        group, place = streams // file.group, rows % self.array.rows // file.rows
        assert self._places is not None
        at = self._places[shards, group, place]
        if (at < 0).any():
            raise self._corrupt(f"shard {shards[at.argmin()]} lacks inner chunk {place[at.argmin()]}")
        at += (streams % file.group * file.rows + rows % file.rows) * file.row_bytes
        copy_items(at, items, places)

    def _map(self, shards: NpArray) -> ShardFile:
        """Maps shards, and notes where their inner chunks lie; gives one of them."""
        first = self._file(int(shards[0]))
        with self._lock:
            if self._places is None:
                count = -(-self.array.shape[self.array.axis] // self.array.rows)
                self._places = np.full((count, *first.places().shape), _UNMAPPED)
            for shard in shards[self._places[shards, 0, 0] == _UNMAPPED].tolist():
                self._places[shard] = self._file(shard).places()
        return first

    def slices(self, windows: Any, out: NpArray) -> None:
        """Reads windows of a compressed step array, each its rows from `low` to `high`, as far as sealed."""
        sealed = self.array.shape[1]
        parts = [
            ((slice(stream, stream + 1), slice(low, min(high, sealed))), place, low - row)
            for stream, row, low, high, place in zip(
                *(getattr(windows, n).tolist() for n in ("stream", "row", "low", "high", "place")),
                strict=True,
            )
        ]
        try:
            read_many(
                self._store(),
                self.array,
                [
                    (where, out[at : at + 1, skip:][:, : where[1].stop - where[1].start])
                    for where, at, skip in parts
                ],
            )
        except ValueError as error:
            raise self._corrupt(str(error).split(" [source locations", maxsplit=1)[0][:300]) from None

    def check(self, shard: int, rows: int) -> None:
        """Checks every checksum in the first `rows` rows of a shard.

        Raises:
          CorruptionError: naming the file and the inner chunk.
        """
        array = self.array
        start = shard * array.rows
        out = np.empty((*array.shape[: array.axis], rows, *array.tail), array.dtype)
        if out.size == 0:
            return
        if array.codec != NONE:
            self.read(start, start + rows, out)
            return
        try:
            target, _ = self._target(out)
            self._copy(self._open(shard), 0, rows, target, range(target.shape[0]), check=True)
        except Damaged as damage:
            raise self._corrupt(str(damage)) from None

    def _read_files(self, start: int, stop: int, out: NpArray, streams: slice) -> None:
        target, flat = self._target(out)
        wanted = range(*streams.indices(self.array.shape[0])) if self.array.axis else range(1)
        check, rows = out.nbytes >= CHECKED_BYTES or self.array.axis == 0, self.array.rows

        def one(shard: int) -> None:
            base, low, high = shard * rows, max(start, shard * rows), min(stop, (shard + 1) * rows)
            part = target[:, low - start : high - start]
            self._copy(self._file(shard), low - base, high - base, part, wanted, check=check)

        shards = range(start // rows, (stop - 1) // rows + 1)
        if out.nbytes >= CHECKED_BYTES and len(shards) > 1:
            list(_pool().map(one, shards))
        else:
            for shard in shards:
                one(shard)
        if flat is not None:
            out[...] = self.array.stored.from_disk(flat if self.array.axis else flat[0])

    def _target(self, out: NpArray) -> tuple[NpArray, NpArray | None]:
        """Sees `out` as stored values `[B, rows, ...]`, through a copy for dtypes with a trailing axis."""
        lead, stored = (out if self.array.axis else out[None]), self.array.stored
        if stored.base == stored.dtype:
            return lead, None
        if not stored.trailing and lead.flags.c_contiguous:
            return lead.view(stored.base), None
        flat = np.empty((*lead.shape, *stored.trailing), stored.base)
        return flat, flat

    @staticmethod
    def _copy(file: ShardFile, start: int, stop: int, out: NpArray, streams: range, *, check: bool) -> None:
        """Copies rows `[start, stop)` of a shard into `out`, `[len(streams), rows, ...]`."""
        groups: dict[int, list[int]] = {}
        for place, stream in enumerate(streams):
            groups.setdefault(stream // file.group, []).append(place)
        for at in range(start // file.rows, (stop - 1) // file.rows + 1):
            low, high = max(start, at * file.rows), min(stop, (at + 1) * file.rows)
            inner, outer = (
                slice(low - at * file.rows, high - at * file.rows),
                slice(low - start, high - start),
            )
            for group, places in groups.items():
                chunk = file.chunk(group, at, check=check)
                first = streams[places[0]] % file.group
                out[places[0] : places[-1] + 1, outer] = chunk[first : first + len(places), inner]

    def _open(self, shard: int) -> ShardFile:
        return ShardFile(self._root / self.array.path / self.array.key(shard), self.array)

    def _corrupt(self, what: str) -> CorruptionError:
        return CorruptionError(
            f"The array {self.array.path!r} of the vault {str(self._root)!r} is damaged: {what}. Other "
            "arrays and shards are not touched; `strongbax verify` lists everything that is wrong."
        )


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, "strongbax-read")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of its parent's threads


def _crc(values: NpArray) -> int:
    return google_crc32c.value(read_only(values))


def _stored_crc(data: Any) -> int:
    return int.from_bytes(bytes(data), "little")
