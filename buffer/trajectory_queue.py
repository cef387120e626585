"""The trajectory queue: steps come out in the order in which they went in, each once.

It is a ring that is read from where the last reading stopped. Names, arguments, fields and meaning are
Flashbax's; `docs/drop-in.md` lists the differences.

Letters: `B` streams (`add_batch_size`), `T` slots a stream (`max_length_time_axis`), `t` steps,
`W` steps that are taken out at once.
"""

import functools
import warnings
from collections.abc import Callable
from typing import Any, Generic

import jax.numpy as jnp
from jax import Array

from . import ring
from .arguments import positive
from .records import Record, record
from .trajectory_buffer import Experience

__all__ = [
    "Experience",
    "TrajectoryQueue",
    "TrajectoryQueueSample",
    "TrajectoryQueueState",
    "add",
    "can_add",
    "can_sample",
    "init",
    "make_trajectory_queue",
    "sample",
    "validate_trajectory_queue_args",
]


@record
class TrajectoryQueueState(Record, Generic[Experience]):
    """What a queue holds.

    Attributes:
      experience: leaves `[B, T, ...]`.
      write_index: int32 `[]`, the slot that the next step goes to.
      read_index: int32 `[]`, the slot that the next step is taken from.
      is_full: bool `[]`; where the two indices are equal, it tells whether all slots wait or none.
    """

    experience: Experience
    write_index: Array
    read_index: Array
    is_full: Array


@record
class TrajectoryQueueSample(Record, Generic[Experience]):
    """What a queue gives.

    Attributes:
      experience: leaves `[B, W, ...]`, the oldest steps that waited.
    """

    experience: Experience


@record
class TrajectoryQueue(Record, Generic[Experience]):
    """The functions of a queue, its sizes bound: pure, and fit for jit, vmap, scan and pmap.

    Attributes:
      init: one timestep -> an empty state.
      add: (state, batch) -> the state with the batch waiting too. Donate the state, and it is in place.
      sample: state -> the state without the oldest steps, and these.
      can_sample: state -> whether enough steps wait, bool `[]`.
      can_add: state -> whether there is room, bool `[]`. `add` and `sample` do not ask.
    """

    init: Callable[[Experience], TrajectoryQueueState[Experience]]
    add: Callable[[TrajectoryQueueState[Experience], Experience], TrajectoryQueueState[Experience]]
    sample: Callable[
        [TrajectoryQueueState[Experience]],
        tuple[TrajectoryQueueState[Experience], TrajectoryQueueSample[Experience]],
    ]
    can_sample: Callable[[TrajectoryQueueState[Experience]], Array]
    can_add: Callable[[TrajectoryQueueState[Experience]], Array]


def make_trajectory_queue(
    max_length_time_axis: int,
    add_batch_size: int,
    add_sequence_length: int,
    sample_sequence_length: int,
    max_size: int | None = None,
) -> TrajectoryQueue[Any]:
    """Makes a queue.

    Args:
      max_length_time_axis: `T`, capacity in steps a stream.
      add_batch_size: `B`, streams that advance together.
      add_sequence_length: `t`, steps that are added at once, which `can_add` makes sure of.
      sample_sequence_length: `W`, in steps.
      max_size: capacity in steps over all streams; where it is given, `T` is `max_size // B`.

    Returns:
      The queue.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is not positive, or more steps are added or taken than the queue can hold.

    Example:
      >>> queue = make_trajectory_queue(4, 1, add_sequence_length=3, sample_sequence_length=2)
      >>> state = queue.add(queue.init(0), jnp.array([[7, 8, 9]]))
      >>> state, sample = queue.sample(state)
      >>> sample.experience, bool(queue.can_sample(state)), bool(queue.can_add(state))
      (Array([[7, 8]], dtype=int32), False, True)
    """
    capacity = validate_trajectory_queue_args(
        max_length_time_axis, add_batch_size, sample_sequence_length, max_size, add_sequence_length
    )
    return TrajectoryQueue(
        init=functools.partial(init, add_batch_size=add_batch_size, max_length_time_axis=capacity),
        add=add,
        sample=functools.partial(sample, sequence_length=sample_sequence_length),
        can_sample=functools.partial(
            can_sample, sample_sequence_length=sample_sequence_length, max_length_time_axis=capacity
        ),
        can_add=functools.partial(
            can_add, add_sequence_length=add_sequence_length, max_length_time_axis=capacity
        ),
    )


def init(
    experience: Experience, add_batch_size: int, max_length_time_axis: int
) -> TrajectoryQueueState[Experience]:
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
    return TrajectoryQueueState(
        experience=empty.steps,
        write_index=empty.cursor,
        read_index=jnp.zeros((), jnp.int32),
        is_full=empty.full,
    )


def add(state: TrajectoryQueueState[Experience], batch: Experience) -> TrajectoryQueueState[Experience]:
    """Returns the state with the batch behind the steps that wait. Whether there is room, `can_add` tells.

    Args:
      state: the state. Donate it, and the write is in place.
      batch: leaves `[B, t, ...]`, `t <= T`.

    Raises:
      BatchMismatchError: if `t > T`, or structure, dtypes or shapes differ from the state's.

    Example:
      >>> add(init(0, 1, 4), jnp.array([[7, 8]])).experience
      Array([[7, 8, 0, 0]], dtype=int32)
    """
    longer = ring.append(_ring_of(state), batch)
    return state.replace(
        experience=longer.steps, write_index=longer.cursor, is_full=longer.cursor == state.read_index
    )


def sample(
    state: TrajectoryQueueState[Experience], sequence_length: int
) -> tuple[TrajectoryQueueState[Experience], TrajectoryQueueSample[Experience]]:
    """Takes out the oldest steps. Whether as many wait, `can_sample` tells.

    Args:
      state: the state.
      sequence_length: `W`, in steps.

    Returns:
      The state without them, and the steps, leaves `[B, W, ...]`.

    Example:
      >>> state, sampled = sample(add(init(0, 1, 4), jnp.array([[7, 8]])), sequence_length=1)
      >>> sampled.experience
      Array([[7]], dtype=int32)
    """
    held = _ring_of(state)
    streams = jnp.arange(held.streams, dtype=jnp.int32)
    first = jnp.asarray(state.read_index).astype(jnp.int32)
    steps = ring.gather(held, streams, jnp.broadcast_to(first, streams.shape), sequence_length)
    after = ring.advance(first, sequence_length, held.capacity)
    state = state.replace(read_index=after, is_full=jnp.zeros_like(state.is_full))
    return state, TrajectoryQueueSample(experience=steps)


def can_sample(
    state: TrajectoryQueueState[Any], sample_sequence_length: int, max_length_time_axis: int
) -> Array:
    """Tells whether enough steps wait, bool `[]`; elementwise on replicated states.

    Args:
      state: the state.
      sample_sequence_length: `W`, in steps.
      max_length_time_axis: `T`.

    Example:
      >>> bool(can_sample(init(0, 1, 4), sample_sequence_length=1, max_length_time_axis=4))
      False
    """
    return _waiting(state, max_length_time_axis) >= sample_sequence_length


def can_add(state: TrajectoryQueueState[Any], add_sequence_length: int, max_length_time_axis: int) -> Array:
    """Tells whether there is room for more steps, bool `[]`; elementwise on replicated states.

    Args:
      state: the state.
      add_sequence_length: `t`, in steps.
      max_length_time_axis: `T`.

    Example:
      >>> bool(can_add(init(0, 1, 4), add_sequence_length=5, max_length_time_axis=4))
      False
    """
    return _waiting(state, max_length_time_axis) + add_sequence_length <= max_length_time_axis


def validate_trajectory_queue_args(
    max_length_time_axis: int,
    add_batch_size: int,
    sample_sequence_length: int,
    max_size: int | None,
    add_sequence_length: int = 1,
) -> int:
    """Checks the sizes of a queue against each other.

    Args:
      max_length_time_axis: capacity in steps a stream.
      add_batch_size: streams.
      sample_sequence_length: steps that are taken out at once.
      max_size: capacity in steps over all streams, or None.
      add_sequence_length: steps that are added at once.

    Returns:
      The capacity in steps a stream.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is below 1, or exceeds what the queue can hold.

    Example:
      >>> validate_trajectory_queue_args(10, 2, 5, None)
      10
    """
    positive(
        add_batch_size=add_batch_size,
        add_sequence_length=add_sequence_length,
        sample_sequence_length=sample_sequence_length,
    )
    capacity = max_length_time_axis
    if max_size is not None:
        capacity = max_size // add_batch_size
        warnings.warn(
            f"Setting max_size dynamically sets the `max_length_time_axis` to be {capacity}, which is "
            f"`max_size` {max_size} // `add_batch_size` {add_batch_size}, whatever was given.",
            stacklevel=3,
        )
    positive(max_length_time_axis=capacity)
    lengths = {"sample_sequence_length": sample_sequence_length, "add_sequence_length": add_sequence_length}
    for name, length in lengths.items():
        if length > capacity:
            raise ValueError(
                f"`{name}` must be at most the capacity of a stream: got {length} for "
                f"`max_length_time_axis` {capacity}. Make the queue longer."
            )
    return capacity


def _waiting(state: TrajectoryQueueState[Any], capacity: int) -> Array:
    """How many steps of each stream wait."""
    ahead = jnp.asarray(state.write_index) - state.read_index
    return jnp.where(state.is_full, capacity, jnp.where(ahead < 0, ahead + capacity, ahead))


def _ring_of(state: TrajectoryQueueState[Experience]) -> ring.Ring[Experience]:
    return ring.Ring(steps=state.experience, cursor=state.write_index, full=state.is_full)
