"""How episodes begin, run and end while steps come in.

Between two flushes only the start and the sum of rewards of each stream's running episode are kept; a
block of steps and its flags turn them into the rows of the episodes that ended and the next such state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .dtypes import NpArray
from .episodes import Ends, Rows, encode_attributes
from .roles import Flags
from .root import Running
from .schema import Schema


def begin(schema: Schema, time: int = 0) -> Running:
    """Gives the state in which every stream's episode begins at `time`."""
    total = np.zeros((schema.streams, *schema.return_shape))
    return Running(np.full(schema.streams, time, np.int64), total)


def stops_of(flags: Flags, running: Running, time: int) -> tuple[NpArray, Ends]:
    """Finds the ends in a block that begins at `time`.

    Returns:
      Streams int64 [E], and the ends stream by stream, each in the order of their stops.
    """
    streams, steps = flags.last.shape
    if flags.first is not None:
        stop = np.zeros((streams, steps + 1), np.bool_)
        stop[:, 1:] = flags.last
        stop[:, :steps] |= flags.first
        stop[:, 0] &= running.start < time
        stream, at = stop.nonzero()
        inside = at > 0
        last = stream * steps + np.maximum(at - 1, 0)
    else:
        last, inside = flags.last.reshape(-1).nonzero()[0], None  # of all streams end to end
        stream = last // steps if streams > 1 else np.zeros(len(last), np.int64)
        at = last % steps + 1 if streams > 1 else last + 1

    def marked(flag: NpArray | None) -> NpArray:
        if flag is None:
            return np.zeros(len(last), np.bool_)
        values = flag.reshape(-1)[last]
        return values if inside is None else values & inside

    return stream, Ends(at, marked(flags.terminated), marked(flags.truncated))


def advance(
    schema: Schema,
    running: Running,
    time: int,
    reward: NpArray | None,
    streams: NpArray,
    ends: Ends,
) -> tuple[Running, Rows]:
    """Ends the episodes of a block.

    ```
    # bounds: [ stream 0: begins, its stops ... | stream 1: begins, its stops ... ]
    ```
    What follows a bound belongs to the end after it, or to the episode that runs on.

    Args:
      schema: of the vault.
      running: episodes that run when the block begins.
      time: the block's first row.
      reward: `[B, steps, ...]` or None.
      streams: int64 [E], the stream of each end.
      ends: stream by stream, each sorted by `stop`; several may stand at the same place.

    Returns:
      The episodes that run when the block ends, and the rows of those that ended, in the order of their
      stops, then of their streams.
    """
    count = len(ends.stop)
    if count == 0:
        return Running(running.start, running.total + _total(schema, reward)), empty_rows(schema)
    bounds = _bounds(schema.streams, streams, count)
    stop = time + np.asarray(ends.stop)
    times = np.empty(schema.streams + count, np.int64)
    times[bounds.begin], times[bounds.end] = running.start, stop
    start = times[bounds.before]
    length = stop - start
    sums = np.zeros((len(times), *schema.return_shape))
    if reward is not None:
        _sum(sums, reward, bounds, np.asarray(ends.stop), streams)
    sums[bounds.begin] += running.total
    returns = sums[bounds.before] if reward is not None else np.full((count, *schema.return_shape), np.nan)
    columns = {"stream": streams.astype(np.int32), "start": start, "length": length, "return": returns}
    rows = _rows(schema, columns, ends)
    order = None if schema.streams == 1 else np.argsort(ends.stop, kind="stable")
    return Running(times[bounds.last], sums[bounds.last]), rows if order is None else rows.take(order)


@dataclass(frozen=True)
class _Bounds:
    """Places among the bounds of all streams: their begins and their ends.

    Attributes:
      begin: of each stream's begin.
      end: of each end.
      before: of the bound before each end.
      last: of each stream's last bound.
    """

    begin: Any
    end: Any
    before: Any
    last: Any


def _bounds(streams: int, stream: NpArray, count: int) -> _Bounds:
    if streams == 1:
        return _Bounds(slice(0, 1), slice(1, None), slice(0, count), slice(count, None))
    everyone = np.arange(streams)
    before = np.arange(count) + stream
    last = everyone + stream.searchsorted(everyone, side="right")
    begin = np.empty_like(last)
    begin[0], begin[1:] = 0, last[:-1] + 1
    return _Bounds(begin, before + 1, before, last)


def empty_rows(schema: Schema) -> Rows:
    """Gives no rows."""
    shapes = {"return": schema.return_shape}
    columns = {
        name: np.zeros((0, *shapes.get(name, ())), dtype) for name, dtype in schema.column_dtypes.items()
    }
    leaves = [schema.leaf(name) for name in schema.finals]
    return Rows(columns, {leaf.name: np.zeros((0, *leaf.shape), leaf.dtype) for leaf in leaves}, [])


def cut(running: Running, time: int) -> tuple[NpArray, Ends]:
    """Gives the ends that cut every running episode that has a step, at the beginning of a block."""
    streams = np.flatnonzero(running.start < time)
    none = np.zeros(len(streams), np.bool_)
    return streams, Ends(np.zeros(len(streams), np.int64), none, none)


def _rows(schema: Schema, columns: Mapping[str, NpArray], ends: Ends) -> Rows:
    count = len(ends.stop)
    known = ends.final_known
    if known is None:
        known = np.full(count, ends.final is not None and bool(schema.finals))
    finals: dict[str, NpArray] = {}
    for name in schema.finals:
        leaf = schema.leaf(name)
        given = (ends.final or {}).get(name)
        finals[name] = np.zeros((count, *leaf.shape), leaf.dtype) if given is None else given
    full = dict(columns) | {
        "terminated": np.asarray(ends.terminated, np.bool_),
        "truncated": np.asarray(ends.truncated, np.bool_),
        "final_known": np.asarray(known, np.bool_),
    }
    for name, dtype in schema.columns.items():
        given = ends.columns.get(name)
        full[name] = np.zeros(count, dtype) if given is None else np.asarray(given).astype(dtype)
    texts = [encode_attributes(item) for item in ends.attributes] or [b"{}"] * count
    return Rows(full, finals, texts)


def _total(schema: Schema, reward: NpArray | None) -> Any:
    """Sums the rewards of every stream in float64, `[B, ...]`."""
    if reward is None:
        return 0.0
    return reward.reshape(*reward.shape[:2], *schema.return_shape).sum(axis=1, dtype=np.float64)


def _sum(sums: NpArray, reward: NpArray, bounds: _Bounds, stop: NpArray, stream: NpArray) -> None:
    """Sums the rewards after each bound up to the next, in float64, into zeros `[B + E, ...]`."""
    streams, steps = reward.shape[:2]
    values = reward.reshape(streams * steps, *sums.shape[1:]).astype(np.float64)
    at = np.empty(len(sums), np.int64)
    at[bounds.begin] = 0 if streams == 1 else np.arange(streams) * steps
    at[bounds.end] = stop if streams == 1 else stream * steps + stop
    inside = int(at.searchsorted(len(values)))  # bounds after the last step have nothing to sum
    if inside:
        np.add.reduceat(values, at[:inside], axis=0, out=sums[:inside])
    # Where two bounds are equal there is nothing between them; reduceat gives one element.
    sums[:-1][at[1:] == at[:-1]] = 0
