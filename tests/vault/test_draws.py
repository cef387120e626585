"""NumPy draws what JAX draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from strongbax.buffer.draws import scaled
from strongbax.buffer.shuffle import shuffled
from strongbax.vault import draws

SEEDS = [0, 1, 7, 2**31, 2**32 - 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_words_are_those_of_jax(seed):
    """Keys, folded keys and words are bit for bit JAX's, so a seed means the same draws in both."""
    theirs = jax.random.fold_in(jax.random.key(np.uint32(seed)), np.uint32(seed))
    ours = draws.fold_in(draws.key(seed), seed)
    assert jax.random.key_data(theirs).tolist() == [ours.high, ours.low]
    assert (np.asarray(jax.random.bits(theirs, (2, 3, 5))) == draws.bits(ours, (2, 3, 5))).all()
    assert (np.asarray(jax.random.uniform(theirs, (2, 50))) == draws.uniform(ours, (2, 50))).all()
    split = [draws.fold_in(ours, number) for number in range(2)]
    assert jax.random.key_data(jax.random.split(theirs)).tolist() == [[k.high, k.low] for k in split]


@pytest.mark.parametrize("bound", [1, 2, 1000, 2**31 - 1])
def test_scaled_as_in_memory(bound):
    """Integers below a bound are those that the buffers draw."""
    words = draws.bits(draws.key(3), (2, 100))
    assert (np.asarray(scaled(jnp.asarray(words), jnp.int32(bound))) == draws.scaled(words, bound)).all()


@pytest.mark.parametrize("bound", [1, 2**32, 2**32 + 5, 10**15, 2**63 - 1])
def test_scaled_beyond_32_bits(bound):
    """Integers below a bound that memory could not count are words * bound / 2**64, exactly."""
    words = draws.bits(draws.key(4), (2, 100))
    exact = [(int(high) * 2**32 + int(low)) * bound >> 64 for high, low in words.T]
    assert draws.scaled(words, bound).tolist() == exact


@pytest.mark.parametrize("size", [1, 65, 1000])
def test_shuffled_as_in_memory(size):
    """The shuffled order is one to one, and the one that the buffers make."""
    order = draws.shuffled(draws.key(size), np.arange(size), size)
    assert sorted(order.tolist()) == list(range(size))
    theirs = shuffled(jax.random.key(size), jnp.arange(size, dtype=jnp.int32), jnp.int32(size))
    assert (np.asarray(theirs) == order).all()
