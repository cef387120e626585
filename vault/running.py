"""How episodes begin, run and end while steps come in.

Between two flushes only the start and the sum of rewards of each stream's running episode are kept; a
block of steps and its flags turn them into the rows of the episodes that ended and the next such state.
"""

from collections.abc import Mapping
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
      Streams int32 [E], and the ends in the order of their stops (then streams), within the block.
    """
    streams, steps = flags.last.shape
    if flags.first is not None:
        stop = np.zeros((streams, steps + 1), np.bool_)
        stop[:, 1:] = flags.last
        stop[:, :steps] |= flags.first
        stop[:, 0] &= running.start < time
        at, stream = np.nonzero(stop.T)
        before, inside = np.maximum(at - 1, 0), at > 0
    elif streams == 1:
        before = flags.last[0].nonzero()[0]
        stream, at, inside = np.zeros(len(before), np.int32), before + 1, True
    else:
        before, stream = np.nonzero(flags.last.T)
        at, inside = before + 1, True
    none = np.zeros(len(at), np.bool_)
    ends = Ends(
        stop=at,
        terminated=flags.terminated[stream, before] & inside,
        truncated=none if flags.truncated is None else flags.truncated[stream, before] & inside,
    )
    return stream.astype(np.int32, copy=False), ends


def advance(
    schema: Schema,
    running: Running,
    time: int,
    reward: NpArray | None,
    streams: NpArray,
    ends: Ends,
    steps: int,
) -> tuple[Running, Rows]:
    """Ends the episodes of a block.

    Args:
      schema: of the vault.
      running: episodes that run when the block begins.
      time: the block's first row.
      reward: `[B, steps, ...]` or None.
      streams: int32 [E], the stream of each end.
      ends: sorted by `stop`; several in one stream may stand at the same place.
      steps: length of the block.

    Returns:
      The episodes that run when the block ends, and the rows of those that ended.
    """
    count = len(ends.stop)
    if count == 0:
        return Running(running.start, running.total + _total(schema, reward)), empty_rows(schema)
    if schema.streams == 1:
        return _advance_one(schema, running, time, reward, ends, steps)
    # Ends in the order of memory: stream by stream, each in time order.
    order = np.argsort(streams, kind="stable")
    stream, stop = streams[order], np.asarray(ends.stop)[order]
    first = np.ones(count, np.bool_)
    first[1:] = stream[1:] != stream[:-1]
    last = np.ones(count, np.bool_)
    last[:-1] = first[1:]
    starts = running.start[stream]
    starts[~first] = time + stop[:-1][~first[1:]]
    sums, tails = _sums(schema, reward, stream, stop, steps)
    sums[first] += running.total[stream[first]]
    start, total = running.start.copy(), running.total + tails
    start[stream[last]] = time + stop[last]
    total[stream[last]] = tails[stream[last]]
    inverse = np.empty_like(order)
    inverse[order] = np.arange(count)
    columns = {
        "stream": streams,
        "start": starts[inverse],
        "length": time + ends.stop - starts[inverse],
        "return": sums[inverse] if reward is not None else np.full_like(sums, np.nan),
    }
    return Running(start, total), _rows(schema, columns, ends)


def _advance_one(
    schema: Schema, running: Running, time: int, reward: NpArray | None, ends: Ends, steps: int
) -> tuple[Running, Rows]:
    """Does what `advance` does where there is one stream, whose ends are in the order of memory."""
    stop = time + np.asarray(ends.stop)
    start = np.empty_like(stop)
    start[0] = running.start[0]
    start[1:] = stop[:-1]
    sums, tails = _sums(schema, reward, np.zeros(len(stop), np.int32), stop - time, steps)
    sums[0] += running.total[0]
    columns = {
        "stream": np.zeros(len(stop), np.int32),
        "start": start,
        "length": stop - start,
        "return": sums if reward is not None else np.full_like(sums, np.nan),
    }
    return Running(stop[-1:], tails), _rows(schema, columns, ends)


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
    streams = np.flatnonzero(running.start < time).astype(np.int32)
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


def _sums(
    schema: Schema, reward: NpArray | None, stream: NpArray, stop: NpArray, steps: int
) -> tuple[NpArray, NpArray]:
    """Sums the rewards up to each end `[E, ...]`, and after each stream's last `[B, ...]`, in float64.

    ```
    # bounds: [ stream 0: begins, its stops ... | stream 1: begins, its stops ... ]
    ```
    One `reduceat` sums between all bounds: what follows a bound belongs to the end after it, or to the
    episode that runs on.
    """
    streams, shape = schema.streams, schema.return_shape
    if reward is None:
        return np.zeros((len(stream), *shape)), np.zeros((streams, *shape))
    if streams == 1:
        bounds, place, rest = np.concatenate(([0], stop)), slice(0, len(stop)), slice(len(stop), None)
    else:
        everyone, ended = np.arange(streams), np.bincount(stream, minlength=streams)
        rest = everyone + ended.cumsum()  # of each stream's last bound
        place = np.arange(len(stream)) + stream  # of the bound before each end
        bounds = np.empty(streams + len(stream), np.int64)
        bounds[rest - ended] = everyone * steps
        bounds[place + 1] = stream * steps + stop
    # reduceat wants its indices inside the array, and sums one element where two bounds are equal.
    values = np.zeros((streams * steps + 1, *shape))
    values[:-1] = reward.reshape(streams * steps, *shape)
    sums = np.add.reduceat(values, bounds, axis=0)
    sums[:-1][bounds[1:] == bounds[:-1]] = 0
    return sums[place], sums[rest]
