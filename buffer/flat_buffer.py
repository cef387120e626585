"""The flat buffer: transitions, that is windows of two steps, drawn uniformly from a ring.

Letters: `B` streams (`add_batch_size`), `t` steps, `N` batch.
"""

import functools
from typing import Any, Generic, NamedTuple

import jax
from jax import Array

from . import trajectory_buffer
from .arguments import positive
from .layout import Layout
from .records import Record, record
from .trajectory_buffer import (
    Experience,
    TrajectoryBuffer,
    TrajectoryBufferState,
    make_trajectory_buffer,
)

__all__ = [
    "ExperiencePair",
    "TrajectoryBuffer",
    "TrajectoryBufferState",
    "TransitionSample",
    "make_flat_buffer",
    "pairs_of",
    "sample",
    "validate_flat_buffer_args",
]


class ExperiencePair(NamedTuple, Generic[Experience]):
    """Two consecutive steps.

    Attributes:
      first: leaves `[N, ...]`.
      second: leaves `[N, ...]`, the steps that follow.
    """

    first: Experience
    second: Experience


@record
class TransitionSample(Record, Generic[Experience]):
    """What a flat buffer gives.

    Attributes:
      experience: pairs of consecutive steps, leaves `[N, ...]`.
    """

    experience: ExperiencePair[Experience]


def make_flat_buffer(
    max_length: int,
    min_length: int,
    sample_batch_size: int,
    add_sequences: bool = False,
    add_batch_size: int | None = None,
) -> TrajectoryBuffer[Any, TrajectoryBufferState[Any], TransitionSample[Any]]:
    """Makes a buffer that samples pairs of consecutive steps.

    Pairs may span the end of an episode; they never span the write head.

    Args:
      max_length: capacity in steps over all streams, rounded down to a multiple of `B`.
      min_length: transitions that the buffer must hold before `can_sample` is true.
      sample_batch_size: `N`, pairs in a sample.
      add_sequences: whether `add` is given sequences: leaves `[t, ...]`, not `[...]`.
      add_batch_size: `B`, where `add` is given a batch, one row a stream: leaves `[B, ...]`, or
        `[B, t, ...]` with sequences. None: one stream, and no such axis.

    Returns:
      The buffer.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is not positive, or sizes contradict each other.

    Example:
      >>> buffer = make_flat_buffer(max_length=8, min_length=1, sample_batch_size=4)
      >>> state = buffer.init({"reward": 0.0})
      >>> for reward in (1.0, 2.0):
      ...     state = buffer.add(state, {"reward": reward})
      >>> buffer.sample(state, jax.random.key(0)).experience.second["reward"]
      Array([2., 2., 2., 2.], dtype=float32)
    """
    streams = 1 if add_batch_size is None else add_batch_size
    validate_flat_buffer_args(max_length, min_length, sample_batch_size, streams)
    buffer = make_trajectory_buffer(
        add_batch_size=streams,
        sample_batch_size=sample_batch_size,
        sample_sequence_length=2,
        period=1,
        min_length_time_axis=min_length // streams + 1,
        max_length_time_axis=max_length // streams,
    )
    layout = Layout(batched=add_batch_size is not None, sequential=bool(add_sequences))
    return TrajectoryBuffer(
        init=buffer.init,
        add=functools.partial(trajectory_buffer.add, layout=layout),
        sample=functools.partial(sample, batch_size=sample_batch_size),
        can_sample=buffer.can_sample,
    )


def sample(
    state: TrajectoryBufferState[Experience], rng_key: Array, batch_size: int
) -> TransitionSample[Experience]:
    """Samples pairs of consecutive steps: a window of two, apart.

    Args:
      state: the state.
      rng_key: a PRNG key, consumed.
      batch_size: `N`.

    Returns:
      A sample of pairs, leaves `[N, ...]`.

    Example:
      >>> state = trajectory_buffer.init(0, add_batch_size=1, max_length_time_axis=2)
      >>> sample(state, jax.random.key(0), batch_size=3).experience.first
      Array([0, 0, 0], dtype=int32)
    """
    windows = trajectory_buffer.sample(state, rng_key, batch_size, sequence_length=2, period=1)
    return TransitionSample(experience=pairs_of(windows.experience))


def pairs_of(windows: Experience) -> ExperiencePair[Experience]:
    """Takes windows of two steps apart.

    Args:
      windows: leaves `[N, 2, ...]`.

    Example:
      >>> pairs_of(jax.numpy.array([[1, 2], [3, 4]])).second
      Array([2, 4], dtype=int32)
    """

    def step(index: int) -> Experience:
        def of_leaf(leaf: Array) -> Array:
            return leaf[:, index]

        return jax.tree.map(of_leaf, windows)

    return ExperiencePair(first=step(0), second=step(1))


def validate_flat_buffer_args(
    max_length: int, min_length: int, sample_batch_size: int, add_batch_size: int
) -> None:
    """Checks the sizes of a flat buffer against each other.

    Args:
      max_length: capacity in steps over all streams.
      min_length: in transitions over all streams.
      sample_batch_size: pairs in a sample.
      add_batch_size: streams.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is below 1, or exceeds what the buffer can hold.

    Example:
      >>> validate_flat_buffer_args(100, 10, 32, 4)
    """
    positive(max_length=max_length, sample_batch_size=sample_batch_size, add_batch_size=add_batch_size)
    capacity, minimum = max_length // add_batch_size, min_length // add_batch_size + 1
    if sample_batch_size > max_length:
        raise ValueError(
            f"`sample_batch_size` must be at most `max_length`: got {sample_batch_size} for "
            f"{max_length}. Sample fewer pairs, or make the buffer longer."
        )
    if capacity < 2:
        raise ValueError(
            "`max_length` must give every stream 2 steps, a pair: got "
            f"{max_length} // `add_batch_size` {add_batch_size} = {capacity}. "
            f"Make it at least {2 * add_batch_size}."
        )
    if minimum > capacity:
        raise ValueError(
            f"`min_length` must be within reach: {min_length} transitions need {minimum} steps a "
            f"stream, got a capacity of {capacity}. Lower it, or make the buffer longer."
        )
