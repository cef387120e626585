"""What an episode buffer gives: windows, drawn and gathered.

Letters: `B` streams, `C` slots a stream, `N` batch, `W` window in steps.
"""

import dataclasses
import functools
from typing import Any, Generic

import jax
import jax.numpy as jnp
from jax import Array

from . import episode_chances, episode_draw, ring, sum_tree
from .episode_coming import Rule
from .episode_places import locate
from .episode_plan import Plan
from .episode_state import EpisodeBufferState
from .records import Record, record
from .shuffle import shuffled
from .trajectory_buffer import Experience, ring_of


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


@record
class PrioritisedEpisodeBufferSample(EpisodeBufferSample[Experience], Generic[Experience]):
    """What a prioritised episode buffer gives.

    Attributes:
      experience: leaves `[N, W, ...]`; zeros where `mask` is False.
      mask: bool `[N, W]`, whether there is a step.
      step_in_episode: int32 `[N, W]`, steps of the episode before this one; 0 where `mask` is False.
      indices: int32 `[N]`, for `set_priorities`.
      probabilities: float32 `[N]`, how likely each window was to be drawn.
    """

    probabilities: Array


def sample(
    state: EpisodeBufferState[Experience], rng_key: Array, plan: Plan
) -> EpisodeBufferSample[Experience]:
    """Samples windows, with replacement; always as many as the plan says.

    Args:
      state: the state; where it holds no window (`can_sample`), the sample means nothing.
      rng_key: a PRNG key, consumed.
      plan: of the buffer.
    """
    if state.chances is not None:
        streams, slots = episode_chances.draw(state.chances, state.index, rng_key, plan)
    elif plan.grouped:
        streams, slots = episode_draw.episodes(state.index, rng_key, plan.batch_size)
    else:
        streams, slots = episode_draw.windows(state.index, rng_key, plan.batch_size)
    return windows_at(state, streams, slots, plan.rule)


def sample_prioritised(
    state: EpisodeBufferState[Experience], rng_key: Array, plan: Plan
) -> PrioritisedEpisodeBufferSample[Experience]:
    """Samples windows by their priorities.

    Args:
      state: the state; where it holds no window (`can_sample`), the sample means nothing.
      rng_key: a PRNG key, consumed.
      plan: of the buffer.
    """
    assert state.chances is not None
    drawn, tree = sample(state, rng_key, plan), state.chances.tree
    chances = sum_tree.shares_of(tree, drawn.indices)
    drawn = drawn.replace(indices=sum_tree.after(chances, drawn.indices))
    return PrioritisedEpisodeBufferSample(**drawn, probabilities=chances)


def sample_epoch(
    state: EpisodeBufferState[Experience], rng_key: Array, step: Any, plan: Plan
) -> EpisodeBufferSample[Experience]:
    """Takes one batch of an endless row of epochs; in each, every window comes up once, in another order.

    An epoch takes `ceil(windows / N)` batches. The last is filled up with windows of the same epoch, for
    which `mask` is False throughout. Nothing may be added to the state while an epoch lasts.

    Args:
      state: the state.
      rng_key: a PRNG key, the same for all steps.
      step: int `[]`, which batch it is, from 0 on.
      plan: of the buffer.
    """
    totals = jnp.cumsum(state.index.windows.counts)
    count = jnp.maximum(totals[-1], 1)
    batches = (count - 1) // plan.batch_size + 1
    epoch, batch = jnp.divmod(jnp.asarray(step).astype(jnp.int32), batches)
    number = batch * plan.batch_size + jnp.arange(plan.batch_size, dtype=jnp.int32)
    place = shuffled(jax.random.fold_in(rng_key, epoch), number % count, count)
    streams, slots = episode_draw.nth(state.index, totals, place)
    drawn = windows_at(state, streams, slots, plan.rule)
    return dataclasses.replace(drawn, mask=drawn.mask & (number < totals[-1])[:, None])


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
