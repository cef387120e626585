"""What is left of a damaged vault: a snapshot of the episodes that lost no step, and what is lost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .counting import Told
from .dtypes import NpArray
from .episodes import Rows, join_rows
from .log_scan import Found, scan_log
from .reader import Piece, Snapshot
from .root import Root, Running
from .running import begin, empty_rows
from .salvage_table import Notes, Table, find_places, find_values, read_table, sum_rewards
from .scan import look_at_all
from .tail import State


class Salvaged(Snapshot):
    """A snapshot with the table and final rows that are left.

    Args:
      path: folder of the damaged vault.
      root: what its shards hold.
      pieces: steps of the log; some may be missing between them.
      rows: all episodes that are known.
    """

    def __init__(self, path: Path, root: Root, pieces: Sequence[Piece], rows: Rows) -> None:
        length = max([root.length, *(piece.stop for piece in pieces)])
        state = State(length, len(rows), 0, begin(root.schema, length), None)
        super().__init__(path, root, pieces, [], state, root.gaps, checked=True)
        self._left = rows

    def checked(self) -> Snapshot:
        """Gives itself: every read is checked."""
        return self

    def final_rows(self, name: str, start: int, stop: int) -> NpArray:
        """Reads a leaf's final rows of the episodes `[start, stop)`; zeros where they are lost."""
        return self._left.finals[name][start:stop]

    def _sealed_rows(self) -> Rows:
        return self._left


@dataclass
class Salvage:
    """What is left of a vault.

    Attributes:
      path: folder of the vault.
      root: what the shards hold, as it stands or was made anew.
      notes: what is wrong.
      log: what is left of the log.
      missing: runs of rows that the log lost.
      table: the sealed episodes.
      later: the log's episodes.
      ids: int64 [E], ids of all episodes that are known.
      whole: bool [E], which of them lost nothing that they cannot do without.
      running: the episodes that run where what is left ends.
      all_known: whether no episode is missing in the tables.
    """

    path: Path
    root: Root
    notes: Notes
    log: Found
    missing: list[tuple[int, int]]
    table: Table
    later: Rows
    ids: NpArray
    whole: NpArray
    running: Running
    all_known: bool = True

    @property
    def length(self) -> int:
        """Where what is left ends, in steps of each stream."""
        return max([self.root.length, *(record.stop for record in self.log.records[-1:])])

    @property
    def complete(self) -> bool:
        """Whether every step before `length` and every episode is there."""
        between = [run for run in self.missing if run[0] < self.length]
        between += self.log.jumps(self.root.sequence)
        lost = [loss for loss in self.notes.losses if loss.array.startswith("steps/")]
        return self.all_known and not between and not lost and bool(self.whole.all())

    def rows(self) -> Rows:
        """Gives all episodes that are known, with the columns that are."""
        rows = join_rows([self.table.rows(), self.later])
        return replace(rows, columns={n: c for n, c in rows.columns.items() if n not in self.table.without})

    def snapshot(self) -> Salvaged:
        """Gives all known episodes, and those that run as cut; only those of `left` can be read."""
        schema = self.root.schema
        kept = {name: dtype for name, dtype in schema.columns.items() if name not in self.table.without}
        root = replace(self.root, schema=replace(schema, columns=kept))
        return Salvaged(self.path, root, self.pieces(), join_rows([self.rows(), _cut(root, self)]))

    def left(self) -> NpArray:
        """Gives the places in `snapshot()` of the episodes that are whole, int64."""
        cut = _cut(self.root, self)
        return np.flatnonzero(np.concatenate([self.whole, ~_touched(self, cut)]))

    def pieces(self) -> list[Piece]:
        """Gives the steps of the log that no shard holds."""
        return [
            Piece(record.row + skip, {name: leaf[:, skip:] for name, leaf in record.leaves.items()})
            for record in self.log.records
            if (skip := max(0, self.root.length - record.row)) < record.steps
        ]


def salvage(path: Path, told: Told, notes: Notes) -> Salvage:
    """Looks at everything in a vault and keeps what is whole.

    Args:
      path: folder of the vault.
      told: its root, as it stands or made anew.
      notes: grows.
    """
    root = told.root
    log = scan_log(path, root.schema, root.log)
    missing = log.missing(root.length, root.committed)
    notes.lost += [
        f"Steps {low} to {high - 1} of each stream, which the log held, are lost." for low, high in missing
    ]
    notes.lost += [
        f"The log's records {low} to {high - 1} are lost." for low, high in log.jumps(root.sequence)
    ]
    for leaf in root.schema.leaves:
        for losses in look_at_all(path, root.schema.step_array(leaf, root.length)):
            notes.add(losses)
    table = read_table(path, root, notes)
    later, ids = _later(root, log)
    none = np.zeros(0, np.bool_)
    found = Salvage(path, root, notes, log, missing, table, later, ids, none, root.running)
    last = log.records[-1] if log.records else None
    newest = last is not None and (last.sequence + 1 >= root.sequence or last.stop > root.length)
    found.running = last.running if last is not None and newest else root.running
    find_places(table, root, _ends(later, found.running), notes)
    found.whole = np.concatenate([table.placed, np.ones(len(later), np.bool_)])
    found.whole &= ~_touched(found, found.rows())
    steps = Salvaged(path, root, found.pieces(), found.rows())
    sealed = found.whole[: root.episodes]
    find_values(table, root, steps, sealed, notes)
    found.whole[: root.episodes] = sealed
    if not told.ends and not newest:
        found.running = begin(root.schema, found.length)
    elif (told.anew or root.committed > found.length) and not newest:
        found.running = running_at(found, steps, found.length)
    unknown = np.setdiff1d(np.arange(int(ids.max(initial=-1)) + 1), ids)
    if len(unknown):
        notes.lost.append(
            f"The episodes {unknown[0]} to {unknown[-1]} are lost: nothing tells where they lie."
        )
    found.all_known = told.ends and not len(unknown)
    return found


def running_at(found: Salvage, steps: Snapshot, stop: int) -> Running:
    """Gives the episodes that run at `stop`, from the table and the rewards."""
    root, rows = found.root, found.rows()
    start = np.zeros(root.schema.streams, np.int64)
    np.maximum.at(start, rows.columns["stream"], rows.columns["start"] + rows.columns["length"])
    total = np.zeros((root.schema.streams, *root.schema.return_shape))
    if not found.table.placed.all():  # one that is lost may be the last of its stream
        start[:] = stop
    lost = _lost_streams(found, start, stop)
    for stream in np.flatnonzero((start < stop) & ~lost).tolist():
        if root.schema.roles.reward is not None:
            total[stream] = sum_rewards(steps, root, stream, int(start[stream]), stop)
    return Running(start, total)


def _later(root: Root, log: Found) -> tuple[Rows, NpArray]:
    """Gives the log's episodes that no shard holds, and the ids of all."""
    parts, ids, first = [empty_rows(root.schema)], [np.arange(root.episodes)], root.episodes
    for record in log.records:
        first = max(first, record.episode)
        known, count = first - record.episode, len(record.rows)
        if known < count:
            parts.append(record.rows.part(known, count))
            ids.append(np.arange(first, record.episode + count))
            first = record.episode + count
    return join_rows(parts), np.concatenate(ids).astype(np.int64)


def _ends(later: Rows, running: Running) -> NpArray:
    """Gives where the first episode after the sealed table starts, int64 [B]."""
    ends = running.start.copy()
    for row in range(len(later) - 1, -1, -1):
        ends[later.columns["stream"][row]] = later.columns["start"][row]
    return ends


def _touched(found: Salvage, rows: Rows) -> NpArray:
    """Says which episodes a lost step is of, bool [E]."""
    stream, start, length = (rows.columns[name] for name in ("stream", "start", "length"))
    touched = np.zeros(len(rows), np.bool_)
    everywhere = (0, found.root.schema.streams)
    spans = [(loss.streams, loss.rows) for loss in found.notes.losses if loss.array.startswith("steps/")]
    for (first, last), (low, high) in [*spans, *((everywhere, run) for run in found.missing)]:
        touched |= (
            (first <= stream) & (stream < last) & (start < high) & (start + length > low) & (length > 0)
        )
    return touched


def _lost_streams(found: Salvage, start: NpArray, stop: int) -> NpArray:
    """Says of which streams a step from `start` to `stop` is lost, bool [B]."""
    columns = {"stream": np.arange(len(start)), "start": start, "length": np.maximum(stop - start, 0)}
    return _touched(found, Rows(columns, {}, [b""] * len(start)))


def _cut(root: Root, found: Salvage) -> Rows:
    """Gives the running episodes with a step as rows of episodes that are cut."""
    length = found.length
    state = State(length, 0, 0, found.running, None)
    return Snapshot(found.path, root, [], [], state, ()).cut_rows()
