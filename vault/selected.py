"""Chosen episodes of one or more vaults, end to end as one stream.

```
# episode   :  |<---- 7 ---->|<-- 8 -->|<- 2 ->|      chosen, in this order
# rows      :   70 ...... 83  84 ... 93  20 . 25      where they lie; 7 and 8 are read in one go
# time      :   0 ............ 14 ..... 24 ... 29     where a reader of the view finds them
```
Nothing is copied: a row of the table says where the steps lie, and a read goes there. Episodes that lie one
behind the other are read in one go, long reads by several threads.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from .common_schema import common_schema
from .dtypes import NpArray
from .episodes import EpisodeTable, join_tables
from .errors import ConflictError
from .gather import Windows
from .jobs import LONG_BYTES
from .location import Location
from .reader import Snapshot, take_snapshot
from .root import Gap, Running
from .store import aligned_empty
from .tail import State

_THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Runs:
    """Rows of the sources that are read in one go, in the order of the view. int64 `[R]`.

    Attributes:
      time: of the first step, in the view.
      source: which snapshot.
      stream: in the source.
      row: of the first step, in the source.
      length: in steps.
    """

    time: NpArray
    source: NpArray
    stream: NpArray
    row: NpArray
    length: NpArray


class Selected:
    """Episodes chosen from snapshots; itself `Committed`, with one stream.

    Args:
      sources: the snapshots.
      chosen: int64 [E], episodes by their places in the sources' tables end to end.

    Raises:
      ValueError: if the sources do not hold the same leaves.
    """

    gaps: tuple[Gap, ...] = ()

    def __init__(self, sources: Sequence[Snapshot], chosen: NpArray) -> None:
        self.sources, self.chosen = tuple(sources), chosen
        self.schema = common_schema(self.sources)

    @classmethod
    def whole(cls, snapshot: Snapshot) -> "Selected":
        """Chooses all episodes of a snapshot."""
        return cls((snapshot,), np.arange(snapshot.state.episodes))

    def choose(self, places: NpArray) -> "Selected":
        """Chooses some of the episodes, by their places among these."""
        return Selected(self.sources, self.chosen[places])

    @functools.cached_property
    def offsets(self) -> NpArray:
        """Where each source's episodes begin among all, int64 [S + 1]."""
        return np.cumsum([0, *(source.state.episodes for source in self.sources)])

    @functools.cached_property
    def source(self) -> NpArray:
        """Which source each episode is of, int64 [E]."""
        return np.searchsorted(self.offsets, self.chosen, side="right") - 1

    @functools.cached_property
    def ids(self) -> NpArray:
        """Each episode's id in its vault, int64 [E]."""
        return self.chosen - self.offsets[self.source]

    @functools.cached_property
    def where(self) -> EpisodeTable:
        """The chosen episodes' rows as their vaults have them: stream and start say where the steps lie."""
        tables = [self._known(source) for source in self.sources]
        return join_tables(tables).take(self.chosen)

    @functools.cached_property
    def mark(self) -> int:
        """A number that tells these episodes from others: a checksum of where they lie."""
        columns = [self.where[name].astype("<i8") for name in ("stream", "start", "length")]
        return crc32(np.stack([self.source.astype("<i8"), *columns]).tobytes())

    def reopened(self) -> "Selected":
        """Gives the same episodes, of the vaults opened anew.

        Raises:
          ConflictError: if a vault was replaced by another meanwhile.
        """
        return _reopened([source.path for source in self.sources], self.source, self.ids, self.mark)

    def __reduce__(self) -> tuple[Any, ...]:
        paths = [source.path for source in self.sources]
        return _reopened, (paths, self.source, self.ids, self.mark)

    @functools.cached_property
    def starts(self) -> NpArray:
        """Time of each episode's first step in the view, and the end, int64 [E + 1]."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.where["length"], dtype=np.int64)])

    @property
    def state(self) -> State:
        """How many steps and episodes there are; nothing runs."""
        return self._state

    @functools.cached_property
    def _state(self) -> State:
        length = int(self.starts[-1])
        running = Running(np.array([length]), np.zeros((1, *self.schema.return_shape)))
        return State(length, len(self.chosen), 0, running, None)

    @functools.cached_property
    def runs(self) -> Runs:
        """The rows that are read in one go."""
        held = np.flatnonzero(self.where["length"])
        source, stream, row, length = (
            values[held].astype(np.int64)
            for values in (self.source, self.where["stream"], self.where["start"], self.where["length"])
        )
        follows = (np.diff(source) == 0) & (np.diff(stream) == 0) & (row[1:] == (row + length)[:-1])
        first = np.flatnonzero(np.concatenate([np.ones(len(held[:1]), np.bool_), ~follows]))
        total = np.add.reduceat(length, first) if len(first) else length
        return Runs(self.starts[held][first], source[first], stream[first], row[first], total)

    def read(
        self,
        name: str,
        start: int,
        stop: int,
        streams: slice = slice(None),
        out: NpArray | None = None,
    ) -> NpArray:
        """Reads a leaf's rows `[start, stop)`, `[1, stop - start, ...]`."""
        leaf, runs = self.schema.leaf(name), self.runs
        del streams  # there is one
        first = int(np.searchsorted(runs.time, start, side="right")) - 1
        last = int(np.searchsorted(runs.time, stop, side="left"))
        if out is None and stop > start and last == first + 1:
            return self._one(name, first, start, stop, None)
        if out is None:
            out = aligned_empty((1, stop - start, *leaf.shape), leaf.dtype)
        target = out

        def one(run: int) -> None:
            low = max(start, int(runs.time[run]))
            high = min(stop, int(runs.time[run] + runs.length[run]))
            self._one(name, run, low, high, target[:, low - start : high - start])

        if stop > start and out.nbytes >= LONG_BYTES and last > first + 1:
            list(_pool().map(one, range(first, last)))
        elif stop > start:
            for run in range(first, last):
                one(run)
        return out

    def read_leaves(
        self,
        names: Sequence[str],
        start: int,
        stop: int,
        streams: slice = slice(None),
        outs: Mapping[str, NpArray] | None = None,
    ) -> dict[str, NpArray]:
        """Reads several leaves as `read` does, into `outs` where it is given."""
        return {
            name: self.read(name, start, stop, streams, None if outs is None else outs[name])
            for name in names
        }

    def _one(self, name: str, run: int, low: int, high: int, out: NpArray | None) -> NpArray:
        """Reads rows that lie in one run, by their time in the view."""
        runs = self.runs
        row, stream = int(runs.row[run] - runs.time[run]), int(runs.stream[run])
        source = self.sources[int(runs.source[run])]
        return source.read(name, low + row, high + row, slice(stream, stream + 1), out)

    def place(self, episode: NpArray, first: NpArray, steps: NpArray, lead: NpArray) -> Windows:
        """Says where windows lie in their sources; their places are their numbers.

        Args:
          episode: int64 `[N]`, by their places here.
          first: int64 `[N]`, the window's first step in its episode.
          steps: int64 `[N]`, how many steps it has.
          lead: int64 `[N]`, how many it is padded by before them.
        """
        low = self.where["start"][episode] + first
        stream = self.where["stream"][episode].astype(np.int64)
        return Windows(stream, low - lead, low, low + steps, np.arange(len(low)))

    def gather(self, name: str, episode: NpArray, windows: Windows, out: NpArray) -> None:
        """Gathers a leaf's windows, of these episodes, into `out`, `[N, W, ...]`."""
        if len(self.sources) == 1:
            self.sources[0].gather(name, windows, out)
            return
        source = self.source[episode]
        for place in np.unique(source).tolist():
            self.sources[place].gather(name, windows.part(np.flatnonzero(source == place)), out)

    def gather_finals(self, name: str, episode: NpArray, out: NpArray, places: NpArray) -> None:
        """Copies a leaf's final rows of some episodes, int64 `[N]`, to `out[places]`."""
        source, ids = self.source[episode], self.ids[episode]
        for place in np.unique(source).tolist():
            here = np.flatnonzero(source == place)
            self.sources[place].gather_finals(name, ids[here], out, places[here])

    def episodes(self) -> EpisodeTable:
        """Gives the table of the chosen episodes, by their places in the view."""
        return self._table

    @functools.cached_property
    def _table(self) -> EpisodeTable:
        count = len(self.chosen)
        return self.where.replace(
            id=np.arange(count), stream=np.zeros(count, np.int32), start=self.starts[:-1]
        )

    def running(self) -> EpisodeTable:
        """Gives a table without rows: a view holds episodes that ended."""
        return self.episodes().take(np.zeros(0, np.int64))

    def final(self, name: str, episode: int) -> NpArray:
        """Reads a leaf's final row of an episode; zeros where its vault keeps none."""
        source, leaf = self.sources[int(self.source[episode])], self.schema.leaf(name)
        if name not in source.schema.finals:
            return np.zeros(leaf.shape, leaf.dtype)
        return source.final(name, int(self.ids[episode]))

    def finals(self, name: str) -> NpArray:
        """Reads a leaf's final rows of the chosen episodes, `[E, ...]`; zeros where a vault keeps none."""
        leaf = self.schema.leaf(name)
        out = np.zeros((len(self.chosen), *leaf.shape), leaf.dtype)
        for place, source in enumerate(self.sources):
            here = np.flatnonzero(self.source == place)
            if len(here) and name in source.schema.finals:
                out[here] = source.finals(name)[self.ids[here]]
        return out

    def _known(self, source: Snapshot) -> EpisodeTable:
        """A source's table with the columns that all have; no final is known where none is kept."""
        table = source.episodes()
        wanted = ["id", *self.schema.column_dtypes]
        table = table.only(wanted)
        if self.schema.finals and not source.schema.finals:
            return table.replace(final_known=np.zeros(table.num_rows, np.bool_))
        return table


def _reopened(paths: Sequence[Location], source: NpArray, ids: NpArray, mark: int) -> Selected:
    """Chooses episodes by their ids in vaults that are opened anew; a writer may have gone on meanwhile."""
    sources = [take_snapshot(path) for path in paths]
    counts = np.array([snapshot.state.episodes for snapshot in sources], np.int64)
    selected = Selected(sources, (np.cumsum(counts) - counts)[source] + ids)
    if (ids >= counts[source]).any() or selected.mark != mark:
        raise ConflictError(
            f"The vaults {[str(path) for path in paths]} do not hold the episodes any more that were chosen: "
            "one was replaced by another. Make the view anew."
        )
    return selected


@functools.cache
def _pool() -> ThreadPoolExecutor:
    # Not the one that a shard reader uses: its threads must not wait for themselves.
    return ThreadPoolExecutor(_THREADS, "strongbax-view")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of its parent's threads
