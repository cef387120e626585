"""Random numbers as JAX draws them, in NumPy: a batch from disk is the batch that memory would give.

Threefry-2x32 with 20 rounds (Salmon et al. 2011), counted as `jax.random` counts by default (with
`jax_threefry_partitionable`); integers below a bound and shuffled orders as `strongbax.buffer` makes them.
Nothing waits for a compiler or a device, and a thread may draw while another computes.

References:
  Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3, https://doi.org/10.1145/2063384.2063405
  Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains, https://web.cs.ucdavis.edu/~rogaway/papers/subset.pdf
"""

import math
from dataclasses import dataclass

import numpy as np

from .dtypes import NpArray

MAX_SEED = 2**32 - 1
MAX_SHUFFLED = 2**31 - 1  # what memory can number in int32; the network itself would go to 2**32

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_FEISTEL_ROUNDS = 8
_LEAST_HALF = 3  # bits of half a number, as in buffer/shuffle.py


@dataclass(frozen=True)
class Key:
    """A key of `jax.random`, as two words of 32 bits."""

    high: int
    low: int


def key(seed: int) -> Key:
    """Gives the key that `jax.random.key(seed)` holds, `0 <= seed < 2**32`."""
    return Key(0, seed)


def fold_in(base: Key, number: int) -> Key:
    """Gives the key that `jax.random.fold_in` makes of a key and a number of at most 64 bits.

    It is also the `number`-th of the keys that `jax.random.split` makes.

    Example:
      >>> import jax
      >>> folded = fold_in(key(7), 3)
      >>> jax.random.key_data(jax.random.fold_in(jax.random.key(7), 3)).tolist() == [folded.high, folded.low]
      True
    """
    high, low = _threefry(base, np.array([number >> 32]), np.array([number & 0xFFFFFFFF]))
    return Key(int(high[0]), int(low[0]))


def bits(base: Key, shape: tuple[int, ...]) -> NpArray:
    """Gives random words, uint32, as `jax.random.bits` does.

    Example:
      >>> import jax
      >>> bool((jax.random.bits(jax.random.key(1), (2, 3)) == bits(key(1), (2, 3))).all())
      True
    """
    count = np.arange(math.prod(shape), dtype=np.uint64)
    high, low = _threefry(base, count >> _HALF, count & _LOW)
    return (high ^ low).reshape(shape)


def uniform(base: Key, shape: tuple[int, ...]) -> NpArray:
    """Gives random numbers in `[0, 1)`, float32 of 23 bits, as `jax.random.uniform` does.

    Example:
      >>> import jax
      >>> bool((jax.random.uniform(jax.random.key(1), (2, 3)) == uniform(key(1), (2, 3))).all())
      True
    """
    mantissa = (bits(base, shape) >> np.uint32(9)) | np.uint32(0x3F800000)  # those of 1.0 to 2.0
    return mantissa.view(np.float32) - np.float32(1)


def scaled(words: NpArray, bound: int | NpArray) -> NpArray:
    """Scales random words to integers in `[0, bound)`, as good as evenly: `words * bound / 2**64`.

    Args:
      words: uint32 `[2, N]`, the high and the low half of each number.
      bound: below `2**63`; one, or `[N]`.

    Returns:
      int64 `[N]`.

    Example:
      >>> scaled(np.array([[2**31], [0]], np.uint32), 10**12)
      array([500000000000])
    """
    high, low = words.astype(np.uint64)
    span = np.asarray(bound).astype(np.uint64)
    above, below = span >> _HALF, span & _LOW
    a, b = high * below, low * above
    carried = ((a & _LOW) + (b & _LOW) + (low * below >> _HALF)) >> _HALF
    return (high * above + (a >> _HALF) + (b >> _HALF) + carried).astype(np.int64)


def shuffled(base: Key, number: NpArray, size: int) -> NpArray:
    """Gives where numbers come in the shuffled order, as `buffer/shuffle.py` does; one to one.

    Args:
      base: a key, which says which order it is.
      number: int64 `[N]`, each in `[0, size)`.
      size: at least 1, at most `MAX_SHUFFLED`.

    Example:
      >>> sorted(shuffled(key(0), np.arange(10), 10).tolist())
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    half = np.uint32(max(_LEAST_HALF, ((size - 1).bit_length() + 1) // 2))
    words = bits(base, (_FEISTEL_ROUNDS, 2))
    place = _network(number.astype(np.uint32), half, words)
    while (outside := np.flatnonzero(place >= size)).size:
        place[outside] = _network(place[outside], half, words)
    return place.astype(np.int64)


def _network(place: NpArray, half: np.uint32, words: NpArray) -> NpArray:
    """One pass through the Feistel network on numbers of twice `half` bits."""
    mask = (np.uint32(1) << half) - np.uint32(1)
    left, right = place >> half, place & mask
    for pair in words:
        left, right = right, left ^ (_mixed(right, pair) & mask)
    return (left << half) | right


def _mixed(value: NpArray, words: NpArray) -> NpArray:
    """A hash of 32 bits under two random words."""
    value = (value ^ words[0]) * np.uint32(0x9E3779B1)
    value = (value ^ (value >> np.uint32(15))) * (words[1] | np.uint32(1))
    value = (value ^ (value >> np.uint32(13))) * np.uint32(0x85EBCA6B)
    return value ^ (value >> np.uint32(16))


def _threefry(base: Key, high: NpArray, low: NpArray) -> tuple[NpArray, NpArray]:
    """Threefry-2x32-20 of counters `[N]`; section 3.3 of Salmon et al."""
    schedule = [np.uint32(word) for word in (base.high, base.low, base.high ^ base.low ^ _PARITY)]
    x, y = high.astype(np.uint32) + schedule[0], low.astype(np.uint32) + schedule[1]
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            x = x + y
            y = ((y << np.uint32(turn)) | (y >> np.uint32(32 - turn))) ^ x
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + np.full_like(y, group + 1)
    return x, y
