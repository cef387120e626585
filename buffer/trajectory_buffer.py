"""The trajectory buffer: windows of consecutive steps, drawn uniformly from a ring.

`make_trajectory_buffer` binds sizes to the functions `init`, `add`, `sample` and `can_sample`.
Names, arguments, fields and meaning are Flashbax's; `docs/drop-in.md` lists the differences.

Letters: `B` streams (`add_batch_size`), `T` slots a stream (`max_length_time_axis`), `t` steps,
`N` batch, `W` window in steps.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
from jax import Array

from . import ring, uniform
from .arguments import positive, validate_size, validate_trajectory_buffer_args
from .layout import AS_STORED, Layout
from .records import Record, record

__all__ = [
    "BufferSample",
    "BufferState",
    "Experience",
    "TrajectoryBuffer",
    "TrajectoryBufferSample",
    "TrajectoryBufferState",
    "add",
    "can_sample",
    "init",
    "make_trajectory_buffer",
    "num_added",
    "ring_of",
    "sample",
    "validate_size",
    "validate_trajectory_buffer_args",
]

Experience = TypeVar("Experience")


@record
class TrajectoryBufferState(Record, Generic[Experience]):
    """What a buffer holds.

    Attributes:
      experience: leaves `[B, T, ...]`.
      current_index: int32 `[]`, the slot that the next step goes to.
      is_full: bool `[]`, whether every slot has been written.
      laps: int32 `[]`, how often `current_index` came round to 0. Every stream was ever given
        `laps * T + current_index` steps (`num_added`). None in states built without it.
    """

    experience: Experience
    current_index: Array
    is_full: Array
    laps: Array | None = None


@record
class TrajectoryBufferSample(Record, Generic[Experience]):
    """What a buffer gives.

    Attributes:
      experience: leaves `[N, W, ...]`; `[N, ...]` from an item buffer.
    """

    experience: Experience


BufferState = TypeVar("BufferState", bound=TrajectoryBufferState[Any])
BufferSample = TypeVar("BufferSample")


@record
class TrajectoryBuffer(Record, Generic[Experience, BufferState, BufferSample]):
    """The functions of a buffer, its sizes bound: pure, and fit for jit, vmap, scan and pmap.

    Attributes:
      init: one timestep -> an empty state.
      add: (state, batch) -> the state with the batch added. Donate the state, and it is in place.
      sample: (state, rng_key) -> a sample.
      can_sample: state -> whether the buffer holds enough to be sampled from, bool `[]`.
    """

    init: Callable[[Experience], BufferState]
    add: Callable[..., BufferState]
    sample: Callable[..., BufferSample]
    can_sample: Callable[[BufferState], Array]


def make_trajectory_buffer(
    add_batch_size: int,
    sample_batch_size: int,
    sample_sequence_length: int,
    period: int,
    min_length_time_axis: int,
    max_size: int | None = None,
    max_length_time_axis: int | None = None,
) -> TrajectoryBuffer[Any, TrajectoryBufferState[Any], TrajectoryBufferSample[Any]]:
    """Makes a buffer that samples windows of consecutive steps.

    Windows may span the end of an episode; they never span the write head.

    Args:
      add_batch_size: `B`, streams that advance together.
      sample_batch_size: `N`, windows in a sample.
      sample_sequence_length: `W`, in steps.
      period: between admissible starts of windows, in steps, counted from the oldest step held:
        1 allows every start, `W - 1` lets neighbours share one step, `W` lets them share none.
      min_length_time_axis: steps that a stream must hold before `can_sample` is true.
      max_size: capacity in steps over all streams, rounded down to a multiple of `B`.
      max_length_time_axis: `T`, capacity in steps a stream. Give exactly one of the two.

    Returns:
      The buffer.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is not positive, or sizes contradict each other.

    Example:
      >>> import jax
      >>> buffer = make_trajectory_buffer(1, 4, 2, 1, 2, max_length_time_axis=8)
      >>> state = buffer.add(buffer.init({"reward": 0.0}), {"reward": np.ones((1, 3), np.float32)})
      >>> buffer.sample(state, jax.random.key(0)).experience["reward"].shape
      (4, 2)
    """
    positive(sample_batch_size=sample_batch_size)
    capacity, minimum = validate_trajectory_buffer_args(
        max_length_time_axis=max_length_time_axis,
        min_length_time_axis=min_length_time_axis,
        add_batch_size=add_batch_size,
        sample_sequence_length=sample_sequence_length,
        period=period,
        max_size=max_size,
    )
    return TrajectoryBuffer(
        init=functools.partial(init, add_batch_size=add_batch_size, max_length_time_axis=capacity),
        add=add,
        sample=functools.partial(
            sample,
            batch_size=sample_batch_size,
            sequence_length=sample_sequence_length,
            period=period,
        ),
        can_sample=functools.partial(can_sample, min_length_time_axis=minimum),
    )


def init(
    experience: Experience, add_batch_size: int, max_length_time_axis: int
) -> TrajectoryBufferState[Experience]:
    """Makes an empty state.

    Args:
      experience: one timestep; only its structure, shapes and dtypes are used.
      add_batch_size: `B`.
      max_length_time_axis: `T`.

    Example:
      >>> init({"reward": 0.0}, 2, 8).experience["reward"].shape
      (2, 8)
    """
    empty = ring.init(experience, add_batch_size, max_length_time_axis)
    return TrajectoryBufferState(
        experience=empty.steps, current_index=empty.cursor, is_full=empty.full, laps=empty.laps
    )


def add(state: BufferState, batch: Any, layout: Layout = AS_STORED) -> BufferState:
    """Returns the state with the batch added after the newest steps; the oldest make room.

    Args:
      state: the state. Donate it, and the write is in place.
      batch: leaves `[B, t, ...]`, any `t <= T`.
      layout: which of the leading axes the batch has; all of them by default.

    Raises:
      BatchMismatchError: if `t > T`, or structure, dtypes or shapes differ from the state's.

    Example:
      >>> state = add(init(0, 1, 4), np.arange(3, dtype=np.int32)[None])
      >>> state.experience, int(state.current_index)
      (Array([[0, 1, 2, 0]], dtype=int32), 3)
    """
    longer = ring.append(ring_of(state), layout.steps(batch, state.experience))
    return dataclasses.replace(
        state,
        experience=longer.steps,
        current_index=longer.cursor,
        is_full=longer.full,
        laps=longer.laps,
    )


def sample(
    state: TrajectoryBufferState[Experience],
    rng_key: Array,
    batch_size: int,
    sequence_length: int,
    period: int,
) -> TrajectoryBufferSample[Experience]:
    """Samples windows uniformly, with replacement, over streams and admissible starts.

    The state's own `B` and `T` count, whatever sizes a buffer was made with. A state that holds no
    window yet (`can_sample`) gives slots that were never written.

    Args:
      state: the state.
      rng_key: a PRNG key, consumed.
      batch_size: `N`.
      sequence_length: `W`, in steps.
      period: between admissible starts, in steps, counted from the oldest step held.

    Returns:
      A sample with leaves `[N, W, ...]`.

    Example:
      >>> import jax
      >>> state = add(init(0, 1, 4), np.full((1, 4), 7, np.int32))
      >>> sample(state, jax.random.key(0), batch_size=2, sequence_length=3, period=1).experience
      Array([[7, 7, 7],
             [7, 7, 7]], dtype=int32)
    """
    held = ring_of(state)
    streams, starts = uniform.draw(held, rng_key, batch_size, sequence_length, period)
    return TrajectoryBufferSample(experience=ring.gather(held, streams, starts, sequence_length))


def can_sample(state: TrajectoryBufferState[Any], min_length_time_axis: int) -> Array:
    """Tells whether every stream holds enough steps, bool `[]`; elementwise on replicated states.

    Args:
      state: the state.
      min_length_time_axis: enough, in steps.

    Example:
      >>> bool(can_sample(init(0, 1, 4), min_length_time_axis=1))
      False
    """
    return state.is_full | (state.current_index >= min_length_time_axis)


def num_added(state: TrajectoryBufferState[Any]) -> int | None:
    """Counts the steps ever added to each stream, on the host, without overflow.

    Args:
      state: one state with JAX or NumPy leaves.

    Returns:
      The count, which grows by `t` with every `add` of `t` steps and is never reduced; None where
      the state lacks `laps`, as those built by hand do.

    Raises:
      ValueError: if the state is replicated or vmapped.

    Example:
      >>> state = init(0, 1, 4)
      >>> for _ in range(3):
      ...     state = add(state, np.zeros((1, 3), np.int32))
      >>> num_added(state)
      9
    """
    if state.laps is None:
        return None
    if np.ndim(state.laps):
        raise ValueError(
            f"`state` must be one state: got one with leading axes {np.shape(state.laps)}. "
            "Take one replica first: `jax.tree.map(lambda x: x[0], state)`."
        )
    return int(state.laps) * ring_of(state).capacity + int(state.current_index)


def ring_of(state: TrajectoryBufferState[Experience]) -> ring.Ring[Experience]:
    """Returns the state as the ring that it is.

    Args:
      state: any state with these four fields.

    Example:
      >>> ring_of(init(0, 1, 4)).capacity
      4
    """
    return ring.Ring(steps=state.experience, cursor=state.current_index, full=state.is_full, laps=state.laps)
