"""A shuffled order of any number of things, without a list of them.

A Feistel network maps `[0, 2**(2 h))` one to one onto itself, whatever its round function; where it leads
out of `[0, size)` it is applied again, until it leads back in (Black and Rogaway 2002, sections 3 and 5).
So a place in the order is found from a key and a number alone, under jit, for a size known at run time.
Every number is equally likely at every place.

References:
  Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains, https://web.cs.ucdavis.edu/~rogaway/papers/subset.pdf
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

_ROUNDS = 8
_LEAST_HALF = 3  # bits; in a smaller network, some orders come up more often than others


def shuffled(key: Array, number: Array, size: Array) -> Array:
    """Returns where numbers come in the shuffled order; distinct numbers come to distinct places.

    Args:
      key: a PRNG key, which says which order it is.
      number: int32 `[N]`, each in `[0, size)`.
      size: int32 `[]`; of a size below 1 all places are 0.

    Returns:
      int32 `[N]`, each in `[0, size)`.

    Example:
      >>> shuffled(jax.random.key(0), jnp.arange(6), jnp.asarray(6)).tolist()
      [5, 1, 0, 4, 3, 2]
    """
    size = jnp.maximum(size, 1).astype(jnp.uint32)
    bits = 32 - lax.clz(size - 1)
    half = jnp.maximum((bits + 1) // 2, _LEAST_HALF)
    keys = jax.random.bits(key, (_ROUNDS, 2), jnp.uint32)

    def outside(place: Array) -> Array:
        return jnp.any(place >= size)

    def again(place: Array) -> Array:
        return jnp.where(place >= size, _network(place, half, keys), place)

    first = _network(number.astype(jnp.uint32), half, keys)
    return lax.while_loop(outside, again, first).astype(jnp.int32)


def _network(place: Array, half: Array, keys: Array) -> Array:
    """One pass through the network on numbers of twice `half` bits."""
    mask = (jnp.uint32(1) << half) - 1
    left, right = place >> half, place & mask
    for words in keys:
        left, right = right, left ^ (_mixed(right, words) & mask)
    return (left << half) | right


def _mixed(value: Array, words: Array) -> Array:
    """A hash of 32 bits under two random words: multiplications and shifts, each one to one."""
    value = (value ^ words[0]) * jnp.uint32(0x9E3779B1)
    value = (value ^ (value >> 15)) * (words[1] | 1)
    value = (value ^ (value >> 13)) * jnp.uint32(0x85EBCA6B)
    return value ^ (value >> 16)
