"""What an episode buffer holds and what it gives: a state with its index, and windows gathered from it.

Letters: `B` streams, `C` slots a stream, `N` batch, `W` window in steps.
"""

import functools
from typing import Generic

import jax
import jax.numpy as jnp
from jax import Array

from . import ring
from .episode_coming import Rule
from .episode_index import EpisodeIndex
from .episode_places import locate
from .records import Record, record
from .trajectory_buffer import Experience, TrajectoryBufferState, ring_of


@record
class EpisodeBufferState(TrajectoryBufferState[Experience], Generic[Experience]):
    """What an episode buffer holds.

    Attributes:
      experience: leaves `[B, C, ...]`.
      current_index: int32 `[]`, the slot that the next step goes to.
      is_full: bool `[]`, whether every slot has been written.
      laps: int32 `[]`, how often `current_index` came round to 0; None in states built without it.
      index: where the episodes lie, and which windows can be drawn.
    """

    index: EpisodeIndex


@record
class EpisodeBufferSample(Record, Generic[Experience]):
    """What an episode buffer gives.

    Attributes:
      experience: leaves `[N, W, ...]`; zeros where `mask` is False.
      mask: bool `[N, W]`, whether there is a step.
      step_in_episode: int32 `[N, W]`, steps of the episode before this one; 0 where `mask` is False.
      indices: int32 `[N]`, what the window's first step is known by: its stream times `C`, plus its slot.
    """

    experience: Experience
    mask: Array
    step_in_episode: Array
    indices: Array


def windows_at(
    state: EpisodeBufferState[Experience], streams: Array, slots: Array, rule: Rule
) -> EpisodeBufferSample[Experience]:
    """Gathers the windows that begin at some steps.

    Args:
      state: the state.
      streams: int32 `[N]`.
      slots: int32 `[N]`, of the windows' first steps.
      rule: how long windows are, and where they are padded.
    """
    held, length = ring_of(state), rule.length
    places = locate(state.index, state.current_index, streams, slots)
    steps = jnp.minimum(places.after + 1, length)
    lead = length - steps if rule.short == "pad_left" else jnp.zeros_like(steps)
    starts = jnp.where(slots < lead, slots - lead + held.capacity, slots - lead)
    place = jnp.arange(length, dtype=jnp.int32)[None] - lead[:, None]
    mask = jnp.ones(place.shape, bool)
    experience = ring.gather(held, streams, starts, length)
    if rule.short != "drop":
        mask = (place >= 0) & (place < steps[:, None])
        experience = jax.tree.map(functools.partial(_masked, mask), experience)
    return EpisodeBufferSample(
        experience=experience,
        mask=mask,
        step_in_episode=jnp.where(mask, places.age[:, None] + place, 0),
        indices=streams * held.capacity + slots,
    )


def _masked(mask: Array, leaf: Array) -> Array:
    """Sets to zero what the mask leaves out."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _masked(mask, jax.random.key_data(leaf))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    shown = mask.reshape(*mask.shape, *(1,) * (leaf.ndim - 2))
    return jnp.where(shown, leaf, jnp.zeros((), leaf.dtype).reshape((1,) * leaf.ndim))
