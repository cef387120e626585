"""A shuffled order holds every number once, and every number is equally likely at every place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from strongbax.buffer.shuffle import shuffled

order = jax.jit(shuffled)
KEYS = 10_000


@pytest.mark.parametrize("size", [1, 64, 65, 40_000])
def test_every_number_comes_once(size):
    """For sizes on both sides of a power of two, the order is one."""
    numbers = jnp.arange(40_000, dtype=jnp.int32) % size
    places = np.asarray(order(jax.random.key(size), numbers, jnp.asarray(size)))[:size]
    assert np.array_equal(np.sort(places), np.arange(size))


def test_places_are_even():
    """Over many keys, each of five numbers comes to each of five places equally often, and so do pairs."""
    many = jax.jit(jax.vmap(shuffled, (0, None, None)))
    size = 5
    places = np.asarray(many(jax.random.split(jax.random.key(1), KEYS), jnp.arange(size), jnp.asarray(size)))
    for number in range(size):
        assert stats.chisquare(np.bincount(places[:, number], minlength=size)).pvalue > 1e-4
    pairs = np.bincount(places[:, 0] * size + places[:, 1], minlength=size**2)
    assert stats.chisquare(pairs[pairs > 0]).pvalue > 1e-4
    assert (pairs > 0).sum() == size * (size - 1)
