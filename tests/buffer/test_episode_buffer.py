"""The episode buffer: its arguments, states made elsewhere, and the transformations it lives under."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from strongbax.buffer import episode_buffer, make_trajectory_buffer, num_added
from strongbax.buffer.episode_buffer import make_episode_buffer
from strongbax.buffer.trajectory_buffer import TrajectoryBufferState

BUFFER = make_episode_buffer(2, 16, 3, 8, short="pad", weights="episodes")
BUFFER = BUFFER.replace(add=jax.jit(BUFFER.add), sample=jax.jit(BUFFER.sample), index=jax.jit(BUFFER.index))
STEP = {"time": jnp.zeros((), jnp.int32), "done": jnp.zeros((), bool)}
KEY = jax.random.key(0)


def steps(first, length, ends=(), streams=2):
    """Steps that hold their time, with episodes that end at these times."""
    time = np.arange(first, first + length, dtype=np.int32)
    return {"time": np.tile(time, (streams, 1)), "done": np.tile(np.isin(time, ends), (streams, 1))}


@functools.cache
def filled():
    state = BUFFER.init(STEP)
    for first in (0, 5, 10):
        state = BUFFER.add(state, steps(first, 5, ends=(3, 7, 8)))
    return state


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_sample_is_as_its_docstring_says():
    """Leaves keep their shapes and dtypes, and a step's place in its episode counts what was overwritten."""
    sample = BUFFER.sample(filled(), KEY)
    assert sample.experience["time"].shape == sample.mask.shape == (16, 3)
    times, ages = np.asarray(sample.experience["time"]), np.asarray(sample.step_in_episode)
    begin = np.select([times >= 9, times >= 8], [9, 8], 4)
    np.testing.assert_array_equal(ages, np.where(sample.mask, times - begin, 0))
    assert {7, 8, 9} <= set(times.ravel().tolist())


def test_the_state_is_that_of_a_trajectory_buffer_and_more():
    """It counts its steps without end, as the others do, so that a vault takes it as it takes theirs."""
    state = filled()
    assert isinstance(state, TrajectoryBufferState)
    assert num_added(state) == 15
    assert {*state} == {"experience", "current_index", "is_full", "laps", "index", "chances"}


@pytest.mark.parametrize("kind", ["numpy", "jax"])
def test_a_state_made_elsewhere_is_indexed(kind):
    """The steps of another buffer, in whatever place its ring stands, give the windows they gave here."""
    other = make_trajectory_buffer(2, 1, 1, 1, 1, max_length_time_axis=8)
    state = other.init(STEP)
    for first in (0, 5, 10):
        state = other.add(state, steps(first, 5, ends=(3, 7, 8)))
    state = BUFFER.index(jax.device_get(state) if kind == "numpy" else state)
    mine = filled()
    assert_same(state.experience, mine.experience)
    ours, theirs = BUFFER.sample(mine, KEY), BUFFER.sample(state, KEY)
    # What was overwritten before is not known here: of the oldest episode only the steps held count.
    oldest = np.asarray(ours.experience["time"]) < 8
    assert_same(theirs.experience, ours.experience)
    assert_same(theirs.step_in_episode[~oldest], ours.step_in_episode[~oldest])
    mine, state = (BUFFER.add(s, steps(15, 5, ends=(16,))) for s in (mine, state))
    assert_same(BUFFER.sample(mine, KEY).experience, BUFFER.sample(state, KEY).experience)


def test_episodes_laid_end_to_end_are_indexed():
    """A dataset of any length, built by hand, is sampled by its own sizes; a state not yet full as well."""
    length = 100
    ends = np.arange(9, length, 10)
    flat = steps(0, length, ends, streams=1)
    state = BUFFER.index(TrajectoryBufferState(experience=flat, current_index=0, is_full=True))
    assert int(state.index.groups.counts[0]) == 10
    assert int(state.index.windows.counts[0]) == length
    assert state.laps is None
    half = BUFFER.index(TrajectoryBufferState(experience=flat, current_index=50, is_full=False))
    assert int(half.index.windows.counts[0]) == 50
    none = BUFFER.index(TrajectoryBufferState(experience=flat, current_index=0, is_full=False))
    assert not BUFFER.can_sample(none)


def test_starts_are_given():
    """Where no leaf tells that an episode begins, whoever knows can say so."""
    flat, starts = steps(0, 10, ends=(4,), streams=1), np.arange(10)[None] == 7
    state = BUFFER.index(TrajectoryBufferState(experience=flat, current_index=0, is_full=True), starts=starts)
    assert int(state.index.groups.counts[0]) == 3
    last = BUFFER.sample(state, KEY)
    times, mask = np.asarray(last.experience["time"]), np.asarray(last.mask)
    assert not ((times[:, :1] < 7) & (times >= 7) & mask).any()


def test_can_sample_is_about_windows():
    """It is true when there is a window and the minimum is held; a ring full of short episodes has none."""
    buffer = make_episode_buffer(1, 4, 3, 8, min_length_time_axis=5)
    add, state, seen = jax.jit(buffer.add), buffer.init(STEP), []
    for time in range(7):
        state = add(state, steps(time, 1, ends=(1,), streams=1))
        seen.append(bool(buffer.can_sample(state)))
    assert seen == [False] * 4 + [True] * 3
    for time in range(7, 16):
        state = add(state, steps(time, 1, ends=range(20), streams=1))
    assert not buffer.can_sample(state)
    assert jax.jit(buffer.sample)(state, KEY).mask.shape == (4, 3)


def test_an_empty_sequence_changes_nothing():
    """Adding no steps gives the state that was."""
    state = filled()
    assert_same(BUFFER.add(state, steps(15, 0)), state)


def test_vmap_gives_what_single_calls_give():
    """States stacked under vmap go the way of each alone."""
    batches = [steps(15, 5, ends=(17,)), steps(15, 5, ends=(15, 16))]

    def step(state, batch):
        state = BUFFER.add(state, batch)
        return state, BUFFER.sample(state, KEY)

    stack = functools.partial(jax.tree.map, lambda *x: jnp.stack(x))
    state = filled()
    together = jax.jit(jax.vmap(step))(stack(state, state), stack(*batches))
    assert_same(together, stack(*(step(state, batch) for batch in batches)))
    assert BUFFER.can_sample(together[0]).tolist() == [True, True]


def test_scan_carries_the_state():
    """The state keeps its types through `add`, 64 bits or not."""
    for x64 in (False, True):
        with jax.enable_x64(x64):
            batches = jax.tree.map(lambda *x: np.stack(x), *(steps(5 * i, 5, (3, 7, 8)) for i in range(3)))
            made = make_episode_buffer(2, 16, 3, 8, short="pad", weights="episodes")
            state, _ = jax.lax.scan(lambda s, b, add=made.add: (add(s, b), None), made.init(STEP), batches)
        assert_same(state, filled())


def test_pmap_keeps_a_state_a_device():
    """Each device makes, fills and samples a state of its own."""
    state = jax.pmap(BUFFER.init)(jax.tree.map(lambda x: jnp.stack([x, x]), STEP))
    state = jax.pmap(BUFFER.add)(state, jax.tree.map(lambda *x: jnp.stack(x), steps(0, 5), steps(20, 5)))
    assert BUFFER.can_sample(state).tolist() == [True, True]
    times = jax.pmap(BUFFER.sample)(state, jax.random.split(KEY)).experience["time"]
    assert set(np.unique(times[0])) <= set(range(5))
    assert set(np.unique(times[1])) <= {0, *range(20, 25)}


def test_streams_are_sharded_without_talk():
    """Under `shard_map` every device adds to and draws from its own streams; no collective is compiled."""
    mesh = jax.make_mesh((2,), ("streams",), axis_types=(jax.sharding.AxisType.Auto,))
    whole, split = PartitionSpec(), PartitionSpec("streams")

    def step(state, batch, keys):
        state = BUFFER.add(state, batch)
        return state, BUFFER.sample(state, keys[0])

    state = BUFFER.init(STEP)
    specs = dataclasses.replace(
        jax.tree.map(lambda _: split, state), current_index=whole, is_full=whole, laps=whole
    )
    spread = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(specs, split, split), out_specs=(specs, split)))
    batch = steps(0, 5, ends=(3,))
    batch["time"] = batch["time"] + 100 * np.arange(2, dtype=np.int32)[:, None]
    text = spread.lower(state, batch, jax.random.split(KEY)).compile().as_text()
    assert not any(word in text for word in ("all-gather", "all-reduce", "collective", "all-to-all"))
    state, sample = spread(state, batch, jax.random.split(KEY))
    assert_same(state, BUFFER.add(BUFFER.init(STEP), batch))
    stream = np.where(sample.mask, np.asarray(sample.experience["time"]) // 100, [[0]] * 16 + [[1]] * 16)
    assert (stream == [[0]] * 16 + [[1]] * 16).all()


def test_every_kind_of_leaf_is_padded():
    """PRNG keys, small floats and leaves of no size are zero where the mask is False."""
    step = {"key": KEY, "float8": jnp.ones((), "float8_e4m3fn"), "none": jnp.zeros((0, 2)), "done": True}
    buffer = make_episode_buffer(1, 2, 3, 8, short="pad_left")
    state = jax.jit(buffer.add)(buffer.init(step), jax.tree.map(lambda x: jnp.asarray(x)[None, None], step))
    sample = jax.jit(buffer.sample)(state, KEY)
    assert sample.mask.tolist() == [[False, False, True]] * 2
    data = np.asarray(jax.random.key_data(sample.experience["key"]))
    assert not data[:, :2].any()
    np.testing.assert_array_equal(data[0, 2], jax.random.key_data(KEY))
    assert sample.experience["float8"].astype(jnp.float32).tolist() == [[0, 0, 1]] * 2
    assert sample.experience["none"].shape == (2, 3, 0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"period": 0}, "`period` must be at least 1"),
        ({"sample_sequence_length": 9}, "`sample_sequence_length` must be at most the capacity .* 9 for"),
        ({"min_length_time_axis": 9}, "`min_length_time_axis` must be at most the capacity"),
        ({"short": "cut"}, r"`short` must be one of \['drop', 'pad', 'pad_left', 'shift'\]: got 'cut'"),
        ({"weights": "equal"}, r"`weights` must be a function or one of .*: got 'equal'"),
        (
            {"add_batch_size": 2**29},
            "`add_batch_size` times `max_length_time_axis` must be at most 1073741824",
        ),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    """The message names the argument, what was wanted and what came."""
    right = {"add_batch_size": 1, "sample_batch_size": 1, "sample_sequence_length": 3}
    with pytest.raises(ValueError, match=message):
        make_episode_buffer(**{**right, "max_length_time_axis": 8, **change})


def test_a_stride_beyond_the_window_warns():
    """Steps between two windows can never be drawn, which is said."""
    with pytest.warns(UserWarning, match="2 steps between neighbours are never sampled"):
        make_episode_buffer(1, 1, 3, 8, period=5)


def test_steps_without_ends_are_refused():
    """A buffer that could not know where episodes end says so when it is made a state."""
    with pytest.raises(ValueError, match="`roles` must say which leaf ends an episode"):
        BUFFER.init({"obs": 0.0})


def test_a_wrong_batch_is_refused():
    """What is added must match what is stored, as in the other buffers."""
    with pytest.raises(ValueError, match="`batch` must fit the buffer: got 9 steps"):
        BUFFER.add(BUFFER.init(STEP), steps(0, 9))


def test_roles_reach_the_index():
    """An episode ends where the given leaf says."""
    buffer = make_episode_buffer(1, 1, 2, 8, roles={"terminated": "time", "done": None})
    state = jax.jit(buffer.add)(buffer.init(STEP), steps(0, 3, streams=1))
    assert state.index.windows.ends.tolist() == [[0, 1]]


def test_a_state_too_large_is_refused():
    """A state of more slots than the arithmetic holds is not indexed."""
    slots = jax.ShapeDtypeStruct((2, 2**30), jnp.bool_)
    held = TrajectoryBufferState(experience={"done": slots}, current_index=jnp.int32(0), is_full=True)
    with pytest.raises(ValueError, match="`state` must hold at most 1073741824 steps over all streams"):
        jax.eval_shape(BUFFER.index, held)


def test_other_buffers_states_have_no_index():
    """What is not a buffer's state is refused by name."""
    with pytest.raises(TypeError, match="`state` must be a buffer's state"):
        episode_buffer.index({"experience": 0}, plan=None)
