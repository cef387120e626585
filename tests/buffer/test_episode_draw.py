"""Draws fall evenly on the windows, or evenly on the episodes, long after the ring was first full."""

import jax
import numpy as np
import pytest
from episode_model import Model, experience, random_ends
from scipy import stats
from strongbax.buffer.episode_buffer import make_episode_buffer

STREAMS, CAPACITY, STEPS = 3, 40, 7


def filled(short, period, weights, batch, seed=0, mean=9):
    """A buffer after a dozen laps, and its model."""
    buffer = make_episode_buffer(STREAMS, batch, 4, CAPACITY, period=period, short=short, weights=weights)
    add, generator = jax.jit(buffer.add), np.random.default_rng(seed)
    model = Model(STREAMS, CAPACITY, 4, period, short)
    state = buffer.init({"time": np.int32(0), "stream": np.int32(0), "terminated": np.bool_(False)})
    for turn in range(12 * CAPACITY // STEPS):
        last = random_ends(generator, STREAMS, STEPS, mean)
        state = add(state, experience(STREAMS, turn * STEPS, STEPS, last))
        model.add(last)
    return buffer, state, model


def counts_of(buffer, state, windows, seed):
    """How often each of the model's windows is drawn; what is none of them raises."""
    drawn = np.asarray(jax.jit(buffer.sample)(state, jax.random.key(seed)).indices)
    ids = [w.stream * CAPACITY + w.start % CAPACITY for w in windows]
    found, counts = np.unique(drawn, return_counts=True)
    assert set(found.tolist()) <= set(ids)
    by_id = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return np.array([by_id.get(i, 0) for i in ids])


def pvalue(short, period, weights, draws, seed=0):
    buffer, state, model = filled(short, period, weights, draws, seed)
    episodes = model.by_episode()
    windows = [window for episode in episodes for window in episode]
    assert len(episodes) > 2
    each = [1 / len(windows)] * len(windows)
    if weights == "episodes":
        each = [1 / len(episodes) / len(episode) for episode in episodes for _ in episode]
    counts = counts_of(buffer, state, windows, seed)
    return stats.chisquare(counts, draws * np.array(each)).pvalue


@pytest.mark.parametrize(
    ("weights", "short", "period"), [("windows", "drop", 1), ("windows", "shift", 3), ("episodes", "pad", 2)]
)
def test_draws_are_as_likely_as_they_should_be(short, period, weights):
    """A chi-square test of all windows finds no fault."""
    assert pvalue(short, period, weights, 30_000) > 1e-4


@pytest.mark.heavy
@pytest.mark.parametrize("weights", ["windows", "episodes"])
@pytest.mark.parametrize("short", ["drop", "pad", "pad_left", "shift"])
def test_many_draws_are_as_likely_as_they_should_be(short, weights):
    """The p-values of eight histories with a million draws each are those of chance."""
    values = [pvalue(short, 1 + seed % 3, weights, 1_000_000, seed) for seed in range(8)]
    print(short, weights, "p-values", np.round(values, 4))
    assert min(values) > 1e-4
    assert stats.kstest(values, "uniform").pvalue > 1e-4


def test_streams_without_windows_are_never_drawn_from():
    """Many streams, most with nothing to draw: only those that have windows come up, by search too."""
    streams = 300
    buffer = make_episode_buffer(streams, 2_000, 3, 8)
    state = buffer.init({"done": np.bool_(False)})
    last = np.ones((streams, 6), bool)
    last[[7, 8, 299]] = False
    state = jax.jit(buffer.add)(state, {"done": last})
    drawn = np.asarray(jax.jit(buffer.sample)(state, jax.random.key(0)).indices) // 8
    assert np.unique(drawn).tolist() == [7, 8, 299]
