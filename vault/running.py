"""How episodes begin, run and end while steps come in.

Between two flushes only the start and the sum of rewards of each stream's running episode are kept; a
block of steps and its flags turn them into the rows of the episodes that ended and the next such state.
"""

from collections.abc import Mapping

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
    stop = np.zeros((streams, steps + 1), np.bool_)
    stop[:, 1:] = flags.last
    if flags.first is not None:
        stop[:, :steps] |= flags.first
        stop[:, 0] &= running.start < time
    at, stream = np.nonzero(stop.T)
    before = np.maximum(at - 1, 0)
    inside = at > 0
    ends = Ends(
        stop=at,
        terminated=flags.terminated[stream, before] & inside,
        truncated=flags.truncated[stream, before] & inside,
    )
    return stream.astype(np.int32), ends


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
        total = running.total if reward is None else running.total + _sum(schema, reward)
        return Running(running.start, total), empty_rows(schema)
    start, total = running.start.copy(), running.total.copy()
    order = np.lexsort((ends.stop, streams))
    inverse = np.empty_like(order)
    inverse[order] = np.arange(count)
    stream, stop = streams[order], np.asarray(ends.stop)[order]
    first = np.r_[True, stream[1:] != stream[:-1]]
    begins = np.where(first, 0, np.r_[0, stop[:-1]])
    starts = np.where(first, running.start[stream], time + begins)
    sums = _segments(schema, reward, stream, begins, stop)
    sums[first] += running.total[stream[first]]
    final_end = np.r_[first[1:], True]
    start[stream[final_end]] = time + stop[final_end]
    rest = np.zeros(schema.streams, np.int64)
    rest[stream[final_end]] = stop[final_end]
    ended = np.zeros(schema.streams, np.bool_)
    ended[stream] = True
    everyone = np.arange(schema.streams)
    tails = _segments(schema, reward, everyone, rest, np.full(schema.streams, steps))
    total = np.where(ended.reshape(-1, *[1] * (total.ndim - 1)), tails, total + tails)
    columns = {
        "stream": streams.astype(np.int32),
        "start": starts[inverse],
        "length": time + np.asarray(ends.stop) - starts[inverse],
        "return": sums[inverse] if reward is not None else np.full_like(sums, np.nan),
    }
    return Running(start, total), _rows(schema, columns, ends)


def empty_rows(schema: Schema) -> Rows:
    """Gives no rows."""
    shapes = {"return": schema.return_shape}
    columns = {
        name: np.zeros((0, *shapes.get(name, ())), dtype) for name, dtype in schema.column_dtypes().items()
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
        full[name] = (
            np.zeros(count, dtype) if given is None else np.asarray(given).astype(dtype, casting="same_kind")
        )
    texts = [encode_attributes(item) for item in ends.attributes] or [b"{}"] * count
    return Rows(full, finals, texts)


def _sum(schema: Schema, reward: NpArray) -> NpArray:
    everyone = np.arange(schema.streams)
    steps = reward.shape[1]
    return _segments(schema, reward, everyone, np.zeros_like(everyone), np.full_like(everyone, steps))


def _segments(
    schema: Schema, reward: NpArray | None, stream: NpArray, begin: NpArray, stop: NpArray
) -> NpArray:
    """Sums rewards over `[begin, stop)` of a stream, in float64; segments are in the order of memory."""
    if reward is None or len(stream) == 0 or reward.shape[1] == 0:
        return np.zeros((len(stream), *schema.return_shape))
    streams, steps = reward.shape[:2]
    values = reward.reshape(streams * steps, *schema.return_shape).astype(np.float64)
    bounds = np.stack([stream * steps + begin, stream * steps + stop], axis=1).reshape(-1)
    # reduceat wants indices inside the array; a zero is appended for a segment that ends with it.
    padded = np.concatenate([values, np.zeros((1, *schema.return_shape))])
    sums = np.add.reduceat(padded, bounds, axis=0)[::2]
    sums[begin == stop] = 0
    return sums
