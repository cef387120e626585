"""Episodes are drawn by what they weigh, windows by their priorities, at every step of a long history."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from episode_model import Model, random_ends
from scipy import stats
from strongbax.buffer import sum_tree
from strongbax.buffer.episode_buffer import make_episode_buffer

STREAMS, CAPACITY, LENGTH, DRAWS = 2, 12, 3, 20_000
STEP = {"reward": np.float32(0), "done": np.bool_(False)}


def by_end(episodes):
    """Weighs only what has ended, by the root of its length."""
    return jnp.where(episodes.ended, jnp.sqrt(episodes.lengths.astype(jnp.float32)), 0.0)


@functools.cache
def buffer_of(short, weights, steps=LENGTH):
    made = make_episode_buffer(STREAMS, DRAWS, steps, CAPACITY, short=short, weights=weights)
    return made.replace(
        add=jax.jit(made.add), sample=jax.jit(made.sample), set_priorities=jax.jit(made.set_priorities)
    )


class History:
    """A buffer and its model, given the same steps and rewards."""

    def __init__(self, short, weights, seed):
        self.buffer, self.generator = buffer_of(short, weights), np.random.default_rng(seed)
        self.model = Model(STREAMS, CAPACITY, LENGTH, 1, short)
        self.rewards = np.zeros((STREAMS, 0), np.float32)
        self.state = self.buffer.init(STEP)

    def add(self, length):
        last = random_ends(self.generator, STREAMS, length, 6)
        rewards = self.generator.integers(-2, 6, (STREAMS, length)).astype(np.float32)
        self.state = self.buffer.add(self.state, {"reward": rewards, "done": last})
        self.model.add(last)
        self.rewards = np.concatenate([self.rewards, rewards], axis=1)

    def facts(self, window):
        """Length, return and whether it ended, of the episode of a window."""
        for begin, length, ended in self.model.streams[window.stream].episodes:
            if begin <= window.start < begin + length:
                return length, self.rewards[window.stream, begin : begin + length].sum(), ended
        raise AssertionError(window)


WEIGH = {
    "length": lambda length, _, __: length,
    "return": lambda _, returns, __: max(returns, 0),
    by_end: lambda length, _, ended: np.float32(length) ** 0.5 * ended,
}


@pytest.mark.parametrize(
    ("weights", "short"),
    [("return", "shift"), (by_end, "pad")],
    ids=["return", "function"],
)
def test_episodes_weigh_what_they_should(weights, short):
    """After every add the tree holds every episode that has windows at its weight, and nothing else."""
    history = History(short, weights, seed=1)
    for turn in range(40):
        history.add((1, 4)[turn % 3 == 0])
        wanted = [WEIGH[weights](*history.facts(windows[0])) for windows in history.model.by_episode()]
        leaves = np.asarray(sum_tree.get(history.state.chances.tree, np.arange(STREAMS * CAPACITY)))
        np.testing.assert_allclose(sorted(leaves[leaves > 0]), sorted(w for w in wanted if w), rtol=1e-6)
        assert bool(history.buffer.can_sample(history.state)) == any(wanted)
    episodes = history.model.by_episode()
    total = sum(WEIGH[weights](*history.facts(windows[0])) for windows in episodes)
    chances = {
        window.stream * CAPACITY + window.start % CAPACITY: WEIGH[weights](*history.facts(window))
        / total
        / len(windows)
        for windows in episodes
        for window in windows
    }
    assert_drawn(history.buffer.sample(history.state, jax.random.key(0)).indices, chances)


def assert_drawn(indices, chances):
    """What is drawn is what can be, as often as it should be."""
    found = np.bincount(np.asarray(indices), minlength=STREAMS * CAPACITY)
    wanted = np.zeros(len(found))
    wanted[list(chances)] = list(chances.values())
    assert not found[wanted == 0].any()
    held = wanted > 0
    assert stats.chisquare(found[held], DRAWS * wanted[held] / wanted.sum()).pvalue > 1e-4


@pytest.mark.parametrize("short", ["shift"])
def test_windows_are_drawn_by_priority(short):
    """New windows have the greatest priority, set ones theirs, and what was overwritten none, ever again."""
    history, priorities, greatest, stale = History(short, "priorities", seed=2), {}, 1.0, None
    for turn in range(40):
        history.add((1, 4)[turn % 3 == 0])
        held = {(w.stream, w.start) for w in history.model.windows()}
        priorities = {key: priorities.get(key, greatest) for key in held}
        if not held:
            continue
        slots = np.array([stream * CAPACITY + start % CAPACITY for stream, start in sorted(held)])
        leaves = np.asarray(sum_tree.get(history.state.chances.tree, np.arange(STREAMS * CAPACITY)))
        np.testing.assert_allclose(leaves[slots], [priorities[key] for key in sorted(held)], rtol=1e-6)
        assert (leaves > 0).sum() == len(held)
        if turn % 4 == 0:
            new = history.generator.random(len(held)).astype(np.float32) + 0.1
            indices, values = slots, new
            if stale is not None:  # windows that may be gone: whatever is set for them has no effect
                gone = [i for i in stale if i not in slots]
                indices = np.concatenate([slots, gone])
                values = np.concatenate([new, np.ones(len(gone), np.float32)])
            history.state = history.buffer.set_priorities(
                history.state,
                jnp.pad(jnp.asarray(indices), (0, 48 - len(indices)), constant_values=-1),
                jnp.pad(jnp.asarray(values), (0, 48 - len(values))),
            )
            set_to = (new**0.6).astype(np.float32)
            priorities = dict(zip(sorted(held), set_to, strict=True))
            greatest, stale = max(greatest, *set_to), slots
    sample = history.buffer.sample(history.state, jax.random.key(0))
    held = sorted({(w.stream, w.start) for w in history.model.windows()})
    chances = {s * CAPACITY + t % CAPACITY: priorities[s, t] for s, t in held}
    assert_drawn(sample.indices, chances)
    each = np.array([chances[i] for i in np.asarray(sample.indices)]) / sum(chances.values())
    np.testing.assert_allclose(sample.probabilities, each, rtol=1e-5)


def test_a_loaded_state_weighs_as_one_that_was_added_to():
    """A state made of another's steps has the chances that adding them gives."""
    buffer = buffer_of("drop", "return")
    rewards = np.arange(2 * CAPACITY, dtype=np.float32).reshape(2, -1)
    steps = {"reward": rewards, "done": np.arange(2 * CAPACITY).reshape(2, -1) % 5 == 0}
    state = buffer.add(buffer.init(STEP), steps)
    again = jax.jit(buffer.index)(state)
    one, other = (np.asarray(x.chances.tree.nodes) for x in (state, again))
    np.testing.assert_allclose(one, other)
    np.testing.assert_array_equal(state.chances.returns[:, 1:4], again.chances.returns[:, 1:4])


@pytest.mark.parametrize("count", [8, 100])
def test_an_epoch_gives_every_window_once(count):
    """Whatever its number of windows, every epoch gives each of them once, in an order of its own."""
    batch, capacity = 8, 128
    buffer = make_episode_buffer(1, batch, 2, capacity)
    steps = {"reward": np.zeros((1, capacity), np.float32), "done": np.zeros((1, capacity), bool)}
    state = buffer.index(filled_to(buffer, steps, count + 1))
    take, orders = jax.jit(buffer.sample_epoch), []
    batches = -(-count // batch)
    for epoch in range(3):
        drawn = []
        for step in range(epoch * batches, (epoch + 1) * batches):
            sample = take(state, jax.random.key(3), step)
            assert sample.mask.shape == (batch, 2)
            drawn += np.asarray(sample.indices)[np.asarray(sample.mask).all(axis=1)].tolist()
        assert sorted(drawn) == list(range(count))
        orders.append(tuple(drawn))
    assert len(set(orders)) == 3


def filled_to(buffer, steps, count):
    empty = buffer.init(STEP)
    return empty.replace(experience=steps, current_index=jnp.asarray(count, jnp.int32))


def test_an_epoch_of_nothing_is_masked():
    """Without a window there is nothing in a batch, and it is said so."""
    buffer = make_episode_buffer(1, 4, 2, 8)
    assert not jax.jit(buffer.sample_epoch)(buffer.init(STEP), jax.random.key(0), 5).mask.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_episode_buffer(1, 1, 2, 8, weights="return").init({"done": 0}), "is the reward, for"),
        (
            lambda: make_episode_buffer(1, 1, 2, 8).set_priorities(
                make_episode_buffer(1, 1, 2, 8).init(STEP), [0], [1.0]
            ),
            "`weights` must be 'priorities' for windows to have priorities",
        ),
        (
            lambda: make_episode_buffer(1, 1, 2, 8, weights="priorities", priority_exponent=2),
            "`priority_exponent` must be from 0 to 1: got 2",
        ),
    ],
    ids=["no reward", "no priorities", "exponent"],
)
def test_what_cannot_be_weighed_is_refused(make, message):
    """The message says what is missing."""
    with pytest.raises(ValueError, match=message):
        make()
