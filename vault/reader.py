"""A snapshot of a vault: sealed rows and tail as one array, at one moment.

A reader takes no lock. It reads the root, then the log that the root names, and looks whether the root is
still the same: then nothing was sealed between, and what it holds is one committed state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from . import log
from .dtypes import NpArray
from .episodes import EpisodeTable, Rows, join_rows
from .gather import Windows, gather
from .jobs import Job, run_all
from .location import Location
from .root import Gap, Root
from .running import begin, empty_rows
from .shards import ShardReader
from .store import aligned_empty
from .tail import State


@dataclass(frozen=True)
class Piece:
    """Steps that no shard holds yet.

    Attributes:
      row: time of the first.
      leaves: `[B, T, ...]` by name.
    """

    row: int
    leaves: Mapping[str, NpArray]

    @property
    def stop(self) -> int:
        """Time after the last."""
        return self.row + next(iter(self.leaves.values())).shape[1]


class Snapshot:
    """One committed state of a vault.

    Args:
      path: folder of the vault.
      root: what the shards hold.
      pieces: the tail, in time order, from `root.length` on.
      rows: episodes that no shard holds, from `root.episodes` on.
      state: what is committed in all.
      gaps: where consecutive rows are not consecutive steps.
      checked: whether every read compares checksums, short ones too; what is read is then a copy.
    """

    def __init__(
        self,
        path: Location,
        root: Root,
        pieces: Sequence[Piece],
        rows: Sequence[Rows],
        state: State,
        gaps: tuple[Gap, ...],
        *,
        checked: bool = False,
    ) -> None:
        self.path, self.root, self.schema, self.state, self.gaps = (
            path,
            root,
            root.schema,
            state,
            gaps,
        )
        self._pieces, self._rows, self._checked = pieces, rows, checked
        self._readers: dict[str, ShardReader] = {}
        self._table: EpisodeTable | None = None

    def checked(self) -> "Snapshot":
        """Gives the same, with every read checked: for copies that are to be trusted as the original is."""
        pieces, rows = self._pieces, self._rows
        return Snapshot(self.path, self.root, pieces, rows, self.state, self.gaps, checked=True)

    def finished(self) -> "Snapshot":
        """Gives the same as of a recording that is over: what runs is cut there.

        So every step is an episode's. The cut episodes are the last ones of the table.
        """
        cut = self.cut_rows()
        state = replace(
            self.state,
            episodes=self.state.episodes + len(cut),
            running=begin(self.schema, self.state.length),
        )
        rows = [*self._rows, cut]
        return Snapshot(self.path, self.root, self._pieces, rows, state, self.gaps, checked=self._checked)

    def cut_rows(self) -> Rows:
        """Gives the running episodes with a step as rows of episodes that were cut."""
        runs, leaves = self.running(), [self.schema.leaf(name) for name in self.schema.finals]
        return Rows(
            {name: runs[name] for name in self.schema.column_dtypes},
            {leaf.name: np.zeros((runs.num_rows, *leaf.shape), leaf.dtype) for leaf in leaves},
            [b"{}"] * runs.num_rows,
        )

    def read(
        self,
        name: str,
        start: int,
        stop: int,
        streams: slice = slice(None),
        out: NpArray | None = None,
    ) -> NpArray:
        """Reads a leaf's rows `[start, stop)`, `[B, stop - start, ...]`.

        A slice that one inner chunk or one piece of the tail holds comes as a read-only view, unless `out`
        is given.
        """
        return self.read_leaves((name,), start, stop, streams, None if out is None else {name: out})[name]

    def read_leaves(
        self,
        names: Sequence[str],
        start: int,
        stop: int,
        streams: slice = slice(None),
        outs: Mapping[str, NpArray] | None = None,
    ) -> dict[str, NpArray]:
        """Reads several leaves as `read` does, a long read by several threads; `outs` has all of them."""
        read: dict[str, NpArray] = {}
        jobs: list[Job] = []
        for name in names:
            if outs is None and (view := self._view(name, start, stop)) is not None:
                read[name] = view[streams]
                continue
            read[name] = self._room(name, stop - start, streams) if outs is None else outs[name]
            jobs += self._jobs(name, start, stop, streams, read[name])
        run_all(jobs)
        return read

    def _room(self, name: str, steps: int, streams: slice) -> NpArray:
        leaf = self.schema.leaf(name)
        count = len(range(*streams.indices(self.schema.streams)))
        return aligned_empty((count, steps, *leaf.shape), leaf.dtype)

    def _jobs(self, name: str, start: int, stop: int, streams: slice, out: NpArray) -> list[Job]:
        """Copies what the tail holds; what shards hold is given as jobs."""
        for piece in self._pieces:
            low, high = max(start, piece.row), min(stop, piece.stop)
            if low < high:
                rows = piece.leaves[name][streams, low - piece.row : high - piece.row]
                out[:, low - start : high - start] = rows
        sealed = min(stop, self.root.length)
        if start >= sealed:
            return []
        return self._reader(name).jobs(start, sealed, out[:, : sealed - start], streams)

    def gather(self, name: str, windows: Windows, out: NpArray) -> None:
        """Gathers a leaf's windows into `out`, `[N, W, ...]`."""
        gather(self._reader(name), self._pieces, name, windows, out)

    def gather_finals(self, name: str, episodes: NpArray, out: NpArray, places: NpArray) -> None:
        """Copies a leaf's final rows of some episodes, int64 `[N]`, to `out[places]`, `out` in C order."""
        sealed = episodes < self.root.episodes
        if len(self._rows) == 0 or sealed.all():
            self._final_reader(name).pick(episodes, out, places)
            return
        self._final_reader(name).pick(episodes[sealed], out, places[sealed])
        stops = self.root.episodes + np.cumsum([len(rows) for rows in self._rows])
        later, target = episodes[~sealed], places[~sealed]
        piece = np.searchsorted(stops, later, side="right")
        for number in np.unique(piece).tolist():
            here, rows = piece == number, self._rows[number]
            out[target[here]] = rows.finals[name][later[here] - stops[number] + len(rows)]

    def episodes(self) -> EpisodeTable:
        """Gives the table of the episodes that ended."""
        if self._table is None:
            rows = join_rows([self._sealed_rows(), *self._rows])
            columns = {"id": np.arange(len(rows)), **rows.columns}
            self._table = EpisodeTable(columns, rows.attributes)
        return self._table

    def running(self) -> EpisodeTable:
        """Gives the table of the episodes that run; only those with a step."""
        running = self.state.running
        streams = np.flatnonzero(running.start < self.state.length).astype(np.int32)
        rows = empty_rows(self.schema)
        count = len(streams)
        known: dict[str, NpArray] = {
            "id": np.full(count, -1),
            "stream": streams,
            "start": running.start[streams],
            "length": self.state.length - running.start[streams],
            "return": running.total[streams] if self.schema.roles.reward else np.full(count, np.nan),
        }
        rest = {
            n: np.zeros((count, *c.shape[1:]), c.dtype) for n, c in rows.columns.items() if n not in known
        }
        return EpisodeTable(known | rest)

    def final(self, name: str, episode: int) -> NpArray:
        """Reads a leaf's final row of an episode."""
        if episode >= self.root.episodes:
            place = episode - self.root.episodes
            for rows in self._rows:
                if place < len(rows):
                    return rows.finals[name][place]
                place -= len(rows)
        leaf = self.schema.leaf(name)
        out = np.empty((1, *leaf.shape), leaf.dtype)
        self._final_reader(name).read(episode, episode + 1, out)
        return out[0]

    def finals(self, name: str) -> NpArray:
        """Reads a leaf's final rows of all ended episodes, `[E, ...]`."""
        return self.final_rows(name, 0, self.state.episodes)

    def final_rows(self, name: str, start: int, stop: int) -> NpArray:
        """Reads a leaf's final rows of the episodes `[start, stop)`, `[stop - start, ...]`."""
        leaf, sealed = self.schema.leaf(name), min(stop, self.root.episodes)
        out = np.empty((stop - start, *leaf.shape), leaf.dtype)
        if start < sealed:
            self._final_reader(name).read(start, sealed, out[: sealed - start])
        first = self.root.episodes
        for rows in self._rows:
            low, high = max(start, first), min(stop, first + len(rows))
            if low < high:
                out[low - start : high - start] = rows.finals[name][low - first : high - first]
            first += len(rows)
        return out

    def _view(self, name: str, start: int, stop: int) -> NpArray | None:
        if stop <= start or self._checked:
            return None
        if stop <= self.root.length:
            return self._reader(name).view(start, stop)
        for piece in self._pieces:
            if piece.row <= start and stop <= piece.stop:
                view = piece.leaves[name][:, start - piece.row : stop - piece.row].view()
                view.flags.writeable = False
                return view
        return None

    def _reader(self, name: str) -> ShardReader:
        if name not in self._readers:
            array = self.schema.step_array(self.schema.leaf(name), self.root.length)
            made = ShardReader(self.path, array, checked=self._checked)
            return self._readers.setdefault(name, made)  # threads may ask at once
        return self._readers[name]

    def _final_reader(self, name: str) -> ShardReader:
        key = f"final/{name}"
        if key not in self._readers:
            array = self.schema.final_array(self.schema.leaf(name), self.root.episodes)
            return self._readers.setdefault(key, ShardReader(self.path, array))
        return self._readers[key]

    def _sealed_rows(self) -> Rows:
        count, size = self.root.episodes, self.root.attribute_bytes
        if count == 0:
            return empty_rows(self.schema)
        columns: dict[str, NpArray] = {}
        for name, array in self.schema.column_arrays(count, size).items():
            columns[name] = np.empty(array.shape, array.dtype)
            ShardReader(self.path, array).read(0, array.shape[0], columns[name])
        text, stops = columns.pop("attributes").tobytes(), columns.pop("attributes_stop").tolist()
        starts = [0, *stops[:-1]]
        texts = [text[a:b] for a, b in zip(starts, stops, strict=True)]
        return Rows(columns, {}, texts)


def take_snapshot(path: Location) -> Snapshot:
    """Reads the newest committed state of a vault that somebody may be writing."""
    return _assemble(path, *log.look(path))


def _assemble(path: Location, root: Root, replayed: log.Replay) -> Snapshot:
    pieces: list[Piece] = []
    rows: list[Rows] = []
    state = State(root.length, root.episodes, root.sequence, root.running, root.added)
    gaps = root.gaps
    for record, _ in replayed.records:
        skip = max(0, root.length - record.row)
        if skip < record.steps:
            pieces.append(Piece(record.row + skip, {n: v[:, skip:] for n, v in record.leaves.items()}))
        known = max(0, root.episodes - record.episode)
        if known < len(record.rows):
            rows.append(record.rows.part(known, len(record.rows)))
        gaps += tuple(gap for gap in record.gaps if gap not in gaps)
        episodes = record.episode + len(record.rows)
        if record.sequence + 1 >= root.sequence:
            state = State(record.stop, episodes, record.sequence + 1, record.running, record.added)
    return Snapshot(path, root, pieces, rows, state, gaps)
