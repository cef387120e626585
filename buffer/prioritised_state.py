"""The state of a prioritised buffer, and what is done with it: a ring, and a sum tree beside it.

`P(i) = p_i^a / sum_k p_k^a`, with a priority `p_i` for each window and the exponent `a` (Schaul et al. 2016,
section 3.3, equation 1). The tree holds `p_i^a`.

Letters: `B` streams (`add_batch_size`), `T` slots a stream (`max_length_time_axis`), `t` steps,
`N` batch, `W` window in steps.

References:
  Schaul et al. 2016, Prioritized Experience Replay, https://arxiv.org/abs/1511.05952
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from . import prioritised, ring, sum_tree, trajectory_buffer
from .layout import AS_STORED, Layout
from .records import record
from .sum_tree import SumTree
from .trajectory_buffer import Experience, TrajectoryBufferSample, TrajectoryBufferState, ring_of

Priorities = Array  # p_i
Probabilities = Array  # P(i)
Indices = Array

_MOST = 2**31 - 1


@record
class PrioritisedTrajectoryBufferState(TrajectoryBufferState[Experience]):
    """What a prioritised buffer holds.

    Attributes:
      experience: leaves `[B, T, ...]`.
      current_index: int32 `[]`, the slot that the next step goes to.
      is_full: bool `[]`, whether every slot has been written.
      laps: int32 `[]`, how often `current_index` came round to 0, or None.
      sum_tree_state: for each window that can be drawn its priority, with the exponent applied.
      running_index: int32 `[]`, the steps ever added to each stream, at most `2**31 - 1`: beyond, it
        stays. `num_added` is exact. None in states built without it.
    """

    sum_tree_state: SumTree
    running_index: Array | None = None


@record
class PrioritisedTrajectoryBufferSample(TrajectoryBufferSample[Experience]):
    """What a prioritised buffer gives.

    Attributes:
      experience: leaves `[N, W, ...]`; `[N, ...]` from an item buffer.
      indices: int32 `[N]`, which windows they are, for `set_priorities`.
      probabilities: float32 `[N]`, `P(i)`, for importance weights.
    """

    indices: Indices
    probabilities: Probabilities


def prioritised_init(
    experience: Experience, add_batch_size: int, max_length_time_axis: int, period: int
) -> PrioritisedTrajectoryBufferState[Experience]:
    """Makes an empty state.

    Args:
      experience: one timestep; only its structure, shapes and dtypes are used.
      add_batch_size: `B`.
      max_length_time_axis: `T`.
      period: between starts of windows, in steps.

    Example:
      >>> prioritised_init({"reward": 0.0}, 2, 8, period=4).sum_tree_state.capacity
      4
    """
    empty = trajectory_buffer.init(experience, add_batch_size, max_length_time_axis)
    items = add_batch_size * prioritised.num_items(max_length_time_axis, period)
    return PrioritisedTrajectoryBufferState(
        **empty, sum_tree_state=sum_tree.init(items), running_index=jnp.zeros((), jnp.int32)
    )


def prioritised_add(
    state: PrioritisedTrajectoryBufferState[Experience],
    batch: Any,
    sample_sequence_length: int,
    period: int,
    device: str = "cpu",
    priority_exponent: float = 0.6,
    priorities: Any = None,
    layout: Layout = AS_STORED,
) -> PrioritisedTrajectoryBufferState[Experience]:
    """Returns the state with the batch added; windows that it made whole can be drawn from now on.

    Args:
      state: the state. Donate it, and the write is in place.
      batch: leaves `[B, t, ...]`, any `t <= T`.
      sample_sequence_length: `W`, in steps.
      period: between starts of windows, in steps.
      device: has no effect.
      priority_exponent: `a`, applied to `priorities`.
      priorities: real `[B, t]`, for each step the priority of the window that ends with it, where one that
        may be drawn does. None: the greatest priority that was ever set.
      layout: which of the leading axes batch and priorities have; all of them by default.

    Raises:
      BatchMismatchError: if `t > T`, or structure, dtypes or shapes differ from the state's.

    Example:
      >>> state = prioritised_add(prioritised_init(0, 1, 4, 1), jnp.arange(3)[None], 2, 1)
      >>> sum_tree.get(state.sum_tree_state, jnp.arange(4))
      Array([1., 1., 0., 0.], dtype=float32)
    """
    del device
    steps = layout.steps(batch, state.experience)
    streams, added = jax.tree.leaves(steps)[0].shape[:2]
    if priorities is not None:
        priorities = _with_exponent(layout.numbers(priorities, streams, added), priority_exponent)
    longer = trajectory_buffer.add(state, steps)
    tree = prioritised.renew(
        ring_of(longer), state.sum_tree_state, added, sample_sequence_length, period, priorities
    )
    running = state.running_index
    if running is not None:
        running = jnp.where(running > _MOST - added, _MOST, running + added)
    return dataclasses.replace(longer, sum_tree_state=tree, running_index=running)


def prioritised_sample(
    state: PrioritisedTrajectoryBufferState[Experience],
    rng_key: Array,
    batch_size: int,
    sequence_length: int,
    period: int,
) -> PrioritisedTrajectoryBufferSample[Experience]:
    """Samples windows by priority, with replacement, one from each of `N` strata of equal mass.

    A state that holds no window with a priority (`can_sample`) gives probabilities of 0, and steps that
    mean nothing.

    Args:
      state: the state.
      rng_key: a PRNG key, consumed.
      batch_size: `N`.
      sequence_length: `W`, in steps.
      period: between starts of windows, in steps.

    Example:
      >>> state = prioritised_add(prioritised_init(0, 1, 4, 1), jnp.arange(3)[None], 2, 1)
      >>> prioritised_sample(state, jax.random.key(0), 2, sequence_length=2, period=1).probabilities
      Array([0.5, 0.5], dtype=float32)
    """
    held, tree = ring_of(state), state.sum_tree_state
    items, streams, starts = prioritised.draw(held, tree, rng_key, batch_size, period)
    probabilities = sum_tree.shares_of(tree, items)
    return PrioritisedTrajectoryBufferSample(
        experience=ring.gather(held, streams, starts, sequence_length),
        indices=sum_tree.after(probabilities, items),
        probabilities=probabilities,
    )


def set_priorities(
    state: PrioritisedTrajectoryBufferState[Experience],
    indices: Indices,
    priorities: Priorities,
    priority_exponent: float,
    device: str = "cpu",
    *,
    sample_sequence_length: int | None = None,
    period: int = 1,
) -> PrioritisedTrajectoryBufferState[Experience]:
    """Returns the state with other priorities for some windows; where one comes twice, the last counts.

    A window that was overwritten since it was drawn, even in part, is passed over. So is a priority that is
    negative or not a number.

    Args:
      state: the state. Donate it, and the write is in place.
      indices: int `[N]`, from samples.
      priorities: real `[N]`, such as `|TD error| + epsilon`. What has priority 0 is not drawn.
      priority_exponent: `a`.
      device: has no effect.
      sample_sequence_length: `W`, which tells what is overwritten. Without it, what has priority 0 is
        taken to be, so windows set to 0 stay so.
      period: between starts of windows, in steps; counts where `W` is given.

    Example:
      >>> state = prioritised_add(prioritised_init(0, 1, 4, 1), jnp.arange(3)[None], 2, 1)
      >>> state = set_priorities(state, jnp.array([0, 2]), jnp.array([4.0, 4.0]), priority_exponent=0.5)
      >>> sum_tree.get(state.sum_tree_state, jnp.arange(4))
      Array([2., 1., 0., 0.], dtype=float32)
    """
    del device
    tree, indices = state.sum_tree_state, jnp.asarray(indices).astype(jnp.int32)
    if sample_sequence_length is None:
        indices = jnp.where(sum_tree.get(tree, indices) > 0, indices, -1)
    else:
        indices = prioritised.those_held(ring_of(state), tree, indices, sample_sequence_length, period)
    values = _with_exponent(jnp.asarray(priorities).astype(jnp.float32), priority_exponent)
    return dataclasses.replace(state, sum_tree_state=sum_tree.set_many(tree, indices, values))


def can_sample(state: PrioritisedTrajectoryBufferState[Any], min_length_time_axis: int) -> Array:
    """Tells whether streams hold enough steps and a window has a priority, bool `[]`.

    Args:
      state: the state; elementwise on replicated ones.
      min_length_time_axis: enough, in steps.

    Example:
      >>> bool(can_sample(prioritised_init(0, 1, 4, 1), min_length_time_axis=1))
      False
    """
    return trajectory_buffer.can_sample(state, min_length_time_axis) & (
        sum_tree.total(state.sum_tree_state) > 0
    )


def _with_exponent(priorities: Array, exponent: float) -> Array:
    return jnp.where(priorities == 0, 0.0, priorities**exponent)
