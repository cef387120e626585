"""Batches from disk are those of a list of episodes, and those that the episode buffer draws in memory."""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strongbax.vault import CorruptionError, Ends, Vault, concat
from vault_folder import make_folder
from vault_rings import SHAPES, one_step, same
from view_model import end_to_end, make
from window_model import expected

SHORT = ["drop", "pad", "pad_left", "shift"]
LENGTHS = [3, 9, 1, 17, 4, 8, 2]


@pytest.fixture(scope="module")
def stores():
    """Vaults of the same leaves: sealed, with a tail, of two streams."""
    folder = make_folder()
    return [
        make(folder / "sealed.vault", LENGTHS),
        make(folder / "tail.vault", [5, 2, 30, 6], close=False, tail=3, seed=1),
        make(folder / "streams.vault", [20, 3, 30], streams=2, seed=2, tail=1),
    ]


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(data=st.data())
def test_every_window_is_that_of_a_list(stores, data):
    """An epoch brings each window once, exactly: over edges of chunks, shards and vaults, and from tails."""
    parts = [stores[part] for part in data.draw(st.lists(st.sampled_from(range(3)), min_size=1, max_size=3))]
    view, known = concat([view for view, _ in parts]), [episode for _, known in parts for episode in known]
    order = np.array(data.draw(st.permutations(range(len(known)))))[: data.draw(st.integers(4, 30))]
    view, known = view.select(order), [known[place] for place in order]
    window, stride = data.draw(st.integers(1, 11)), data.draw(st.integers(1, 4))
    short, size = data.draw(st.sampled_from(SHORT)), data.draw(st.integers(1, 70))
    wanted = list(expected(known, window, stride, short))
    if not wanted:
        with pytest.raises(ValueError, match="no window of"):
            view.loader(size, window, stride=stride, short=short)
        return
    loader = view.loader(
        size, window, stride=stride, short=short, epochs=True, next_observation=True, seed=window
    )
    assert loader.num_windows == len(wanted)
    met = []
    for step in range(loader.batches_an_epoch):
        sample = loader.batch_numpy(step)
        for place in np.flatnonzero(sample.mask.any(axis=1)):
            number = [w[3] for w in wanted].index(sample.indices[place])
            leaves, mask, at, _, after, known_next = wanted[number]
            met.append(number)
            assert same(sample.mask[place], mask)
            assert same(sample.step_in_episode[place], at * mask)
            assert same(sample.next_mask[place], known_next)
            assert same(sample.next_observation["observation"][place], after)
            assert all(same(sample.experience[name][place], leaves[name]) for name in SHAPES)
    assert sorted(met) == list(range(len(wanted)))


def longer_is_better(episodes):
    """Weighs an episode, in memory and on disk."""
    return jnp.where(episodes.ended, episodes.lengths.astype(jnp.float32) + 0.1 * episodes.returns, 0.0)


@pytest.mark.parametrize(
    ("weights", "short"),
    [
        ("windows", "drop"),
        ("windows", "shift"),
        ("episodes", "pad_left"),
        ("epochs", "pad"),
        ("length", "shift"),
        ("return", "drop"),
        (longer_is_better, "pad"),
    ],
)
def test_memory_draws_the_same(stores, weights, short):
    """For a seed, disk gives bit for bit the batches that an episode buffer gives which loaded the view."""
    view = concat([stores[2][0], stores[0][0].select([1, 3, 5, 0, 0, 6])]).sort("length", descending=True)
    epochs = weights == "epochs"
    weights = "windows" if epochs else weights
    memory = fbx.make_episode_buffer(1, 16, 4, max_length_time_axis=4, period=2, short=short, weights=weights)
    state, key = view.load(memory), jax.random.key(5)
    sample, sample_epoch = jax.jit(memory.sample), jax.jit(memory.sample_epoch)
    loader = view.loader(16, 4, stride=2, short=short, weights=weights, epochs=epochs, seed=5)
    for step in (0, 1, *range(7, 27)):
        drawn = sample_epoch(state, key, step) if epochs else sample(state, jax.random.fold_in(key, step))
        loaded = loader.batch(step)
        for field in ("mask", "step_in_episode", "indices"):
            assert same(getattr(drawn, field), getattr(loaded, field)), field
        assert all(same(drawn.experience[name], loaded.experience[name]) for name in SHAPES)


def test_functions_of_samples_take_what_a_loader_gives(stores):
    """Sums of rewards and worths of a batch from disk, under jit, are those of its rows."""
    sample = stores[2][0].loader(16, 4, short="pad", seed=5).batch(3)

    @jax.jit
    def derived(sample):
        reward, ended = sample.experience["reward"], sample.experience["terminated"]
        return (
            fbx.return_to_go(reward, mask=sample.mask, discount=0.5),
            fbx.n_step(reward, ended, sample.mask, steps=2, discount=0.5).returns,
            fbx.discount_to_end(ended, sample.mask, discount=0.5),
        )

    to_go, two_steps, worth = map(np.asarray, derived(sample))
    reward, mask = np.asarray(sample.experience["reward"]), np.asarray(sample.mask)
    ahead = np.pad(reward[:, 1:], ((0, 0), (0, 1)))  # what is padded has no reward
    assert np.array_equal(two_steps, np.where(mask, reward + 0.5 * ahead, 0))
    assert np.array_equal(to_go[:, 0], reward @ 0.5 ** np.arange(4, dtype=np.float32))
    ends = np.asarray(sample.experience["terminated"]).any(axis=1)
    assert np.array_equal(worth[:, 0], np.where(ends, 0, 0.5 ** mask.sum(axis=1)).astype(np.float32))


def test_numbers_weigh_as_what_they_are_numbers_of(stores):
    """Weights as numbers draw what the same weights draw by name."""
    view = stores[2][0]
    given = view.loader(32, 3, weights=view.episodes["length"] * 2.0, seed=1).batch_numpy(3)
    named = view.loader(32, 3, weights="length", seed=1).batch_numpy(3)
    assert same(given.indices, named.indices)


@pytest.mark.parametrize(
    ("weights", "chances"),
    [
        ("windows", [7 / 9, 0, 2 / 9]),
        ("episodes", [1 / 2, 0, 1 / 2]),
        ("length", [8 / 11, 0, 3 / 11]),
        ([1.0, 5.0, 3.0], [1 / 4, 0, 3 / 4]),
    ],
)
def test_weights_are_kept(tmp_path, weights, chances):
    """Episodes come as often as their weights say, and every window of one alike."""
    vault, known = make(tmp_path / "a.vault", [8, 1, 3])
    loader = vault.loader(4000, 2, weights=weights)
    drawn = np.concatenate([loader.batch_numpy(step).indices for step in range(5)])
    bounds = np.cumsum([0, *(episode.length for episode in known)])
    counts = np.array([((drawn >= a) & (drawn < b)).sum() for a, b in pairwise(bounds)])
    assert np.abs(counts / len(drawn) - chances).max() < 0.015
    windows = np.bincount(drawn[drawn < 8], minlength=7)
    assert len(windows) == 7
    assert (np.abs(windows - counts[0] / 7) < 5 * np.sqrt(counts[0] / 7)).all()


def test_shards_make_up_the_batch(stores):
    """The processes' parts, one after the other, are the batch that one process would make."""
    vault = stores[0][0]
    whole = vault.loader(12, 3, seed=9, short="pad").batch_numpy(4)
    parts = [vault.loader(12, 3, seed=9, short="pad", shard=(i, 3)).batch_numpy(4) for i in range(3)]
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    assert all(map(same, jax.tree.leaves(joined), jax.tree.leaves(whole)))


def test_loader_resumes(stores):
    """One integer restores a loader: it goes on with the batch that comes next."""
    vault = stores[0][0]
    loader = vault.loader(4, 3, seed=2)
    batches = [batch for batch, _ in zip(loader, range(6), strict=False)]
    assert loader.step == 7  # `zip` asked for one more
    again = vault.loader(4, 3, seed=2)
    again.step = 3
    for batch, other in zip(batches[3:], again, strict=False):
        assert all(map(same, jax.tree.leaves(batch), jax.tree.leaves(other)))
    assert isinstance(batches[0].experience["reward"], jax.Array)


def test_loader_stays_with_its_snapshot(tmp_path):
    """What a writer adds or seals does not change the batches of a loader."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS, close=False)
    loader = vault.loader(8, 3)
    before = loader.batch_numpy(0)
    vault.extend({name: np.repeat(np.asarray(leaf)[None], 50, 0) for name, leaf in one_step().items()})
    vault.close()
    assert all(map(same, jax.tree.leaves(loader.batch_numpy(0)), jax.tree.leaves(before)))


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_leaves_of_any_kind(tmp_path, codec):
    """Frames, text, wide and narrow dtypes and PRNG keys, compressed or not, come as they were written."""
    count, random = 100, np.random.default_rng(0)
    steps = {
        "frame": random.integers(0, 256, (count, 40, 40)).astype(np.uint8),
        "text": np.array([f"{n:03}" for n in range(count)]),
        "brain": np.asarray(jax.numpy.arange(count, dtype=jax.numpy.bfloat16)),
        "time": np.arange(count, dtype=np.float64),
        "empty": np.zeros((count, 0), np.float32),
    }
    vault = Vault.create(
        tmp_path / "a.vault", steps={n: v[0] for n, v in steps.items()}, codec=codec, block=32
    )
    for start in (0, 70):  # 64 steps are sealed, the rest is not
        part = {name: leaf[start : start + 70] for name, leaf in steps.items()}
        size = len(part["time"])
        vault.extend(part, Ends(np.array([size // 2, size]), np.zeros(2, bool), np.ones(2, bool)))
    loader = vault.loader(64, 7, short="pad_left")
    sample = loader.batch_numpy(0)
    at = sample.indices[:, None] + np.cumsum(sample.mask, axis=1) - 1
    for name, leaf in steps.items():
        read = sample.experience[name]
        assert read.dtype == leaf.dtype
        assert same(read[sample.mask], leaf[at[sample.mask]]), name
        assert not (read[~sample.mask] != np.zeros((), leaf.dtype)).any()
    moved = vault.loader(4, 7, leaves=["frame", "brain"]).batch(1)
    assert list(moved.experience) == ["frame", "brain"]


def test_maps_far_apart_are_gathered(stores, monkeypatch):
    """Where no one array can span all shards' maps, the windows are the same."""
    loader = stores[0][0].loader(16, 5)
    whole = loader.batch_numpy(0)
    monkeypatch.setattr("strongbax.vault.items._SPAN", 1000)
    assert all(map(same, jax.tree.leaves(loader.batch_numpy(0)), jax.tree.leaves(whole)))


def test_lost_shard_is_named(tmp_path):
    """A loader that meets a missing shard says which."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS)
    (tmp_path / "a.vault" / "steps" / "reward" / "c.0.1").unlink()
    with pytest.raises(CorruptionError, match=r"the shard c\.0\.1 is missing"):
        vault.loader(64, 3).batch_numpy(0)


def test_keys_come_as_keys(tmp_path):
    """A leaf of PRNG keys is one on the device, and containers are those of `like`."""
    step = {"key": jax.random.key(0), "done": np.bool_(0)}
    with Vault.create(tmp_path / "a.vault", steps=step) as vault:
        keys = jax.random.split(jax.random.key(1), 6)
        vault.extend({"key": keys, "done": np.arange(6) == 5})
        sample = vault.loader(3, 2).batch(0)
    assert jax.dtypes.issubdtype(sample.experience["key"].dtype, jax.dtypes.prng_key)
    first = jax.random.key_data(keys)[sample.indices]
    assert same(jax.random.key_data(sample.experience["key"])[:, 0], first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"window": 0}, "`window` must be at least 1"),
        ({"stride": 0}, "`stride` must be at least 1"),
        ({"short": "cut"}, "`short` must be one of"),
        ({"weights": "score"}, r"`weights` must be \[E\] numbers, a function, or one"),
        ({"weights": [1.0]}, "7 finite numbers"),
        ({"weights": [0.0] * 7}, "all are 0"),
        ({"epochs": True, "weights": "episodes"}, "`epochs` must go with"),
        ({"shard": (2, 2)}, r"`shard` must be \(i, n\)"),
        ({"shard": (0, 3)}, "must divide `batch_size`"),
        ({"seed": -1}, "`seed` must be from 0"),
        ({"window": 18}, "no window of 18 steps in 7 episodes, the longest of 17"),
        ({"leaves": ["nothing"]}, "no leaf 'nothing'"),
    ],
)
def test_wrong_plan_is_refused(stores, arguments, message):
    """The error says what is wrong, before anything is read."""
    with pytest.raises(ValueError, match=message):
        stores[0][0].loader(**{"batch_size": 4, "window": 2} | arguments)


def test_sample_is_a_pytree(stores):
    """A sample goes through JAX's transformations."""
    sample = stores[0][0].loader(4, 2).batch(0)
    doubled = jax.tree.map(lambda leaf: leaf, sample)
    assert same(doubled.indices, replace(sample).indices)
    assert end_to_end(stores[0][1])["reward"].shape == (44,)


@pytest.mark.parametrize("discount", [1.0, 0.9, 0.0])
def test_returns_to_go_reach_to_the_episodes_end(stores, discount):
    """Each step's is the sum of its episode's rewards from there on, those behind the window too."""
    parts = [stores[part] for part in (2, 0, 1)]
    view, known = concat([view for view, _ in parts]), [episode for _, known in parts for episode in known]
    wanted = {}
    for number, episode in enumerate(known):
        to_go = 0.0
        for at, reward in reversed(list(enumerate(episode.steps["reward"].astype(np.float64)))):
            to_go = wanted[number, at] = reward + discount * to_go
    flat = np.array([wanted[key] for key in sorted(wanted)], np.float32)
    loader = view.loader(64, 7, short="pad_left", epochs=True, return_to_go=discount, leaves=["reward"])
    for step in range(loader.batches_an_epoch):
        sample = loader.batch_numpy(step)
        first = sample.mask.argmax(axis=1)
        at = sample.indices[:, None] + np.arange(7) - first[:, None]
        there = np.where(sample.mask, flat[np.where(sample.mask, at, 0)], 0)
        np.testing.assert_allclose(sample.return_to_go, there, rtol=1e-6, atol=1e-6)
    moved = loader.batch(0).return_to_go
    assert (moved.dtype, bool((moved == loader.batch_numpy(0).return_to_go).all())) == (jnp.float32, True)


def test_a_discount_that_is_none_is_refused(stores):
    """A loader says at once that a discount must be one."""
    with pytest.raises(ValueError, match=r"a discount from 0 to 1, or None: got 1\.5"):
        stores[0][0].loader(2, 3, return_to_go=1.5)
