"""Sealed rows of an array: uncompressed shards are memory-mapped, the others read through TensorStore."""

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import ArraySpec
from .bucket import is_refusal, storage_error
from .codecs import NONE
from .dtypes import NpArray
from .errors import CorruptionError, StrongbaxError
from .items import copy_items, items_of
from .jobs import LONG_BYTES, Job, run_all
from .location import Location
from .objects import ObjectPath
from .once import once
from .shard_file import Damaged, ShardFile
from .store import open_store, read_into, read_many, read_rows

_UNMAPPED = -2  # the address of an inner chunk whose shard was not opened yet


class ShardReader:
    """Reads the sealed rows of one array.

    Args:
      root: folder of the vault.
      array: with its sealed length.
      checked: whether short reads compare checksums too.
    """

    def __init__(self, root: Location, array: ArraySpec, *, checked: bool = False) -> None:
        self.array = array
        self._root, self._checked = root, checked
        self.mapped = array.codec == NONE and isinstance(root, Path)
        self._file = once(self._open)
        self._places: NpArray | None = None  # of inner chunks in memory, [shards, groups, chunks]
        self._lock = threading.Lock()
        self._store = functools.cache(lambda: open_store(root, array))

    def read(self, start: int, stop: int, out: NpArray, streams: slice = slice(None)) -> None:
        """Reads rows `[start, stop)` into `out`, `[B, rows, ...]` for steps and `[rows, ...]` for tables.

        `streams` is a run of streams, a slice without a step.

        Raises:
          CorruptionError: if a shard is missing or damaged, naming it.
        """
        run_all(self.jobs(start, stop, out, streams))

    def jobs(self, start: int, stop: int, out: NpArray, streams: slice = slice(None)) -> list[Job]:
        """Gives what `read` does as pieces; each raises as it does."""
        if stop <= start or out.size == 0:
            return []
        if self.mapped:
            return self._files(start, stop, out, streams)
        place = (streams, slice(start, stop)) if self.array.axis else (slice(start, stop),)
        size = out.nbytes if isinstance(self._root, Path) else max(LONG_BYTES, out.nbytes)  # they wait
        return [self._job(size, lambda: read_into(self._store(), self.array, place, out))]

    def view(self, start: int, stop: int) -> NpArray | None:
        """Gives rows `[B, rows, ...]` of a step array as a view of the file, or None.

        None where they are compressed, in more than one inner chunk, or where streams are in several; and
        where a step is empty.
        """
        array = self.array
        rows, group = array.chunk[1], array.chunk[0]
        whole = group == array.shape[0] and start // rows == (stop - 1) // rows
        if not self.mapped or not whole or 0 in array.shape:  # of nothing there is no file
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
            raise self._told(error) from None

    def pick(self, rows: NpArray, out: NpArray, places: NpArray) -> None:
        """Copies rows of a table, int64 `[N]`, to `out[places]`, `out` in C order: all in one read.

        Raises:
          CorruptionError: if a shard is missing or damaged, naming it.
        """
        if not (len(rows) and out.size):
            return
        if self.mapped:
            self.gather(np.zeros_like(rows), rows, items_of(out, out.nbytes // len(out)), places)
            return
        once, back = np.unique(rows, return_inverse=True)
        try:
            out[places] = read_rows(self._store(), self.array, once)[back]
        except ValueError as error:
            raise self._told(error) from None

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
        if not self.mapped:
            self.read(start, start + rows, out)
            return
        try:
            target, _ = self._target(out)
            self._copy(self._open(shard), 0, rows, target, range(target.shape[0]), check=True)
        except Damaged as damage:
            raise self._corrupt(str(damage)) from None

    def _job(self, size: int, run: Callable[[], None]) -> Job:
        """Makes a job whose errors name the array."""

        def named() -> None:
            try:
                run()
            except Damaged as damage:
                raise self._corrupt(str(damage)) from None
            except ValueError as error:
                raise self._told(error) from None

        return Job(size, named)

    def _files(self, start: int, stop: int, out: NpArray, streams: slice) -> list[Job]:
        """A job a shard; one for all where what is stored must be changed into what is wanted."""
        target, flat = self._target(out)
        wanted = range(*streams.indices(self.array.shape[0])) if self.array.axis else range(1)
        check = self._checked or out.nbytes >= LONG_BYTES or self.array.axis == 0
        rows = self.array.rows
        shards = range(start // rows, (stop - 1) // rows + 1)

        def one(shard: int) -> None:
            base, low, high = shard * rows, max(start, shard * rows), min(stop, (shard + 1) * rows)
            part = target[:, low - start : high - start]
            self._copy(self._file(shard), low - base, high - base, part, wanted, check=check)

        if flat is None:
            return [self._job(out.nbytes // len(shards), functools.partial(one, shard)) for shard in shards]

        def whole() -> None:
            for shard in shards:
                one(shard)
            out[...] = self.array.stored.from_disk(flat if self.array.axis else flat[0])

        return [self._job(out.nbytes, whole)]

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
        assert isinstance(self._root, Path)  # only files are mapped
        return ShardFile(self._root / self.array.path / self.array.key(shard), self.array)

    def _told(self, error: ValueError) -> StrongbaxError:
        """Says what TensorStore found: damage, unless an object store did not answer."""
        if isinstance(self._root, ObjectPath) and is_refusal(error):
            return storage_error(error, str(self._root), "read")
        return self._corrupt(str(error).split(" [source locations", maxsplit=1)[0][:300])

    def _corrupt(self, what: str) -> CorruptionError:
        return CorruptionError(
            f"The array {self.array.path!r} of the vault {str(self._root)!r} is damaged: {what}. Other "
            "arrays and shards are not touched; `strongbax verify` lists everything that is wrong."
        )
