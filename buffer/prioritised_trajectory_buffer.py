"""The prioritised trajectory buffer: windows drawn with the chance that their priorities give them.

It is the trajectory buffer with priorities beside the ring. `make_prioritised_trajectory_buffer` binds sizes
to the functions of `prioritised_state`. Names, arguments, fields and meaning are Flashbax's;
`docs/drop-in.md` lists the differences.

Letters: `B` streams (`add_batch_size`), `T` slots a stream (`max_length_time_axis`), `t` steps,
`N` batch, `W` window in steps.
"""

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any, Generic

from .arguments import positive, validate_trajectory_buffer_args
from .prioritised_state import (
    Indices,
    Priorities,
    PrioritisedTrajectoryBufferSample,
    PrioritisedTrajectoryBufferState,
    Probabilities,
    can_sample,
    prioritised_add,
    prioritised_init,
    prioritised_sample,
    set_priorities,
)
from .records import record
from .trajectory_buffer import (
    BufferSample,
    BufferState,
    Experience,
    TrajectoryBuffer,
    TrajectoryBufferSample,
    TrajectoryBufferState,
)

__all__ = [
    "BufferSample",
    "BufferState",
    "Experience",
    "Indices",
    "Priorities",
    "PrioritisedTrajectoryBuffer",
    "PrioritisedTrajectoryBufferSample",
    "PrioritisedTrajectoryBufferState",
    "Probabilities",
    "TrajectoryBuffer",
    "TrajectoryBufferSample",
    "TrajectoryBufferState",
    "can_sample",
    "get_max_divisible_length",
    "make_prioritised_trajectory_buffer",
    "prioritised_add",
    "prioritised_init",
    "prioritised_sample",
    "set_priorities",
    "validate_device",
    "validate_priority_exponent",
]

_LOG = logging.getLogger(__name__)


@record
class PrioritisedTrajectoryBuffer(
    TrajectoryBuffer[Experience, BufferState, BufferSample], Generic[Experience, BufferState, BufferSample]
):
    """The functions of a prioritised buffer, its sizes bound.

    Attributes:
      init: one timestep -> an empty state.
      add: (state, batch, priorities=None) -> the state with the batch added.
      sample: (state, rng_key) -> a sample.
      can_sample: state -> whether the buffer holds enough to be sampled from, bool `[]`.
      set_priorities: (state, indices, priorities) -> the state with other priorities.
    """

    set_priorities: Callable[[BufferState, Indices, Priorities], BufferState]


def make_prioritised_trajectory_buffer(
    add_batch_size: int,
    sample_batch_size: int,
    sample_sequence_length: int,
    period: int,
    min_length_time_axis: int,
    max_size: int | None = None,
    max_length_time_axis: int | None = None,
    priority_exponent: float = 0.6,
    device: str = "cpu",
) -> PrioritisedTrajectoryBuffer[
    Any, PrioritisedTrajectoryBufferState[Any], PrioritisedTrajectoryBufferSample[Any]
]:
    """Makes a buffer that samples windows by priority.

    Args:
      add_batch_size: `B`, streams that advance together.
      sample_batch_size: `N`, windows in a sample.
      sample_sequence_length: `W`, in steps.
      period: windows start at times divisible by it, in steps.
      min_length_time_axis: steps that a stream must hold before `can_sample` is true.
      max_size: capacity in steps over all streams, rounded down to a multiple of `B * period`.
      max_length_time_axis: `T`, capacity in steps a stream, rounded down to a multiple of `period`. Give
        exactly one of the two.
      priority_exponent: `a`, from 0 (uniform) to 1 (proportional).
      device: has no effect; the same functions serve all.

    Returns:
      The buffer.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is not positive, sizes contradict each other, or the exponent is out of range.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> buffer = make_prioritised_trajectory_buffer(1, 2, 2, 1, 2, max_length_time_axis=8)
      >>> state = buffer.add(buffer.init({"reward": 0.0}), {"reward": jnp.arange(3.0)[None]})
      >>> state = buffer.set_priorities(state, jnp.array([0, 1]), jnp.array([0.0, 5.0]))
      >>> buffer.sample(state, jax.random.key(0)).experience["reward"]
      Array([[1., 2.],
             [1., 2.]], dtype=float32)
    """
    positive(sample_batch_size=sample_batch_size)
    validate_priority_exponent(priority_exponent)
    validate_device(device)
    capacity, minimum = validate_trajectory_buffer_args(
        max_length_time_axis=max_length_time_axis,
        min_length_time_axis=min_length_time_axis,
        add_batch_size=add_batch_size,
        sample_sequence_length=sample_sequence_length,
        period=period,
        max_size=max_size,
    )
    capacity = _rounded_down(capacity, period, sample_sequence_length)
    windows = {"sample_sequence_length": sample_sequence_length, "period": period}
    return PrioritisedTrajectoryBuffer(
        init=functools.partial(
            prioritised_init, add_batch_size=add_batch_size, max_length_time_axis=capacity, period=period
        ),
        add=functools.partial(prioritised_add, **windows, priority_exponent=priority_exponent),
        sample=functools.partial(
            prioritised_sample,
            batch_size=sample_batch_size,
            sequence_length=sample_sequence_length,
            period=period,
        ),
        can_sample=functools.partial(can_sample, min_length_time_axis=min(minimum, capacity)),
        set_priorities=functools.partial(set_priorities, priority_exponent=priority_exponent, **windows),
    )


def get_max_divisible_length(max_length_time_axis: int, period: int) -> int:
    """Returns the greatest multiple of the period that does not exceed a capacity.

    Args:
      max_length_time_axis: in steps.
      period: in steps.

    Example:
      >>> get_max_divisible_length(10, 3)
      9
    """
    return max_length_time_axis - max_length_time_axis % period


def validate_priority_exponent(priority_exponent: float) -> None:
    """Checks the exponent.

    Args:
      priority_exponent: `a`.

    Raises:
      ValueError: if it is not from 0 to 1.

    Example:
      >>> validate_priority_exponent(0.6)
    """
    if not 0 <= priority_exponent <= 1:
        raise ValueError(
            f"`priority_exponent` must be from 0 (uniform) to 1 (proportional): got {priority_exponent}."
        )


def validate_device(device: str) -> bool:
    """Warns if the name of a device is none that Flashbax knows; no other use is made of it.

    Args:
      device: "cpu", "gpu" or "tpu".

    Returns:
      Whether it is known.

    Example:
      >>> validate_device("tpu")
      True
    """
    if device in ("cpu", "gpu", "tpu"):
        return True
    warnings.warn(
        f"Device must be one of 'cpu', 'gpu' or 'tpu', got '{device}'. It has no effect.", stacklevel=3
    )
    return False


def _rounded_down(capacity: int, period: int, length: int) -> int:
    """The capacity that is a multiple of the period, if a window still fits."""
    rounded = get_max_divisible_length(capacity, period)
    if length > rounded:
        raise ValueError(
            f"`sample_sequence_length` must fit the capacity: {capacity} steps a stream are {rounded} when "
            f"rounded down to a multiple of the `period` {period}, got {length}. Make the buffer longer."
        )
    if rounded < capacity:
        _LOG.warning("Each stream holds %d steps, not %d: a multiple of the period.", rounded, capacity)
    return rounded
