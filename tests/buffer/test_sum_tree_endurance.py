"""After any number of updates the tree is as exact as a new one, and draws as its priorities say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import stats
from strongbax.buffer import sum_tree

BATCH = 256


@jax.jit
def churn(tree, key):
    """A thousand batches of random updates: nine of ten set priorities to 0, or random ones back."""

    def update(tree, key):
        key_index, key_value, key_scale, key_zero = jax.random.split(key, 4)
        indices = jax.random.randint(key_index, (BATCH,), 0, tree.capacity)
        values = jax.random.uniform(key_value, (BATCH,)) * 10 ** jax.random.uniform(key_scale, (), maxval=6.0)
        keep = jax.random.uniform(key_zero, (BATCH,)) < 0.1
        return sum_tree.set_many(tree, indices, jnp.where(keep, values, 0.0)), None

    return lax.scan(update, tree, jax.random.split(key, 1000))[0]


def draws(tree, key, number):
    """Draws that know nothing of each other: batches of one, so that they are not stratified."""
    one = jax.jit(jax.vmap(lambda key: sum_tree.sample(tree, key, 1)[0]))
    return np.concatenate([one(jax.random.split(k, 10_000)) for k in jax.random.split(key, number // 10_000)])


def chi_square(held, drawn):
    """The p of the draws, leaves put together in their order until 20 draws are expected of each group."""
    expected = held.astype(np.float64) / held.sum(dtype=np.float64) * len(drawn)
    group = (np.cumsum(expected) // 20).astype(int)
    wanted, counts = np.bincount(group, expected), np.bincount(group[drawn], minlength=group[-1] + 1)
    full = wanted > 5
    return stats.chisquare(counts[full], wanted[full] * counts[full].sum() / wanted[full].sum()).pvalue


def endure(capacity, thousands, number):
    """Churns, looks at the sums and draws. Returns the number of updates and the p of the draws."""
    tree, total = sum_tree.init(capacity), 0
    for seed in range(thousands):
        tree, total = churn(tree, jax.random.key(seed)), total + 1000 * BATCH
    held = np.asarray(sum_tree.get(tree, jnp.arange(capacity)))
    np.testing.assert_allclose(sum_tree.total(tree), held.sum(dtype=np.float64), rtol=1e-6)
    assert (np.asarray(tree.nodes) >= 0).all()
    assert 0 < np.count_nonzero(held) < 0.5 * capacity
    drawn = draws(tree, jax.random.key(0), number)
    assert (held[drawn] > 0).all()
    return total, chi_square(held, drawn)


def test_ten_thousand_batches_are_forgotten():
    """A small tree after half a million updates: root, signs, draws."""
    updates, p = endure(512, 2, 20_000)
    assert updates == 512_000
    assert p > 1e-4


@pytest.mark.heavy
@pytest.mark.parametrize("capacity", [8192, 2**20])
def test_ten_million_updates_are_forgotten(capacity):
    """Root to 1e-6 of the float64 sum, no negative node, no draw of priority 0 in a million, chi-square."""
    updates, p = endure(capacity, 40, 1_000_000)
    print(f"{updates:,} updates of {capacity:,} leaves: p = {p:.3f}")
    assert updates > 10**7
    assert p > 1e-4
