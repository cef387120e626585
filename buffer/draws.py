"""Random integers below a bound that is known only at run time, as good as exact.

64 random bits times the bound, and of that the part above 64 bits: no value is favoured by more than
`bound / 2**64`. It costs two multiplications where `jax.random.randint` divides, and one call for all bits.

Letters: `N` batch.
"""

import jax
import jax.numpy as jnp
from jax import Array


def below(key: Array, count: int, bound: Array) -> Array:
    """Draws integers in `[0, bound)`, every one equally likely.

    Args:
      key: a PRNG key, consumed.
      count: `N`.
      bound: int32 `[]` or `[N]`, each at least 0; below 1 the draw is 0.

    Returns:
      int32 `[N]`.

    Example:
      >>> drawn = below(jax.random.key(0), 100, jnp.asarray(3))
      >>> sorted(set(drawn.tolist()))
      [0, 1, 2]
    """
    return scaled(jax.random.bits(key, (2, count), jnp.uint32), bound)


def scaled(bits: Array, bound: Array) -> Array:
    """Scales random bits to integers in `[0, bound)`.

    Args:
      bits: uint32 `[2, N]`, the high and the low half of each number.
      bound: int32 `[]` or `[N]`.

    Returns:
      int32 `[N]`.

    Example:
      >>> half = jnp.array([[2**31], [0]], jnp.uint32)
      >>> scaled(half, jnp.asarray(10))
      Array([5], dtype=int32)
    """
    high, low = bits
    span = jnp.broadcast_to(jnp.maximum(bound, 1).astype(jnp.uint32), high.shape)
    middle = high * span + _high_word(low, span)
    carry = (middle < high * span).astype(jnp.uint32)
    return (_high_word(high, span) + carry).astype(jnp.int32)


def _high_word(a: Array, b: Array) -> Array:
    """The upper 32 bits of the product, by halves of 16: `lax.mulhi` does not compile for several devices."""
    a_high, a_low, b_high, b_low = a >> 16, a & 0xFFFF, b >> 16, b & 0xFFFF
    cross = a_high * b_low + (a_low * b_low >> 16)
    other = a_low * b_high + (cross & 0xFFFF)
    return a_high * b_high + (cross >> 16) + (other >> 16)
