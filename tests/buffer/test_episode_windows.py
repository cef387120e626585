"""The windows that an episode buffer holds and draws are those of a plain model, whatever came before."""

import functools
import warnings

import jax
import numpy as np
import pytest
from episode_model import Model, experience, random_ends
from hypothesis import given, settings
from hypothesis import strategies as st
from strongbax.buffer.episode_buffer import make_episode_buffer

STREAMS, BATCH = 2, 64
LENGTHS = (1, 4)  # of what is added: each is compiled for every case
# short, period, W, C, weights, whether a leaf says which steps are first
CASES = {
    "drop": ("drop", 1, 3, 8, "episodes", False),
    "drop, stride": ("drop", 2, 4, 11, "windows", True),
    "drop, stride beyond the window": ("drop", 5, 3, 11, "episodes", False),
    "items": ("drop", 1, 1, 5, "windows", False),
    "the whole ring": ("drop", 1, 6, 6, "windows", False),
    "pad": ("pad", 1, 4, 9, "windows", False),
    "pad, stride": ("pad", 3, 3, 8, "episodes", True),
    "pad_left": ("pad_left", 2, 5, 9, "windows", False),
    "shift": ("shift", 3, 3, 10, "episodes", False),
    "shift, told late": ("shift", 4, 5, 12, "episodes", True),
    "shift, any start": ("shift", 1, 3, 8, "windows", False),
}


@functools.cache
def buffer_of(case):
    """The buffer of a case, compiled once for all its tests."""
    short, period, length, capacity, weights, _ = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = make_episode_buffer(
            STREAMS, BATCH, length, capacity, period=period, short=short, weights=weights
        )
    return made.replace(
        add=jax.jit(made.add), sample=jax.jit(made.sample), can_sample=jax.jit(made.can_sample)
    )


class History:
    """A buffer and its model, given the same steps."""

    def __init__(self, case):
        short, period, self.length, self.capacity, self.weights, self.told = CASES[case]
        self.short, self.buffer = short, buffer_of(case)
        self.model = Model(STREAMS, self.capacity, self.length, period, short)
        step = {"time": np.int32(0), "stream": np.int32(0), "terminated": np.bool_(False)}
        self.state = self.buffer.init(step | ({"is_first": np.bool_(False)} if self.told else {}))
        self.time = 0

    def add(self, last, first):
        steps = experience(STREAMS, self.time, last.shape[1], last)
        if self.told:
            steps["is_first"] = first
        self.state = self.buffer.add(self.state, steps)
        self.model.add(last, first if self.told else None)
        self.time += last.shape[1]

    def check_windows(self):
        """Holds the index against the model: the windows, their order, and their episodes."""
        episodes = self.model.by_episode()
        index = jax.tree.map(np.asarray, self.state.index)
        for stream in range(STREAMS):
            mine = [episode for episode in episodes if episode[0].stream == stream]
            starts = queued(index.windows, stream)
            assert starts == [w.start % self.capacity for episode in mine for w in episode]
            if self.weights == "episodes":
                edges = [slot - index.windows.ends[stream, 0] for slot in queued(index.groups, stream)]
                edges = [0, *(edge % (2 * self.capacity) for edge in edges[1:]), len(starts)]
                assert np.diff(edges).tolist() == [len(episode) for episode in mine] or not mine
                assert index.groups.ends[stream, 1] == len(mine)
        assert bool(self.buffer.can_sample(self.state)) == bool(episodes)

    def check_sample(self, seed):
        """Holds every window of a sample against the model's."""
        known = {(w.stream, w.start): w for w in self.model.windows()}
        if not known:
            return
        sample = jax.tree.map(np.asarray, self.buffer.sample(self.state, jax.random.key(seed)))
        place = np.arange(self.length)
        for n in range(BATCH):
            mask = sample.mask[n]
            steps = {name: leaf[n][mask] for name, leaf in sample.experience.items()}
            window = known[steps["stream"][0] - 1, steps["time"][0]]
            lead = self.length - window.length if self.short == "pad_left" else 0
            assert mask.tolist() == ((place >= lead) & (place < lead + window.length)).tolist()
            assert (steps["stream"] == window.stream + 1).all()
            assert steps["time"].tolist() == [window.start + i for i in range(window.length)]
            assert sample.step_in_episode[n][mask].tolist() == [window.age + i for i in range(window.length)]
            assert sample.indices[n] == window.stream * self.capacity + window.start % self.capacity
            assert not any(leaf[n][~mask].any() for leaf in sample.experience.values())
            assert not sample.step_in_episode[n][~mask].any()


def queued(queues, row):
    head, count = queues.ends[row]
    slots = queues.slots[row]
    return [int(slots[(head + place) % len(slots)]) for place in range(count)]


PIECE = st.tuples(st.sampled_from(LENGTHS), st.integers(0, 2**10 - 1), st.integers(0, 2**10 - 1))


def flags(bits, length, dense):
    """Flags for both streams, from an integer's bits; often none, since long episodes are rare otherwise."""
    found = np.array([bits >> i & 1 for i in range(STREAMS * length)], bool).reshape(STREAMS, length)
    return found if dense else found & np.roll(found, 1, axis=1) & (bits % 3 == 0)


@pytest.mark.parametrize("case", ["pad, stride", "shift, told late"])
@settings(max_examples=settings.default.max_examples // 5)
@given(pieces=st.lists(PIECE, min_size=1, max_size=20), dense=st.booleans())
def test_windows_are_those_of_the_model(case, pieces, dense):
    """After every add, whatever ended and was overwritten, the windows held are exactly the valid ones."""
    history = History(case)
    for length, ends, begins in pieces:
        history.add(flags(ends, length, dense), flags(begins, length, dense=False))
        history.check_windows()
    history.check_sample(seed=len(pieces))


@pytest.mark.parametrize("case", CASES)
def test_a_long_history(case):
    """The same holds after many laps of the ring, and every window drawn is one of the model's."""
    history, generator = History(case), np.random.default_rng(sum(map(ord, case)))
    for turn in range(28):
        length = int(generator.choice(LENGTHS))
        history.add(random_ends(generator, STREAMS, length, 6), random_ends(generator, STREAMS, length, 9))
        history.check_windows()
        if turn % 14 == 13:
            history.check_sample(turn)
    assert history.time > 4 * history.capacity


@pytest.mark.heavy
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(5))
def test_very_long_histories(case, seed):
    """The same, for a thousand adds each."""
    history, generator = History(case), np.random.default_rng(seed)
    for turn in range(1000):
        length = int(generator.choice(LENGTHS))
        history.add(random_ends(generator, STREAMS, length, 6), random_ends(generator, STREAMS, length, 9))
        history.check_windows()
        if turn % 20 == 0:
            history.check_sample(turn)
