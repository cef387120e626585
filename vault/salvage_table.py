"""The sealed episode table of a damaged vault: what is left of it, and what another place tells.

What cannot be known is left out and never made up. What stands in two places is taken from the other: a start
from the lengths before it, a length from the starts, a return from the rewards, flags from an episode's last
step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .arrays import ArraySpec
from .dtypes import NpArray
from .episodes import Rows
from .reader import Snapshot
from .roles import read_flags
from .root import Root
from .scan import Loss, look_at_all, tell
from .schema import ATTRIBUTES, ATTRIBUTES_STOP
from .shards import ShardReader

_SUMMED_STEPS = 1 << 16


@dataclass
class Notes:
    """What was found wrong.

    Attributes:
      losses: inner chunks and shards that are lost.
      lost: a sentence for everything that is lost.
      mended: a sentence for everything that was taken from elsewhere.
    """

    losses: list[Loss] = field(default_factory=list[Loss])
    lost: list[str] = field(default_factory=list[str])
    mended: list[str] = field(default_factory=list[str])

    def add(self, losses: Sequence[Loss]) -> None:
        """Notes losses of one shard."""
        self.losses += losses
        self.lost += [tell(losses)] if losses else []


@dataclass
class Table:
    """The sealed part of an episode table.

    Attributes:
      columns: `[E, ...]` by name; rows that are not known mean nothing.
      known: bool [E] by name.
      finals: `[E, ...]` by leaf name; zeros where they are lost.
      texts: the attributes; `{}` where they are lost.
      placed: bool [E], whether stream, start and length are known.
      patched: paths of the arrays that are not on the disk as they are here.
      without: user columns that lost a value.
    """

    columns: dict[str, NpArray]
    known: dict[str, NpArray]
    finals: dict[str, NpArray] = field(default_factory=dict[str, NpArray])
    texts: list[bytes] = field(default_factory=list[bytes])
    placed: NpArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    patched: set[str] = field(default_factory=set[str])
    without: list[str] = field(default_factory=list[str])

    def rows(self) -> Rows:
        """Gives it as rows."""
        return Rows(self.columns, self.finals, self.texts)


def read_table(path: Path, root: Root, notes: Notes) -> Table:
    """Reads what is left of the sealed table."""
    schema, table = root.schema, Table({}, {})
    for name, array in schema.column_arrays(root.episodes, root.attribute_bytes).items():
        table.columns[name], table.known[name] = read_array(path, array, notes)
        table.patched |= set() if table.known[name].all() else {array.path}
    table.texts = _texts(table, notes)
    table.without = [name for name in schema.columns if not table.known[name].all()]
    notes.mended += [f"The column {name!r} is left out: values of it are lost." for name in table.without]
    table.columns["final_known"] &= table.known["final_known"]
    changed = not table.known["final_known"].all()
    for name in schema.finals:
        table.finals[name], there = read_array(
            path, schema.final_array(schema.leaf(name), root.episodes), notes
        )
        changed |= not there.all()
        table.columns["final_known"] &= there
    if changed:
        for values in table.finals.values():
            values[~table.columns["final_known"]] = 0
        table.patched |= {f"final/{name}" for name in schema.finals} | {"episodes/final_known"}
        notes.mended.append("The final rows that are lost are now unknown.")
    return table


def find_places(table: Table, root: Root, ends: NpArray, notes: Notes) -> None:
    """Finds lost streams, starts and lengths, as far as others tell them.

    Args:
      table: filled in.
      root: of the vault.
      ends: int64 [B], where the episode after the table's last one of a stream starts.
      notes: grows.
    """
    columns, known = table.columns, table.known
    if root.schema.streams == 1 and not known["stream"].all():
        columns["stream"][:], known["stream"][:] = 0, True
        notes.mended.append("Every episode is of stream 0: there is one.")
    if known["stream"].all() and not (known["start"] & known["length"]).all():
        for stream in np.unique(columns["stream"]).tolist():
            _chain(table, np.flatnonzero(columns["stream"] == stream), int(ends[stream]))
        if (known["start"] & known["length"]).all():
            notes.mended.append("Starts or lengths of episodes that are lost were found from the others.")
    start, length = columns["start"], columns["length"]
    inside = (start >= 0) & (length >= 0) & (start + length <= max(root.length, root.committed))
    table.placed = known["stream"] & known["start"] & known["length"] & inside
    if not table.placed.all():
        notes.lost.append(f"Where the episodes {_named(np.flatnonzero(~table.placed))} lie is lost.")


def find_values(table: Table, root: Root, steps: Snapshot, whole: NpArray, notes: Notes) -> None:
    """Finds lost flags and returns in the steps of episodes that are whole; the others are not whole then.

    Args:
      table: filled in.
      root: of the vault.
      steps: to read from.
      whole: bool [E], which episodes lost no step; changed.
      notes: grows.
    """
    known, roles = table.known, root.schema.roles
    for row in np.flatnonzero(~(known["terminated"] & known["truncated"]) & whole).tolist():
        stop = int(table.columns["start"][row] + table.columns["length"][row])
        if not roles.ends or table.columns["length"][row] == 0:
            whole[row] = False
            notes.lost.append(f"How episode {row} ended is lost.")
            continue
        stream = int(table.columns["stream"][row])
        place = slice(stream, stream + 1)
        last = {name: steps.read(name, stop - 1, stop, place) for name in root.schema.names}
        flags = read_flags(roles, last, 1, 1)
        for name, flag in (("terminated", flags.terminated), ("truncated", flags.truncated)):
            if not known[name][row]:
                table.columns[name][row] = flag is not None and bool(flag[0, 0])
    if not (known["terminated"] & known["truncated"]).all():
        notes.mended.append("Flags of episodes that are lost were taken from their last steps.")
    unsummed = np.flatnonzero(~known["return"] & whole).tolist()
    for row in unsummed:
        stream, start, length = (int(table.columns[name][row]) for name in ("stream", "start", "length"))
        table.columns["return"][row] = sum_rewards(steps, root, stream, start, start + length)
    if unsummed:
        notes.mended.append("Returns of episodes that are lost were summed anew from the rewards.")


def sum_rewards(steps: Snapshot, root: Root, stream: int, start: int, stop: int) -> NpArray:
    """Sums the rewards of a stream's rows in float64, in the shape of a return; NaN without a reward."""
    schema = root.schema
    if schema.roles.reward is None:
        return np.full(schema.return_shape, np.nan)
    total = np.zeros(schema.return_shape)
    for low in range(start, stop, _SUMMED_STEPS):
        part = steps.read(schema.roles.reward, low, min(stop, low + _SUMMED_STEPS), slice(stream, stream + 1))
        total = total + part.reshape(part.shape[1], *schema.return_shape).sum(axis=0, dtype=np.float64)
    return total


def read_array(path: Path, array: ArraySpec, notes: Notes) -> tuple[NpArray, NpArray]:
    """Reads what is left of a table's array, `[E, ...]`, zeros where lost, and what is known, bool [E]."""
    out, known = np.zeros(array.shape, array.dtype), np.ones(array.shape[0], np.bool_)
    for losses in look_at_all(path, array):
        notes.add(losses)
        for loss in losses:
            known[slice(*loss.rows)] = False
    reader, edges = ShardReader(path, array), (np.flatnonzero(np.diff(known)) + 1).tolist()
    for low, high in zip([0, *edges], [*edges, len(known)], strict=True):
        if low < high and known[low]:
            reader.read(low, high, out[low:high])
    return out, known


def _texts(table: Table, notes: Notes) -> list[bytes]:
    """Cuts the texts apart; one whose bytes or place is lost is empty."""
    text, stops = table.columns.pop(ATTRIBUTES), table.columns.pop(ATTRIBUTES_STOP)
    bytes_known, stop_known = table.known.pop(ATTRIBUTES), table.known.pop(ATTRIBUTES_STOP)
    starts = np.concatenate([np.zeros(1, np.int64), stops])[:-1]
    known = stop_known & np.concatenate([np.ones(1, np.bool_), stop_known])[:-1]
    known &= (starts <= stops) & (stops <= len(text))
    lost_before = np.concatenate([np.zeros(1, np.int64), np.cumsum(~bytes_known)])
    known[known] = lost_before[stops[known]] == lost_before[starts[known]]
    if not known.all():
        notes.lost.append(f"The attributes of the episodes {_named(np.flatnonzero(~known))} are lost.")
        table.patched |= {f"episodes/{ATTRIBUTES}", f"episodes/{ATTRIBUTES_STOP}"}
    data = text.tobytes()
    spans = zip(starts.tolist(), stops.tolist(), known.tolist(), strict=True)
    return [data[low:high] if there else b"{}" for low, high, there in spans]


def _chain(table: Table, rows: NpArray, end: int) -> None:
    """Finds starts and lengths of a stream's episodes, of which each begins where the one before ends."""
    start, length = table.columns["start"], table.columns["length"]
    has_start, has_length = table.known["start"], table.known["length"]
    for place, row in enumerate(rows.tolist()):
        before = int(rows[place - 1]) if place else None
        if not has_start[row] and before is None:
            start[row], has_start[row] = 0, True
        elif not has_start[row] and before is not None and has_start[before] and has_length[before]:
            start[row], has_start[row] = start[before] + length[before], True
    for place in range(len(rows) - 1, -1, -1):
        row = int(rows[place])
        after = int(rows[place + 1]) if place + 1 < len(rows) else None
        stop = end if after is None else int(start[after]) if has_start[after] else None
        if stop is not None and has_start[row] and not has_length[row]:
            length[row], has_length[row] = stop - start[row], True
        elif stop is not None and has_length[row] and not has_start[row]:
            start[row], has_start[row] = stop - length[row], True


def _named(rows: NpArray) -> str:
    shown = ", ".join(map(str, rows[:10].tolist()))
    return f"{shown} and {len(rows) - 10} more" if len(rows) > 10 else shown
