"""Steps around those of a sample: before its windows, after them, or anywhere in the buffer.

Letters: `B` streams, `C` slots a stream, `N` batch, `W` window in steps.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from . import ring
from .episode_places import Places, locate
from .episode_sample import EpisodeBufferSample
from .episode_state import EpisodeBufferState
from .trajectory_buffer import Experience, ring_of


def places_of(state: EpisodeBufferState[Any], indices: Any) -> Places:
    """Finds out where steps stand in their episodes.

    Args:
      state: the state.
      indices: int32 `[N]`, of steps: their streams times `C`, plus their slots.

    Example:
      >>> from .episode_buffer import make_episode_buffer
      >>> buffer = make_episode_buffer(1, 2, 2, max_length_time_axis=8)
      >>> state = buffer.init({"done": False})
      >>> state = buffer.add(state, {"done": jnp.array([[False, False, True]])})
      >>> places_of(state, jnp.array([0, 2])).after.tolist()
      [2, 0]
    """
    indices = jnp.asarray(indices)
    capacity = state.index.capacity
    return locate(state.index, state.current_index, indices // capacity, indices % capacity)


def steps_at(state: EpisodeBufferState[Experience], indices: Any) -> Experience:
    """Gathers single steps.

    Args:
      state: the state.
      indices: int32 of any shape, of steps.

    Returns:
      Leaves of the shape of the indices, then that of a step.

    Example:
      >>> from .episode_buffer import make_episode_buffer
      >>> buffer = make_episode_buffer(1, 2, 2, max_length_time_axis=8)
      >>> state = buffer.add(buffer.init({"done": False}), {"done": jnp.array([[False, True]])})
      >>> steps_at(state, jnp.array([1, 0]))["done"]
      Array([ True, False], dtype=bool)
    """
    indices = jnp.asarray(indices)
    held = ring_of(state)
    flat = indices.ravel()
    steps = ring.gather(held, flat // held.capacity, flat % held.capacity, length=1)

    def shaped(leaf: Array) -> Array:
        return leaf.reshape(*indices.shape, *leaf.shape[2:])

    return jax.tree.map(shaped, steps)


def slots_of(state: EpisodeBufferState[Any], sample: EpisodeBufferSample[Any]) -> Array:
    """Tells where the steps of a sample lie.

    Args:
      state: the state that the sample was drawn from.
      sample: the sample.

    Returns:
      int32 `[N, W]`, slots; where there is no step, those that it would have.

    Example:
      >>> from .episode_buffer import make_episode_buffer
      >>> buffer = make_episode_buffer(1, 1, 2, max_length_time_axis=8)
      >>> state = buffer.add(buffer.init({"done": False}), {"done": jnp.array([[False, True]])})
      >>> slots_of(state, buffer.sample(state, jax.random.key(0)))
      Array([[0, 1]], dtype=int32)
    """
    capacity = state.index.capacity
    lead = jnp.argmax(sample.mask, axis=1).astype(jnp.int32)
    place = jnp.arange(sample.mask.shape[1], dtype=jnp.int32)[None] - lead[:, None]
    return (sample.indices[:, None] % capacity + place) % capacity
