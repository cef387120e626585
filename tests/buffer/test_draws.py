"""Integers below a bound are spread evenly over it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from strongbax.buffer.draws import below, scaled


@pytest.mark.parametrize("bound", [1, 2, 3, 1_000_003, 2**31 - 1])
def test_bits_are_scaled_exactly(bound):
    """The result is the upper part of a product of 64 random bits and the bound, to the last bit."""
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2**32, (2, 200), np.uint64)
    bits[:, :2] = [[0, 2**32 - 1], [0, 2**32 - 1]]
    wanted = [(int(high) * 2**32 + int(low)) * bound >> 64 for high, low in bits.T]
    drawn = scaled(jnp.asarray(bits.astype(np.uint32)), jnp.asarray(bound, jnp.int32))
    assert drawn.tolist() == wanted


def test_draws_are_uniform():
    """Every value is drawn equally often, and no other."""
    drawn = jax.jit(below, static_argnums=1)(jax.random.key(0), 70_000, jnp.asarray(7, jnp.int32))
    counts = np.bincount(np.asarray(drawn))
    assert len(counts) == 7
    assert stats.chisquare(counts).pvalue > 1e-4


def test_nothing_to_draw_from_gives_zero():
    """A bound of 0 gives 0, which is an index that exists."""
    assert below(jax.random.key(0), 3, jnp.asarray(0, jnp.int32)).tolist() == [0, 0, 0]
