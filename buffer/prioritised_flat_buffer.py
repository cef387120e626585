"""The prioritised flat buffer: transitions, that is windows of two steps, drawn by priority.

Letters: `B` streams (`add_batch_size`), `t` steps, `N` batch.
"""

import functools
from typing import Any

from jax import Array

from .flat_buffer import ExperiencePair, TransitionSample, pairs_of, validate_flat_buffer_args
from .layout import Layout
from .prioritised_trajectory_buffer import (
    Indices,
    PrioritisedTrajectoryBuffer,
    PrioritisedTrajectoryBufferState,
    Probabilities,
    make_prioritised_trajectory_buffer,
    prioritised_sample,
    validate_device,
    validate_priority_exponent,
)
from .records import record
from .trajectory_buffer import Experience

__all__ = [
    "ExperiencePair",
    "PrioritisedTrajectoryBuffer",
    "PrioritisedTrajectoryBufferState",
    "PrioritisedTransitionSample",
    "TransitionSample",
    "make_prioritised_flat_buffer",
    "sample",
    "validate_device",
    "validate_flat_buffer_args",
    "validate_priority_exponent",
]


@record
class PrioritisedTransitionSample(TransitionSample[Experience]):
    """What a prioritised flat buffer gives.

    Attributes:
      experience: pairs of consecutive steps, leaves `[N, ...]`.
      indices: int32 `[N]`, which pairs they are, for `set_priorities`.
      probabilities: float32 `[N]`, for importance weights.
    """

    indices: Indices
    probabilities: Probabilities


def make_prioritised_flat_buffer(
    max_length: int,
    min_length: int,
    sample_batch_size: int,
    add_sequences: bool = False,
    add_batch_size: int | None = None,
    priority_exponent: float = 0.6,
    device: str = "cpu",
) -> PrioritisedTrajectoryBuffer[
    Any, PrioritisedTrajectoryBufferState[Any], PrioritisedTransitionSample[Any]
]:
    """Makes a buffer that samples pairs of consecutive steps by priority.

    Args:
      max_length: capacity in steps over all streams, rounded down to a multiple of `B`.
      min_length: transitions that the buffer must hold before `can_sample` is true.
      sample_batch_size: `N`, pairs in a sample.
      add_sequences: whether `add` is given sequences: leaves `[t, ...]`, not `[...]`.
      add_batch_size: `B`, where `add` is given a batch, one row a stream: leaves `[B, ...]`, or
        `[B, t, ...]` with sequences. None: one stream, and no such axis.
      priority_exponent: from 0 (uniform) to 1 (proportional).
      device: has no effect; the same functions serve all.

    Returns:
      The buffer.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is not positive, sizes contradict each other, or the exponent is out of range.

    Example:
      >>> import jax
      >>> buffer = make_prioritised_flat_buffer(max_length=8, min_length=1, sample_batch_size=4)
      >>> state = buffer.init(0)
      >>> for number in (1, 2, 3):
      ...     state = buffer.add(state, number)
      >>> buffer.sample(state, jax.random.key(0)).experience.second
      Array([2, 2, 3, 3], dtype=int32)
    """
    streams = 1 if add_batch_size is None else add_batch_size
    validate_flat_buffer_args(max_length, min_length, sample_batch_size, streams)
    buffer = make_prioritised_trajectory_buffer(
        add_batch_size=streams,
        sample_batch_size=sample_batch_size,
        sample_sequence_length=2,
        period=1,
        min_length_time_axis=min_length // streams + 1,
        max_length_time_axis=max_length // streams,
        priority_exponent=priority_exponent,
        device=device,
    )
    layout = Layout(batched=add_batch_size is not None, sequential=bool(add_sequences))
    return PrioritisedTrajectoryBuffer(
        init=buffer.init,
        add=functools.partial(buffer.add, layout=layout),
        sample=functools.partial(sample, batch_size=sample_batch_size),
        can_sample=buffer.can_sample,
        set_priorities=buffer.set_priorities,
    )


def sample(
    state: PrioritisedTrajectoryBufferState[Experience], rng_key: Array, batch_size: int
) -> PrioritisedTransitionSample[Experience]:
    """Samples pairs of consecutive steps by priority.

    Args:
      state: the state.
      rng_key: a PRNG key, consumed.
      batch_size: `N`.

    Returns:
      A sample of pairs, leaves `[N, ...]`.

    Example:
      >>> import jax
      >>> from .prioritised_state import prioritised_init
      >>> sample(prioritised_init(0, 1, 4, 1), jax.random.key(0), batch_size=2).probabilities
      Array([0., 0.], dtype=float32)
    """
    drawn = prioritised_sample(state, rng_key, batch_size, sequence_length=2, period=1)
    return PrioritisedTransitionSample(
        experience=pairs_of(drawn.experience), indices=drawn.indices, probabilities=drawn.probabilities
    )
