"""The uniform sampler: every valid window of every stream is equally likely, with replacement.

A window is valid if all its steps are held. Starts lie `period` steps apart, counted from the
oldest step held. The same key gives the same windows as Flashbax's buffers, which draw first the
start, then the stream, each by `jax.random.randint` with a key of its own.

Letters: `N` batch, `C` capacity in steps.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .ring import Ring, advance


def draw(ring: Ring[Any], key: Array, batch_size: int, length: int, period: int) -> tuple[Array, Array]:
    """Draws windows of a ring.

    Args:
      ring: the ring; where it holds no window yet, the draws are made but mean nothing.
      key: a PRNG key, consumed.
      batch_size: `N`.
      length: of a window, in steps.
      period: between admissible starts, in steps.

    Returns:
      `streams` int32 `[N]`, the stream of each window, and `starts` int32 `[N]`, the slot of its
      first step.

    Example:
      >>> from .ring import append, init
      >>> ring = append(init(0, streams=1, capacity=8), jnp.arange(5)[None])
      >>> streams, starts = draw(ring, jax.random.key(0), batch_size=64, length=2, period=3)
      >>> sorted(set(starts.tolist()))
      [0, 3]
    """
    remaining, key_start = jax.random.split(key)
    count = num_starts(ring, length, period)
    if ring.streams == 1:  # nothing to draw: with one stream Flashbax's draw is always 0
        (index,) = _integers([key_start], [count], batch_size)
        streams = jnp.zeros_like(index)
    else:
        keys = [key_start, jax.random.split(remaining)[1]]
        spans = [count, jnp.asarray(ring.streams, jnp.int32)]
        index, streams = _integers(keys, spans, batch_size)
    return streams, advance(ring.oldest, index * period, ring.capacity)


def num_starts(ring: Ring[Any], length: int, period: int) -> Array:
    """Counts the valid windows of one stream, int32 `[]`.

    Args:
      ring: the ring.
      length: of a window, in steps.
      period: between admissible starts, in steps.

    Example:
      >>> from .ring import append, init
      >>> ring = append(init(0, streams=1, capacity=8), jnp.arange(5)[None])
      >>> num_starts(ring, length=2, period=3)
      Array(2, dtype=int32)
    """
    last = ring.held - length
    return jnp.where(last >= 0, last // period + 1, 0)


def _integers(keys: list[Array], spans: list[Array], size: int) -> list[Array]:
    """Draws `jax.random.randint(key, (size,), 0, span)` for every key, int32 `[size]` each."""
    pairs = list(zip(keys, spans, strict=True))
    # Under x64 `randint` draws other bits; other generators do not draw alike under vmap.
    if jnp.result_type(int) != jnp.int32 or jax.random.key_impl(keys[0]) != "threefry2x32":
        return [jax.random.randint(key, (size,), 0, n).astype(jnp.int32) for key, n in pairs]

    def bits_of(key: Array) -> Array:
        return jax.random.bits(key, (size,), jnp.uint32)

    # One call for the bits of all keys: on a CPU each call is a loop with its own copies, and the
    # calls that `randint` makes cost more than the gather of the steps. Splitting the keys one by
    # one compiles faster than a vmap and costs the same.
    halves = jnp.concatenate([jax.random.split(key) for key in keys])
    bits = jax.vmap(bits_of)(halves)
    return [_below(n, *bits[2 * i : 2 * i + 2]) for i, (_, n) in enumerate(pairs)]


def _below(span: Array, high: Array, low: Array) -> Array:
    """Reduces 64 random bits `2**32 * high + low` modulo the span, as `randint` does.

    Some values are favoured by less than `span / 2**64`.
    """
    divisor = jnp.maximum(span, 1).astype(jnp.uint32)
    two_to_16 = jnp.uint32(1 << 16) % divisor
    two_to_32 = two_to_16 * two_to_16 % divisor
    return ((high % divisor * two_to_32 + low % divisor) % divisor).astype(jnp.int32)
