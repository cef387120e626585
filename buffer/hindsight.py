"""Goals from hindsight: what was reached later, taken for what was meant to be reached.

A goal is a step: the current one, one that comes later in its episode, the last one, or any in the buffer.
The four are mixed. How far ahead a later step lies is drawn from a geometric distribution, and what would
lie beyond the end of the episode is its last step, as in OGBench.

Letters: `N` batch.

References:
  Andrychowicz et al. 2017, Hindsight Experience Replay, https://arxiv.org/abs/1707.01495
  Park et al. 2025, OGBench, https://arxiv.org/abs/2410.20092
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .draws import scaled
from .episode_state import EpisodeBufferState
from .episode_steps import places_of
from .ring import advance
from .trajectory_buffer import ring_of


def hindsight_goals(
    state: EpisodeBufferState[Any],
    rng_key: Array,
    indices: Any,
    current: float = 0.2,
    future: float = 0.5,
    final: float = 0.0,
    random: float = 0.3,
    discount: float | None = 0.99,
) -> Array:
    """Draws a goal for each of some steps.

    Args:
      state: the state.
      rng_key: a PRNG key, consumed.
      indices: int32 `[N]`, of steps, as in a sample.
      current: the share of goals that are the step itself.
      future: the share that are a later step of the same episode, as far as it has come; of the last
        step, itself.
      final: the share that are the last step of the episode, as far as it has come.
      random: the share that are any step held, each equally likely. The four shares sum to 1.
      discount: `g`: a later step lies `k` ahead with probability `(1 - g) g**(k - 1)`, the last step taking
        all that is beyond it. None: every later step is equally likely.

    Returns:
      int32 `[N]`, the goals' indices; `episode_steps.steps_at` gathers the steps.

    Raises:
      ValueError: if the shares are not such, or the discount is not in `(0, 1)`.

    Example:
      >>> from .episode_buffer import make_episode_buffer
      >>> buffer = make_episode_buffer(1, 4, 2, max_length_time_axis=8)
      >>> done = jnp.array([[False, False, True, False]])
      >>> state = buffer.add(buffer.init({"done": False}), {"done": done})
      >>> hindsight_goals(state, jax.random.key(0), jnp.array([0, 3]), 0.0, 0.0, 1.0, 0.0)
      Array([2, 3], dtype=int32)
    """
    places = places_of(state, indices)
    capacity, count = state.index.capacity, places.slots.shape[0]
    ahead = draw_ahead(rng_key, places.after, (current, future, final, random), discount)
    own = places.streams * capacity + advance(places.slots, jnp.maximum(ahead, 0), capacity)
    return jnp.where(ahead < 0, _anywhere(state, jax.random.split(rng_key, 3)[1], count), own)


def draw_ahead(
    rng_key: Array, after: Any, shares: tuple[float, float, float, float], discount: float | None
) -> Array:
    """Draws how far ahead of each of some steps its goal lies.

    Args:
      rng_key: a PRNG key, of whose three parts the first and the last are consumed.
      after: int32 `[N]`, how many steps of its episode come after each.
      shares: of current, future, final and random goals, as in `hindsight_goals`.
      discount: as there.

    Returns:
      int32 `[N]`, in steps; -1 where the goal is any step.

    Raises:
      ValueError: if the shares are not such, or the discount is not in `(0, 1)`.

    Example:
      >>> draw_ahead(jax.random.key(0), jnp.array([2, 5]), (0.0, 0.0, 1.0, 0.0), 0.99)
      Array([2, 5], dtype=int32)
    """
    _check(shares, discount)
    after, keys = jnp.asarray(after), jax.random.split(rng_key, 3)
    ahead = jnp.stack(
        [jnp.zeros_like(after), _later(keys[0], after, discount), after, jnp.full_like(after, -1)]
    )
    edges = jnp.cumsum(jnp.array(shares[:3], jnp.float32))
    kind = jnp.searchsorted(edges, jax.random.uniform(keys[2], after.shape), side="right")
    if not shares[3]:  # the edges may sum to a little less than 1
        kind = jnp.minimum(kind, max(i for i, share in enumerate(shares[:3]) if share))
    return jnp.take_along_axis(ahead, kind[None], axis=0)[0]


def _later(key: Array, after: Array, discount: float | None) -> Array:
    """How many steps ahead a later step lies, at most to the end of the episode."""
    if discount is None:
        bits = jax.random.bits(key, (2, after.shape[0]), jnp.uint32)
        return jnp.minimum(1 + scaled(bits, after), after)
    return jnp.minimum(jax.random.geometric(key, 1 - discount, after.shape, jnp.int32), after)


def _anywhere(state: EpisodeBufferState[Any], key: Array, count: int) -> Array:
    held = ring_of(state)
    bits = jax.random.bits(key, (2, 2, count), jnp.uint32)
    streams = scaled(bits[0], jnp.asarray(held.streams, jnp.int32))
    return streams * held.capacity + advance(held.oldest, scaled(bits[1], held.held), held.capacity)


def _check(shares: tuple[float, ...], discount: float | None) -> None:
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            "`current`, `future`, `final` and `random` must be shares of at least 0 that sum to 1: got "
            f"{', '.join(map(str, shares))}. Give all four."
        )
    if discount is not None and not 0 < discount < 1:
        raise ValueError(f"`discount` must be between 0 and 1, or None: got {discount}.")
