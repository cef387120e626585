"""Buffers over eight devices: each works on its own streams, and together they are as good as their parts."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from scipy import stats
from strongbax.buffer.sum_tree import SumTree

DEVICES, STREAMS, DRAWS, CAPACITY, STEPS = 8, 2, 16, 11, 3  # streams, draws: of one device
STEP = {"id": jnp.zeros((), jnp.int32), "obs": jnp.zeros(3), "done": jnp.zeros((), bool)}
KEY = jax.random.key(7)
BY_STREAM, EVERYWHERE = PartitionSpec("streams"), PartitionSpec()
COLLECTIVE = re.compile(
    r" (all-gather|all-reduce|all-to-all|reduce-scatter|collective-\w+|send|recv|ragged-[\w-]+)"
    r"(-start)?(\.\d+)?\("
)


def mesh_of(kind=AxisType.Auto):
    return jax.make_mesh((DEVICES,), ("streams",), axis_types=(kind,))


def make(kind, devices):
    """A buffer for so many devices."""
    streams, draws = STREAMS * devices, DRAWS * devices
    items = 2 * CAPACITY * devices
    windows = {"sample_sequence_length": 3, "period": 1, "min_length_time_axis": 3}
    trajectory = {"max_length_time_axis": CAPACITY, **windows}
    episodes = {"max_length_time_axis": CAPACITY, "sample_sequence_length": 3}
    return {
        "trajectory": lambda: fbx.make_trajectory_buffer(streams, draws, **trajectory),
        "flat": lambda: fbx.make_flat_buffer(CAPACITY * streams, 16, draws, True, streams),
        "item": lambda: fbx.make_item_buffer(items, 16, draws, True, True),
        "prioritised trajectory": lambda: fbx.make_prioritised_trajectory_buffer(
            streams, draws, **trajectory
        ),
        "prioritised flat": lambda: fbx.make_prioritised_flat_buffer(
            CAPACITY * streams, 16, draws, True, streams
        ),
        "prioritised item": lambda: fbx.make_prioritised_item_buffer(items, 16, draws, True, True),
        "episode": lambda: fbx.make_episode_buffer(streams, draws, short="pad", **episodes),
        "episode by priority": lambda: fbx.make_episode_buffer(
            streams, draws, weights="priorities", **episodes
        ),
        "episode by length": lambda: fbx.make_episode_buffer(streams, draws, weights="length", **episodes),
    }[kind]()


def steps(time, streams=STREAMS * DEVICES, first=0):
    """Steps number `time` and on: 1000 times their stream plus their time; episodes end at odd places."""
    stream, times = np.arange(first, first + streams)[:, None], np.arange(time, time + STEPS)[None]
    ids = (1000 * stream + times).astype(np.int32)
    obs = np.stack([ids, ids + 1, ids + 2], axis=-1).astype(np.float32)
    return {"id": ids, "obs": obs, "done": (times + stream) % 4 == 3}


def turn(buffer, state, batch, key):
    """One turn of a training loop."""
    state = buffer.add(state, batch)
    sample = buffer.sample(state, key)
    if "probabilities" in sample:
        ids = jax.tree.leaves(sample.experience)[1].reshape(sample.indices.shape[0], -1)[:, 0]
        state = buffer.set_priorities(state, sample.indices, (ids % 7).astype(jnp.float32))
    return state, sample


@functools.cache
def compiled(kind):
    """The sharded buffer's turn: the program, and an empty state."""
    buffer = fbx.shard(make(kind, DEVICES), mesh_of())
    state = buffer.init(STEP)
    program = jax.jit(functools.partial(turn, buffer), donate_argnums=0)
    return buffer, program.lower(state, steps(0), KEY).compile()


def whole(states):
    """What the states of the devices are together."""

    def of(*nodes):
        if isinstance(nodes[0], SumTree):
            return jax.tree.map(lambda *leaves: np.concatenate([np.ravel(x) for x in leaves]), *nodes)
        return nodes[0] if not nodes[0].ndim else np.concatenate(nodes)

    return jax.tree.map(of, *states, is_leaf=lambda node: isinstance(node, SumTree))


def whole_sample(samples, windows):
    """What the samples of the devices are together, their windows numbered on."""
    together = jax.tree.map(lambda *leaves: np.concatenate(leaves), *samples)
    changes = {}
    if "indices" in together:
        changes["indices"] = together.indices + windows * np.repeat(np.arange(DEVICES, dtype=np.int32), DRAWS)
    if "probabilities" in together:
        changes["probabilities"] = together.probabilities / DEVICES
    return together.replace(**changes)


def many_samples(buffer, state):
    """Samples of one state, with a key each."""
    return [jax.device_get(buffer.sample(state, key)) for key in jax.random.split(KEY, 64)]


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_nothing_is_said(buffer, program):
    """No collective is in the program, and no copy of a leaf; the donated state is where the new one goes."""
    text, abstract = program.as_text(), jax.eval_shape(buffer.init, STEP)
    assert "num_partitions=8" in text
    assert not COLLECTIVE.search(text)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(abstract)) // DEVICES
    assert program.memory_analysis().alias_size_in_bytes >= size
    for leaf in jax.tree.leaves(abstract.experience):
        block = ",".join(map(str, (leaf.shape[0] // DEVICES, *leaf.shape[1:])))
        assert not re.search(rf"= \w+\[{block}\]\S* copy\(", text)


@pytest.mark.parametrize("kind", ["trajectory", pytest.param("episode", marks=pytest.mark.heavy)])
def test_turns_are_in_place(kind):
    """However large the state, a turn needs little besides, and copies none of it."""
    sizes = {"max_length_time_axis": 40_009, "sample_sequence_length": 3}
    streams, draws = STREAMS * DEVICES, DRAWS * DEVICES
    plain = {
        "trajectory": lambda: fbx.make_prioritised_trajectory_buffer(
            streams, draws, period=1, min_length_time_axis=3, **sizes
        ),
        "episode": lambda: fbx.make_episode_buffer(streams, draws, weights="priorities", **sizes),
    }[kind]()
    buffer = fbx.shard(plain, mesh_of())
    abstract = jax.eval_shape(buffer.init, STEP)
    where = fbx.state_shardings(abstract, mesh_of())
    state = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), abstract, where)
    program = jax.jit(functools.partial(turn, buffer), donate_argnums=0).lower(state, steps(0), KEY).compile()
    memory = program.memory_analysis()
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(abstract)) // DEVICES
    assert memory.alias_size_in_bytes >= size
    assert memory.temp_size_in_bytes < size / 50
    assert not re.search(r"= \w+\[(\d+,)*(40009|40010|80018)[,\]]\S* copy\(", program.as_text())


SOME = ("flat", "prioritised trajectory", "episode by priority")
OTHERS = ("trajectory", "item", "prioritised flat", "prioritised item", "episode", "episode by length")
KINDS = pytest.mark.parametrize(
    "kind", [*SOME, *(pytest.param(kind, marks=pytest.mark.heavy) for kind in OTHERS)]
)


@KINDS
def test_devices_do_as_buffers_of_their_own(kind):
    """A turn compiles to no collective, and gives bit for bit what eight little buffers give."""
    buffer, program = compiled(kind)
    assert_nothing_is_said(buffer, program)
    little = make(kind, 1)
    small = jax.jit(functools.partial(turn, little))
    state, states = buffer.init(STEP), [little.init(STEP)] * DEVICES
    for number in range(5):
        key = jax.random.fold_in(KEY, number)
        state, sample = program(state, steps(STEPS * number), key)
        pairs = [
            small(one, steps(STEPS * number, STREAMS, STREAMS * n), jax.random.fold_in(key, n))
            for n, one in enumerate(states)
        ]
        states, samples = zip(*pairs, strict=True)
    assert_same(jax.device_get(state), whole(jax.device_get(states)))
    windows = getattr(states[0], "sum_tree_state", None)
    windows = STREAMS * CAPACITY if windows is None else windows.capacity
    assert_same(jax.device_get(sample), whole_sample(jax.device_get(samples), windows))


def filled(kind):
    """The sharded buffer and a state of it that went round once."""
    buffer, program = compiled(kind)
    state = buffer.init(STEP)
    for number in range(5):
        state, _ = program(state, steps(STEPS * number), jax.random.fold_in(KEY, number))
    return buffer, state


def test_every_window_is_drawn_alike():
    """A chi-square test over all windows of all devices finds no fault with a uniform buffer."""
    samples = many_samples(*filled("flat"))
    counts = np.bincount(np.concatenate([sample.experience.first["id"] for sample in samples]))
    held = STEPS * 5 - CAPACITY + np.arange(CAPACITY - 1)
    windows = (1000 * np.arange(STREAMS * DEVICES)[:, None] + held).ravel()
    assert counts[windows].sum() == counts.sum() == 64 * DRAWS * DEVICES
    assert stats.chisquare(counts[windows]).pvalue > 1e-4


def test_probabilities_are_those_of_the_draws():
    """Windows are drawn as often as `probabilities` says, and over all windows these sum to 1."""
    samples = many_samples(*filled("prioritised trajectory"))
    counts, chances = np.zeros((2, STREAMS * DEVICES * CAPACITY))
    for sample in samples:
        chances[sample.indices] = sample.probabilities
        np.add.at(counts, sample.indices, 1)
    drawn = chances > 0
    np.testing.assert_allclose(chances.sum(), 1, rtol=1e-5)
    assert (counts[~drawn] == 0).all()
    expected = counts.sum() * chances[drawn] / chances.sum()
    assert stats.chisquare(counts[drawn], expected).pvalue > 1e-4


@pytest.mark.parametrize(
    "kind", ["prioritised trajectory", pytest.param("episode by priority", marks=pytest.mark.heavy)]
)
def test_windows_keep_their_numbers(kind):
    """What a sample calls a window is what `set_priorities` knows it by, and nothing else is touched."""
    buffer, state = filled(kind)
    sample = buffer.sample(state, KEY)
    same = sample.indices == sample.indices[0]
    state = buffer.set_priorities(state, sample.indices, jnp.where(same, 0.0, 1.0))
    again = buffer.sample(state, jax.random.key(1))
    assert not (again.indices == sample.indices[0]).any()
    assert set(np.asarray(again.indices[:DRAWS])) <= set(range(STREAMS * CAPACITY))


def test_priorities_of_other_devices_windows_are_passed_over():
    """A window that is named to another device than its own keeps its priority."""
    buffer, state = filled("prioritised trajectory")
    sample = buffer.sample(state, KEY)
    after = buffer.set_priorities(state, jnp.roll(sample.indices, DRAWS), jnp.full(DRAWS * DEVICES, 9.0))
    assert_same(jax.device_get(after), jax.device_get(state))


@pytest.mark.parametrize("kind", ["flat", pytest.param("episode", marks=pytest.mark.heavy)])
def test_sampling_before_adding_is_local_too(kind):
    """`sample_and_add` gives what the two calls give, without a collective."""
    buffer, state = filled(kind)
    batch = steps(15)
    program = jax.jit(functools.partial(fbx.sample_and_add, buffer)).lower(state, KEY, batch).compile()
    assert not COLLECTIVE.search(program.as_text())
    after, sample = program(state, KEY, batch)
    assert_same(jax.device_get(sample), jax.device_get(buffer.sample(state, KEY)))
    assert_same(jax.device_get(after), jax.device_get(buffer.add(state, batch)))


@pytest.mark.parametrize("types", [AxisType.Auto, pytest.param(AxisType.Explicit, marks=pytest.mark.heavy)])
def test_devices_look_around_what_they_drew(types):
    """Goals and steps beside a sample are found on the device that drew it, and no device asks another."""
    mesh = mesh_of(types)
    buffer = fbx.shard(make("episode", DEVICES), mesh)
    state = buffer.add(buffer.init(STEP), steps(0))
    sample = buffer.sample(state, KEY)

    def look(state, sample, rng_key):
        goals = fbx.hindsight_goals(state, rng_key, sample.indices, random=0.0, future=0.8)
        return fbx.steps_at(state, sample.indices), fbx.steps_at(state, goals)

    program = jax.jit(fbx.per_device(look, mesh)).lower(state, sample, KEY).compile()
    assert not COLLECTIVE.search(program.as_text())
    own, goals = (np.asarray(found["id"]) for found in program(state, sample, KEY))
    np.testing.assert_array_equal(own, sample.experience["id"][:, 0])
    assert (goals // 1000 == own // 1000).all()
    assert (goals >= own).all()
    assert (goals > own).any()


def test_a_mesh_with_layouts_in_types_will_do():
    """On an explicit mesh, inputs are laid out as they must be, and the results are the same."""
    buffer = fbx.shard(make("flat", DEVICES), mesh_of(AxisType.Explicit))
    state, sample = jax.jit(functools.partial(turn, buffer))(buffer.init(STEP), steps(0), KEY)
    expected, program = compiled("flat")
    assert_same(jax.device_get((state, sample)), jax.device_get(program(expected.init(STEP), steps(0), KEY)))
    assert jax.typeof(sample.experience.first["id"]).sharding.spec == BY_STREAM


def test_over_other_axes_all_is_replicated():
    """On a mesh of 2 x 4 devices with streams along one axis, the others hold the same."""
    mesh = jax.make_mesh((2, 4), ("streams", "model"), axis_types=(AxisType.Auto,) * 2)
    buffer = fbx.shard(make("flat", 2), mesh)
    state = buffer.add(buffer.init(STEP), steps(0, STREAMS * 2))
    assert state.experience["id"].sharding.is_equivalent_to(NamedSharding(mesh, BY_STREAM), 2)
    ids = buffer.sample(state, KEY).experience.first["id"]
    both = fbx.shard(make("flat", DEVICES), mesh, axis=("streams", "model"))
    assert both.init(STEP).experience["id"].sharding.spec == PartitionSpec(("streams", "model"))
    assert ids.sharding.is_equivalent_to(NamedSharding(mesh, BY_STREAM), 1)
    assert set(np.asarray(ids[:DRAWS]) // 1000) <= {0, 1}


@pytest.mark.parametrize("kind", ["flat", "prioritised trajectory", "episode by priority"])
def test_samples_can_be_drawn_when_every_device_can(kind):
    """`can_sample` is false as long as one device holds no window, and true when all do."""
    buffer, state = filled(kind)
    assert not buffer.can_sample(buffer.init(STEP))
    assert buffer.can_sample(state)
    if kind == "prioritised trajectory":  # the one function that talks
        assert COLLECTIVE.search(jax.jit(buffer.can_sample).lower(state).compile().as_text())
        tree = state.sum_tree_state
        lacking = tree.replace(nodes=tree.nodes.reshape(DEVICES, -1).at[3].set(0.0).ravel())
        assert not buffer.can_sample(state.replace(sum_tree_state=lacking))


@pytest.mark.parametrize("kind", ["prioritised trajectory", "episode by priority"])
def test_arrays_lie_where_they_are_said_to(kind):
    """`state_shardings` names the sharding of every array of a state."""
    buffer, state = filled(kind)
    said = fbx.state_shardings(jax.eval_shape(buffer.init, STEP), mesh_of())
    assert jax.tree.all(jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s, x.ndim), state, said))
    assert state.experience["id"].sharding.spec == BY_STREAM
    assert state.current_index.sharding.spec == EVERYWHERE


def refused():
    """Calls that cannot be done, and what is said of them."""
    mesh = mesh_of()

    def sharded(kind, devices):
        return lambda: fbx.shard(make(kind, devices), mesh)

    def added(rows):
        buffer = fbx.shard(make("flat", DEVICES), mesh)
        return lambda: buffer.add(jax.eval_shape(buffer.init, STEP), steps(0, rows))

    odd = fbx.make_trajectory_buffer(16, 12, 1, 1, 1, max_length_time_axis=4)
    single = fbx.make_item_buffer(16, 1, 8)
    unbatched = fbx.make_flat_buffer(16, 1, 8)
    queue = fbx.make_trajectory_queue(4, 8, 2, 2)
    huge = fbx.make_trajectory_buffer(16, 16, 1, 1, 1, max_length_time_axis=2**28)
    plain = make("prioritised flat", DEVICES)
    return {
        "streams": (sharded("flat", 3), ValueError, "`add_batch_size` must be divisible by the 8 devices"),
        "draws": (
            lambda: fbx.shard(odd, mesh),
            ValueError,
            "`sample_batch_size` must be divisible.*: got 12",
        ),
        "items": (
            sharded("item", 3),
            ValueError,
            "`max_length` must be divisible by the 8 devices.*: got 66",
        ),
        "no batches": (lambda: fbx.shard(single, mesh), ValueError, "`add_batches` must be given"),
        "no streams": (lambda: fbx.shard(unbatched, mesh), ValueError, "`add_batch_size` must be given"),
        "queue": (lambda: fbx.shard(queue, mesh), TypeError, "`buffer` must be a trajectory, flat, item or"),
        "too large": (lambda: fbx.shard(huge, mesh), ValueError, "must have at most 2147483647 windows"),
        "axis": (
            lambda: fbx.shard(plain, mesh, axis="data"),
            ValueError,
            "`axis` must be an axis of the mesh",
        ),
        "rows": (added(12), ValueError, "`batch` must have a first axis that 8 devices can share"),
        "plain state": (
            lambda: fbx.shard(plain, mesh).sample(plain.init(STEP), KEY),
            ValueError,
            "`state` must have a sum tree for each of 8 devices",
        ),
    }


@pytest.mark.parametrize("name", list(refused()))
def test_what_cannot_be_shared_is_refused(name):
    """The error names the argument, what was wanted and what came."""
    call, kind, message = refused()[name]
    with pytest.raises(kind, match=message):
        call()
