"""Returns, discounts and returns-to-go are what a loop over the steps gives."""

import jax
import numpy as np
import pytest
from strongbax.buffer.discount_to_end import discount_to_end
from strongbax.buffer.n_step import n_step
from strongbax.buffer.return_to_go import return_to_go

GAMMA, BATCH, LENGTH = 0.9, 12, 6
GENERATOR = np.random.default_rng(0)
REWARDS = GENERATOR.normal(size=(BATCH, LENGTH)).astype(np.float32)


def windows(left):
    """Windows of one to six steps, padded on one side; every third ends with its task."""
    mask, terminated = np.zeros((BATCH, LENGTH), bool), np.zeros((BATCH, LENGTH), bool)
    for n in range(BATCH):
        count = 1 + n % LENGTH
        steps = np.arange(LENGTH - count, LENGTH) if left else np.arange(count)
        mask[n, steps] = True
        terminated[n, steps[-1]] = n % 3 == 0
    return mask, terminated


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_n_steps_are_those_of_a_loop(steps, left):
    """Sums end with the window, and only a terminated task takes the value of what follows away."""
    mask, terminated = windows(left)
    found = jax.jit(n_step, static_argnames="steps")(
        np.where(mask, REWARDS, np.float32(99)), terminated, mask, steps=steps, discount=GAMMA
    )
    for n in range(BATCH):
        real = np.flatnonzero(mask[n])
        for t in range(LENGTH):
            taken = [k for k in real if t <= k < t + steps] if mask[n, t] else []
            wanted = sum(GAMMA ** (k - t) * REWARDS[n, k] for k in taken)
            np.testing.assert_allclose(found.returns[n, t], wanted, rtol=1e-5, atol=1e-6)
            alive = bool(taken) and not terminated[n, taken].any()
            np.testing.assert_allclose(found.discounts[n, t], alive * GAMMA ** len(taken), rtol=1e-5)
            assert found.last[n, t] == (taken[-1] if taken else 0)


def test_discounts_may_differ_by_step():
    """A discount of every step of its own is multiplied up as it stands."""
    each = GENERATOR.random((BATCH, LENGTH)).astype(np.float32)
    mask = np.ones((BATCH, LENGTH), bool)
    found = n_step(REWARDS, ~mask, mask, 2, each)
    np.testing.assert_allclose(found.returns[:, 0], REWARDS[:, 0] + each[:, 0] * REWARDS[:, 1], rtol=1e-5)
    np.testing.assert_allclose(found.discounts[:, 0], each[:, 0] * each[:, 1], rtol=1e-6)


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
def test_returns_to_go_are_those_of_a_loop(left):
    """They sum to the window's end, where the value of what follows is added, discounted."""
    mask, terminated = windows(left)
    value = np.arange(BATCH, dtype=np.float32)
    found = jax.jit(return_to_go, static_argnames="discount")(
        np.where(mask, REWARDS, np.float32(99)), mask=mask, discount=GAMMA, after=value
    )
    worth = jax.jit(discount_to_end)(terminated, mask, GAMMA)
    for n in range(BATCH):
        real = np.flatnonzero(mask[n])
        for t in range(LENGTH):
            taken = [k for k in real if k >= t] if mask[n, t] else []
            wanted = sum(GAMMA ** (k - t) * REWARDS[n, k] for k in taken)
            wanted += bool(taken) * GAMMA ** len(taken) * value[n]
            np.testing.assert_allclose(found[n, t], wanted, rtol=1e-5, atol=1e-6)
            alive = bool(taken) and not terminated[n, real[-1]]
            np.testing.assert_allclose(worth[n, t], alive * GAMMA ** len(taken), rtol=1e-5)


def test_returns_to_go_of_streams_end_with_episodes():
    """No reward of the next episode is summed."""
    last = np.zeros((BATCH, LENGTH), bool)
    last[:, 2] = True
    found = return_to_go(REWARDS, last=last)
    np.testing.assert_allclose(found[:, 0], REWARDS[:, :3].sum(axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[:, 3], REWARDS[:, 3:].sum(axis=1), rtol=1e-4, atol=1e-6)


def test_no_steps_are_refused():
    """A sum of no steps is asked for by mistake."""
    with pytest.raises(ValueError, match="`steps` must be at least 1: got 0"):
        n_step(REWARDS, REWARDS, REWARDS, 0, 0.9)
