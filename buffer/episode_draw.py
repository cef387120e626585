"""Ways to draw windows from an index: every window equally likely, or every episode.

Letters: `B` streams, `C` capacity in steps, `N` batch.
"""

import jax
import jax.numpy as jnp
from jax import Array

from . import queues
from .draws import below, scaled
from .episode_index import EpisodeIndex

_FEW = 256  # streams up to which it is faster to compare with all totals than to search them


def windows(index: EpisodeIndex, key: Array, count: int) -> tuple[Array, Array]:
    """Draws windows, each equally likely, with replacement.

    Args:
      index: the index; where it has no window, the draws are made but mean nothing.
      key: a PRNG key, consumed.
      count: `N`.

    Returns:
      `streams` and `slots`, int32 `[N]`: where each window's first step lies.

    Example:
      >>> from dataclasses import replace
      >>> from .episode_index import init
      >>> held = queues.push(queues.init(1, 16), jnp.array([[0, 2]]), jnp.ones((1, 2), bool))
      >>> index = replace(init(1, 8), windows=held)
      >>> sorted(set(windows(index, jax.random.key(0), 64)[1].tolist()))
      [0, 2]
    """
    totals = jnp.cumsum(index.windows.counts)
    return nth(index, totals, below(key, count, totals[-1]))


def nth(index: EpisodeIndex, totals: Array, number: Array) -> tuple[Array, Array]:
    """Finds windows by their number, counted from the oldest of the first stream.

    Args:
      index: the index.
      totals: int32 `[B]`, how many windows the streams up to and with each have.
      number: int32 `[N]`.

    Returns:
      `streams` and `slots`, int32 `[N]`.

    Example:
      >>> from dataclasses import replace
      >>> from .episode_index import init
      >>> held = queues.push(queues.init(1, 16), jnp.array([[0, 5]]), jnp.ones((1, 2), bool))
      >>> index = replace(init(1, 8), windows=held)
      >>> nth(index, jnp.cumsum(index.windows.counts), jnp.array([1, 0]))
      (Array([0, 0], dtype=int32), Array([5, 0], dtype=int32))
    """
    streams, places = _split(totals, index.windows.counts, number)
    return streams, queues.get(index.windows, streams, places)


def episodes(index: EpisodeIndex, key: Array, count: int) -> tuple[Array, Array]:
    """Draws episodes that have windows, each equally likely, and then one of its windows.

    Args:
      index: the index, grouped; where it has no window, the draws are made but mean nothing.
      key: a PRNG key, consumed.
      count: `N`.

    Returns:
      `streams` and `slots`, int32 `[N]`: where each window's first step lies.

    Example:
      >>> from dataclasses import replace
      >>> from .episode_index import init
      >>> held = queues.push(queues.init(1, 16), jnp.array([[0, 1, 4]]), jnp.ones((1, 3), bool))
      >>> firsts = queues.push(queues.init(1, 16), jnp.array([[0, 2]]), jnp.ones((1, 2), bool))
      >>> index = replace(init(1, 8), windows=held, groups=firsts)
      >>> _, slots = episodes(index, jax.random.key(0), 1000)
      >>> 400 < int((slots == 4).sum()) < 600  # two windows in the one episode, one in the other
      True
    """
    assert index.groups is not None
    bits = jax.random.bits(key, (2, 2, count), jnp.uint32)
    totals = jnp.cumsum(index.groups.counts)
    streams, places = _split(totals, index.groups.counts, scaled(bits[0], totals[-1]))
    return within(index, bits[1], streams, places)


def within(index: EpisodeIndex, bits: Array, streams: Array, places: Array) -> tuple[Array, Array]:
    """Draws one window of each of some episodes, each window of an episode equally likely.

    Args:
      index: the index, grouped.
      bits: uint32 `[2, N]`, random.
      streams: int32 `[N]`.
      places: int32 `[N]`, the episodes' places among those of their stream that have windows.

    Returns:
      `streams` and `slots`, int32 `[N]`: where each window's first step lies.

    Example:
      >>> from dataclasses import replace
      >>> from .episode_index import init
      >>> held = queues.push(queues.init(1, 16), jnp.array([[0, 1, 4]]), jnp.ones((1, 3), bool))
      >>> firsts = queues.push(queues.init(1, 16), jnp.array([[0, 2]]), jnp.ones((1, 2), bool))
      >>> index = replace(init(1, 8), windows=held, groups=firsts)
      >>> bits = jax.random.bits(jax.random.key(0), (2, 1), jnp.uint32)
      >>> within(index, bits, jnp.array([0]), jnp.array([1]))
      (Array([0], dtype=int32), Array([4], dtype=int32))
    """
    assert index.groups is not None
    head, held = index.windows.heads[streams], index.windows.counts[streams]
    # The windows of a group go up to the first of the next. The oldest group may have lost its own first.
    low = queues.get(index.groups, streams, places) - head
    high = queues.get(index.groups, streams, places + 1) - head
    low, high = (jnp.where(x < 0, x + index.windows.capacity, x) for x in (low, high))
    low = jnp.where(places == 0, 0, low)
    high = jnp.where(places + 1 >= index.groups.counts[streams], held, high)
    return streams, queues.get(index.windows, streams, low + scaled(bits, high - low))


def _split(totals: Array, counts: Array, number: Array) -> tuple[Array, Array]:
    """Takes a number among all streams apart into a stream and a place in it."""
    if counts.shape[0] == 1:
        return jnp.zeros_like(number), number
    if counts.shape[0] <= _FEW:
        streams = jnp.sum(totals[None] <= number[:, None], axis=1, dtype=jnp.int32)
    else:
        streams = jnp.searchsorted(totals, number, side="right").astype(jnp.int32)
    streams = jnp.minimum(streams, counts.shape[0] - 1)  # where there is nothing at all to draw
    return streams, number - (totals[streams] - counts[streams])
