"""Weights of episodes on disk draw what the sum tree of memory draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongbax.buffer import sum_tree
from strongbax.vault import Vault, draws
from strongbax.vault.weights import MassTree, returns
from view_model import make

CAPACITIES = [3, 600]  # trees of one level and of four


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("kind", ["any", "few", "tiny"])
def test_draws_are_those_of_the_sum_tree(capacity, kind):
    """Bit for bit, whatever the weights, and whatever room the tree in memory has behind them."""
    random = np.random.default_rng(capacity)
    count = capacity if capacity < 70 else capacity - 63
    weights = random.lognormal(sigma=4, size=count).astype(np.float32)
    if kind == "few":
        weights[random.random(count) < 0.9] = 0
    if kind == "tiny":
        weights[1:] *= 1e-30
        weights[-1] = 1e-35  # below what counts
    weights[0] = 1
    ours = MassTree.of(weights)
    theirs = sum_tree.set_many(sum_tree.init(capacity), jnp.arange(count), jnp.asarray(weights))
    assert float(sum_tree.total(theirs)) == float(ours.mass)
    for seed in range(5):
        drawn = _sample(theirs, jax.random.key(seed))
        assert np.array_equal(drawn, ours.draw(draws.key(seed), 300))


_sample = jax.jit(lambda tree, key: sum_tree.sample(tree, key, 300))


@given(st.lists(st.sampled_from([0.0, 1.0, 3.0, -1.0, float("nan"), float("inf"), 1e300]), min_size=1))
def test_what_has_no_weight_is_not_drawn(values):
    """A weight of 0, below 0 or that is not a number is none."""
    tree = MassTree.of(np.array(values))
    some = np.flatnonzero(np.array(values) > 0)
    if len(some):
        assert set(tree.draw(draws.key(1), 20).tolist()) <= set(some.tolist())
    else:
        assert tree.mass == 0


def test_returns_are_summed_step_by_step(tmp_path, monkeypatch):
    """The sums are float32 in the order of steps, over the edges of the blocks they are read in."""
    monkeypatch.setattr("strongbax.vault.weights._ROWS", 7)
    vault, known = make(tmp_path / "a.vault", [3, 9, 1, 17], tail=2)
    expected = [np.cumsum(episode.steps["reward"], dtype=np.float32)[-1] for episode in known]
    assert returns(vault.selected()).tolist() == expected


def test_rewards_of_several_agents_are_added(tmp_path):
    """An episode's return is that of all its agents, as in memory."""
    step = {"reward": np.zeros(3, np.float32), "terminated": np.zeros(3, np.bool_)}
    with Vault.create(tmp_path / "a.vault", steps=step) as vault:
        rewards = np.arange(15, dtype=np.float32).reshape(5, 3)
        ended = np.array([False, True, False, False, True])
        vault.extend({"reward": rewards, "terminated": np.repeat(ended[:, None], 3, axis=1)})
        assert returns(vault.selected()).tolist() == [15.0, 90.0]
        first = vault.loader(64, 1, weights="return").batch_numpy(0)
    assert 0.7 < (first.indices >= 2).mean() < 1


def test_returns_need_rewards(tmp_path):
    """Where no leaf is a reward, the error says so."""
    with Vault.create(tmp_path / "a.vault", steps={"x": np.float32(0), "terminated": np.bool_(0)}) as vault:
        vault.extend({"x": np.ones(3, np.float32), "terminated": np.arange(3) == 2})
        with pytest.raises(ValueError, match="none has that role"):
            vault.loader(2, 1, weights="return")
