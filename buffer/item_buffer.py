"""The item buffer: single steps, each on its own, drawn uniformly from a ring.

Letters: `B` sequences in a batch, `t` steps, `N` batch.
"""

import functools
from typing import Any

import jax
from jax import Array

from . import trajectory_buffer
from .arguments import positive
from .layout import Layout
from .trajectory_buffer import (
    Experience,
    TrajectoryBuffer,
    TrajectoryBufferSample,
    TrajectoryBufferState,
    make_trajectory_buffer,
)

__all__ = [
    "TrajectoryBuffer",
    "TrajectoryBufferSample",
    "TrajectoryBufferState",
    "items_of",
    "make_item_buffer",
    "sample",
    "validate_item_buffer_args",
]


def make_item_buffer(
    max_length: int,
    min_length: int,
    sample_batch_size: int,
    add_sequences: bool = False,
    add_batches: bool = False,
) -> TrajectoryBuffer[Any, TrajectoryBufferState[Any], TrajectoryBufferSample[Any]]:
    """Makes a buffer that samples single items, such as whole transitions.

    All items lie on one stream; a batch is laid end to end, row after row, so batches may differ in
    size from one call to the next.

    Args:
      max_length: capacity in items.
      min_length: items that the buffer must hold before `can_sample` is true.
      sample_batch_size: `N`, items in a sample.
      add_sequences: whether `add` is given sequences: leaves `[t, ...]`, not `[...]`.
      add_batches: whether `add` is given batches: leaves `[B, ...]`, or `[B, t, ...]` with
        sequences.

    Returns:
      The buffer.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is not positive, or sizes contradict each other.

    Example:
      >>> buffer = make_item_buffer(max_length=8, min_length=1, sample_batch_size=4)
      >>> state = buffer.add(buffer.init({"reward": 0.0}), {"reward": 1.0})
      >>> buffer.sample(state, jax.random.key(0)).experience["reward"]
      Array([1., 1., 1., 1.], dtype=float32)
    """
    validate_item_buffer_args(max_length, min_length, sample_batch_size)
    buffer = make_trajectory_buffer(
        add_batch_size=1,
        sample_batch_size=sample_batch_size,
        sample_sequence_length=1,
        period=1,
        min_length_time_axis=min_length,
        max_length_time_axis=max_length,
    )
    layout = Layout(batched=bool(add_batches), sequential=bool(add_sequences), merged=True)
    return buffer.replace(
        add=functools.partial(trajectory_buffer.add, layout=layout),
        sample=functools.partial(sample, batch_size=sample_batch_size),
    )


def sample(
    state: TrajectoryBufferState[Experience], rng_key: Array, batch_size: int
) -> TrajectoryBufferSample[Experience]:
    """Samples single items: windows of one, without their axis.

    Args:
      state: the state.
      rng_key: a PRNG key, consumed.
      batch_size: `N`.

    Returns:
      A sample of items, leaves `[N, ...]`.

    Example:
      >>> state = trajectory_buffer.init(0, add_batch_size=1, max_length_time_axis=2)
      >>> sample(state, jax.random.key(0), batch_size=3).experience
      Array([0, 0, 0], dtype=int32)
    """
    windows = trajectory_buffer.sample(state, rng_key, batch_size, sequence_length=1, period=1)
    return TrajectoryBufferSample(experience=items_of(windows.experience))


def items_of(windows: Experience) -> Experience:
    """Takes the axis of time from windows of one step.

    Args:
      windows: leaves `[N, 1, ...]`.

    Example:
      >>> items_of(jax.numpy.array([[1], [3]]))
      Array([1, 3], dtype=int32)
    """

    def item(leaf: Array) -> Array:
        return leaf.squeeze(1)

    return jax.tree.map(item, windows)


def validate_item_buffer_args(max_length: int, min_length: int, sample_batch_size: int) -> None:
    """Checks the sizes of an item buffer against each other.

    Args:
      max_length: capacity in items.
      min_length: in items.
      sample_batch_size: items in a sample.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is below 1, or exceeds what the buffer can hold.

    Example:
      >>> validate_item_buffer_args(100, 10, 32)
    """
    positive(max_length=max_length, sample_batch_size=sample_batch_size)
    for name, size in (("sample_batch_size", sample_batch_size), ("min_length", min_length)):
        if size > max_length:
            raise ValueError(
                f"`{name}` must be at most `max_length`: got {size} for {max_length}. "
                "Lower it, or make the buffer longer."
            )
