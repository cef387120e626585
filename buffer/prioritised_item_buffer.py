"""The prioritised item buffer: single steps, each on its own, drawn by priority.

Letters: `B` sequences in a batch, `t` steps, `N` batch.
"""

import functools
from typing import Any

from jax import Array

from .item_buffer import items_of, validate_item_buffer_args
from .layout import Layout
from .prioritised_trajectory_buffer import (
    PrioritisedTrajectoryBuffer,
    PrioritisedTrajectoryBufferSample,
    PrioritisedTrajectoryBufferState,
    make_prioritised_trajectory_buffer,
    prioritised_sample,
    validate_device,
    validate_priority_exponent,
)
from .trajectory_buffer import Experience

__all__ = [
    "PrioritisedTrajectoryBuffer",
    "PrioritisedTrajectoryBufferSample",
    "PrioritisedTrajectoryBufferState",
    "make_prioritised_item_buffer",
    "sample",
    "validate_device",
    "validate_item_buffer_args",
    "validate_priority_exponent",
]


def make_prioritised_item_buffer(
    max_length: int,
    min_length: int,
    sample_batch_size: int,
    add_sequences: bool = False,
    add_batches: bool = False,
    priority_exponent: float = 0.6,
    device: str = "cpu",
) -> PrioritisedTrajectoryBuffer[
    Any, PrioritisedTrajectoryBufferState[Any], PrioritisedTrajectoryBufferSample[Any]
]:
    """Makes a buffer that samples single items by priority.

    Args:
      max_length: capacity in items.
      min_length: items that the buffer must hold before `can_sample` is true.
      sample_batch_size: `N`, items in a sample.
      add_sequences: whether `add` is given sequences: leaves `[t, ...]`, not `[...]`.
      add_batches: whether `add` is given batches: leaves `[B, ...]`, or `[B, t, ...]` with
        sequences.
      priority_exponent: from 0 (uniform) to 1 (proportional).
      device: has no effect; the same functions serve all.

    Returns:
      The buffer.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is not positive, sizes contradict each other, or the exponent is out of range.

    Example:
      >>> import jax
      >>> buffer = make_prioritised_item_buffer(8, 1, sample_batch_size=4, add_batches=True)
      >>> state = buffer.add(buffer.init(0), jax.numpy.array([7, 8]), priorities=[0.0, 1.0])
      >>> buffer.sample(state, jax.random.key(0)).experience
      Array([8, 8, 8, 8], dtype=int32)
    """
    validate_item_buffer_args(max_length, min_length, sample_batch_size)
    buffer = make_prioritised_trajectory_buffer(
        add_batch_size=1,
        sample_batch_size=sample_batch_size,
        sample_sequence_length=1,
        period=1,
        min_length_time_axis=min_length,
        max_length_time_axis=max_length,
        priority_exponent=priority_exponent,
        device=device,
    )
    layout = Layout(batched=bool(add_batches), sequential=bool(add_sequences), merged=True)
    return buffer.replace(
        add=functools.partial(buffer.add, layout=layout),
        sample=functools.partial(sample, batch_size=sample_batch_size),
    )


def sample(
    state: PrioritisedTrajectoryBufferState[Experience], rng_key: Array, batch_size: int
) -> PrioritisedTrajectoryBufferSample[Experience]:
    """Samples single items by priority.

    Args:
      state: the state.
      rng_key: a PRNG key, consumed.
      batch_size: `N`.

    Returns:
      A sample of items, leaves `[N, ...]`.

    Example:
      >>> import jax
      >>> from .prioritised_state import prioritised_init
      >>> sample(prioritised_init(0, 1, 4, 1), jax.random.key(0), batch_size=2).probabilities
      Array([0., 0.], dtype=float32)
    """
    drawn = prioritised_sample(state, rng_key, batch_size, sequence_length=1, period=1)
    return drawn.replace(experience=items_of(drawn.experience))
