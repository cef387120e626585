"""Running counts of flags along a row: how many were set so far, and which was the last.

A scan along the row would be a dozen small operations, and costs more than the steps that a buffer is
given. Here 32 flags make one word, and within a word a mask and two bit counts answer for every place.

Letters: `B` rows, `T` places.
"""

import jax.numpy as jnp
from jax import Array, lax

_WORD = 32


def running(flags: Array) -> tuple[Array, Array]:
    """Counts the flags up to and with every place, and finds the last one.

    Args:
      flags: bool `[B, T]`.

    Returns:
      int32 `[B, T]`, how many are set; and int32 `[B, T]`, the place of the last that is, or -1.

    Example:
      >>> counts, latest = running(jnp.array([[False, True, False, True]]))
      >>> counts.tolist(), latest.tolist()
      ([[0, 1, 1, 2]], [[-1, 1, 1, 3]])
    """
    rows, length = flags.shape
    words = -(-length // _WORD)
    padded = jnp.pad(flags, ((0, 0), (0, words * _WORD - length))).reshape(rows, words, _WORD)
    place = jnp.arange(_WORD, dtype=jnp.uint32).reshape(1, 1, _WORD)
    packed = jnp.sum(padded.astype(jnp.uint32) << place, axis=2, keepdims=True, dtype=jnp.uint32)
    until = packed & (jnp.uint32(2**_WORD - 1) >> (_WORD - 1 - place))
    counts = lax.population_count(until).astype(jnp.int32)
    start = _WORD * jnp.arange(words, dtype=jnp.int32).reshape(1, words, 1)
    latest = jnp.where(until == 0, -1, start + _WORD - 1 - lax.clz(until).astype(jnp.int32))
    if words > 1:
        total = counts[:, :, -1:]
        counts = counts + jnp.cumsum(total, axis=1) - total
        before = lax.cummax(latest[:, :-1, -1:], axis=1)
        before = jnp.pad(before, ((0, 0), (1, 0), (0, 0)), constant_values=-1)
        latest = jnp.maximum(latest, before)
    flat = (rows, words * _WORD)
    return counts.reshape(flat)[:, :length], latest.reshape(flat)[:, :length]
