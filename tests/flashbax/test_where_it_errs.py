"""Where Flashbax is wrong we are right: the same calls on both, the fault seen in the one and not in ours.

Its version is pinned, so `make flashbax` alone looks at what it does. What ours does, other tests show too.
"""

import contextlib
import importlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as ours
from strongbax.buffer import flashbax_sum_tree

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def lenient():
    """JAX as Flashbax's users have it, and no errors for what its dependencies warn about."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.numpy_rank_promotion("allow"))
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def theirs(lenient):
    return pytest.importorskip("flashbax", reason="needs flashbax, of the extra `test`")


def compiled(buffer):
    """The buffer with its functions under jit, which compiles sooner than operation by operation."""
    names = [name for name in ("init", "add", "sample", "set_priorities") if name in {**buffer}]
    return buffer.replace(**{name: jax.jit(buffer[name]) for name in names})


def prioritised(fbx, capacity=10, window=3, period=1, streams=1):
    return compiled(
        fbx.make_prioritised_trajectory_buffer(
            streams, 64, window, period, window, max_length_time_axis=capacity, priority_exponent=1.0
        )
    )


def steps(first, length, streams=1):
    return 1000 * jnp.arange(streams)[:, None] + jnp.arange(first, first + length)[None]


def greatest_item_mixed(fbx):
    """Three in ten of a mixed batch come from a hundred items of one priority: the last of them drawn."""
    buffers = [fbx.make_prioritised_item_buffer(100, 1, 100, True) for _ in range(2)]
    states = [jax.jit(buffers[0].add)(buffers[0].init(0), jnp.arange(100))] * 2
    mixed = jax.jit(fbx.make_mixer(buffers, 100, [0.3, 0.7]).sample)(states, jax.random.PRNGKey(0))
    return int(mixed.indices[:30].max())


def test_a_mixer_draws_from_all_of_a_prioritised_buffer(theirs):
    """Flashbax takes the first of a batch that is in the order of the items, so late items never come."""
    assert greatest_item_mixed(theirs) < 30
    assert greatest_item_mixed(ours) > 90


def size_mixed(fbx):
    buffers = [fbx.make_item_buffer(100, 1, 10, True) for _ in range(2)]
    states = [jax.jit(buffers[0].add)(buffers[0].init(0), jnp.arange(100))] * 2
    return len(jax.jit(fbx.make_mixer(buffers, 100, [1, 1]).sample)(states, jax.random.PRNGKey(0)).experience)


def test_a_mixed_batch_is_full(theirs):
    """Flashbax gives no more than its buffers' own batches."""
    assert size_mixed(theirs) == 20
    assert size_mixed(ours) == 100


def windows_after_a_stale_update(fbx):
    """A window is drawn, overwritten in part, and then given the priority that was computed for it."""
    buffer = prioritised(fbx)
    state = buffer.add(buffer.init(0), steps(0, 10))
    stale = jnp.array([1])
    state = buffer.add(state, steps(10, 2))
    state = buffer.set_priorities(state, stale, jnp.array([1000.0]))
    return np.asarray(buffer.sample(state, jax.random.PRNGKey(0)).experience)


def test_a_stale_update_revives_nothing(theirs):
    """Flashbax draws a window of the newest step and of the oldest ones."""
    assert (np.diff(windows_after_a_stale_update(theirs)) != 1).any()
    assert (np.diff(windows_after_a_stale_update(ours)) == 1).all()


def root_after_a_great_priority(sum_tree):
    """A priority of 1 beside a great one that is then set to 0."""
    state = sum_tree.init(8)
    update = jax.jit(sum_tree.set_batch_bincount)
    for index, value in ((0, 1e9), (1, 1.0), (0, 0.0)):
        state = update(state, jnp.array([index]), jnp.array([value]))
    return float(state.nodes[0])


def test_the_sum_does_not_drift(theirs):
    """Flashbax adds differences: the small priority is lost in rounding, and nothing can be drawn."""
    genuine = importlib.import_module("flashbax.buffers.sum_tree")
    assert root_after_a_great_priority(genuine) == 0
    assert root_after_a_great_priority(flashbax_sum_tree) == 1


def least_node_and_priority_drawn(sum_tree):
    """Random updates, of which nine in ten set priorities to 0."""
    capacity, generator = 256, np.random.default_rng(0)
    state, update = sum_tree.init(capacity), jax.jit(sum_tree.set_batch_scan)
    for _ in range(300):
        indices = jnp.asarray(generator.permutation(capacity)[:64])
        values = np.where(generator.random(64) < 0.1, 10 ** generator.uniform(-3, 6, 64), 0.0)
        state = update(state, indices, jnp.asarray(values, jnp.float32))
    state = update(state, jnp.arange(capacity), (jnp.arange(capacity) % 64 == 0) * 1e-3)
    drawn = jax.jit(sum_tree.stratified_sample, static_argnums=1)(state, 256, jax.random.PRNGKey(0))
    return float(state.nodes.min()), float(sum_tree.get(state, drawn).min())


def test_no_node_is_negative_and_no_priority_of_zero_is_drawn(theirs):
    """Flashbax's rounding errors pile up until they are greater than what is left."""
    genuine = importlib.import_module("flashbax.buffers.sum_tree")
    least, drawn = least_node_and_priority_drawn(genuine)
    assert least < 0
    assert drawn == 0
    least, drawn = least_node_and_priority_drawn(flashbax_sum_tree)
    assert least == 0
    assert drawn > 0


def can_sample_and_probabilities(fbx, priorities):
    buffer = prioritised(fbx)
    state = buffer.add(buffer.init(0), steps(0, 4))
    state = buffer.set_priorities(state, jnp.array([0, 1]), priorities)
    return bool(buffer.can_sample(state)), np.asarray(
        buffer.sample(state, jax.random.PRNGKey(0)).probabilities
    )


@pytest.mark.parametrize(("priorities", "ready"), [((0.0, 0.0), False), ((np.nan, 2.0), True)])
def test_no_probability_is_nan(theirs, priorities, ready):
    """Flashbax says that all is well and divides by a sum of 0; one NaN spoils its tree for good."""
    said, chances = can_sample_and_probabilities(theirs, jnp.array(priorities))
    assert said
    assert np.isnan(chances).any()
    said, chances = can_sample_and_probabilities(ours, jnp.array(priorities))
    assert said == ready
    assert not np.isnan(chances).any()


def test_a_window_fits_the_capacity_that_is_left(theirs, capsys):
    """Flashbax rounds the capacity below the window, on the screen, and then draws nothing but NaNs."""
    buffer = prioritised(theirs, capacity=13, window=13, period=5)
    state = buffer.add(buffer.init(0), steps(0, 10))
    assert "10" in capsys.readouterr().out
    assert bool(buffer.can_sample(state))
    assert np.isnan(buffer.sample(state, jax.random.PRNGKey(0)).probabilities).all()
    with pytest.raises(ValueError, match="are 10 when rounded down"):
        prioritised(ours, capacity=13, window=13, period=5)
    assert not capsys.readouterr().out


def live_windows_after(fbx, running_index, sum_tree):
    """How many windows can be drawn after a lap, in a run that is at 2**31 steps."""
    buffer = prioritised(fbx)
    state = buffer.add(buffer.init(0), steps(0, 10)).replace(running_index=jnp.int32(running_index))
    for first in (10, 15):
        state = buffer.add(state, steps(first, 5))
    return np.count_nonzero(sum_tree.get(state.sum_tree_state, jnp.arange(10)))


def test_two_to_the_31_steps_are_no_limit(theirs):
    """Flashbax's count turns negative, and new windows are no longer noticed."""
    genuine = importlib.import_module("flashbax.buffers.sum_tree")
    late = 2**31 - 8  # a multiple of 10, as after the first lap
    assert live_windows_after(theirs, 10, genuine) == 8
    assert live_windows_after(theirs, late, genuine) != 8
    assert live_windows_after(ours, late, flashbax_sum_tree) == 8


def test_the_shape_of_a_step_is_checked(theirs):
    """Flashbax broadcasts, and fills three slots with one number."""

    def added(fbx):
        buffer = fbx.make_trajectory_buffer(1, 1, 1, 1, 1, max_length_time_axis=4)
        return buffer.add(buffer.init(jnp.zeros(3)), jnp.ones((1, 2, 1))).experience

    assert np.asarray(added(theirs)).sum() == 6
    with pytest.raises(ours.BatchMismatchError, match=r"must have shape \[1, T, 3\]"):
        added(ours)


def test_add_takes_keywords(theirs):
    """Flashbax gives the missing axes to all keywords, the state too."""

    def added(fbx):
        buffer = fbx.make_flat_buffer(8, 1, 1)
        return buffer.add(state=buffer.init(0), batch=jnp.array(7)).experience

    with pytest.raises(Exception, match="axis"):
        added(theirs)
    assert np.asarray(added(ours))[0, 0] == 7


@pytest.mark.parametrize("maker", ["trajectory", "prioritised_trajectory"])
def test_sizes_that_make_no_sense_are_refused(theirs, maker):
    """Flashbax makes a buffer of -1 streams and fails later, for another reason."""
    sizes = {"max_length_time_axis": 8, "min_length_time_axis": 2, "sample_sequence_length": 2}

    def made(fbx):
        make = getattr(fbx, f"make_{maker}_buffer")
        return make(add_batch_size=-1, sample_batch_size=1, period=1, **sizes)

    assert made(theirs)
    with pytest.raises(ValueError, match="`add_batch_size` must be at least 1: got -1"):
        made(ours)


def test_mixers_take_any_sequence_of_states(theirs):
    """Flashbax takes a list and fails on a tuple."""

    def mixed(fbx):
        buffer = fbx.make_item_buffer(4, 1, 4)
        state = buffer.add(buffer.init(0), jnp.array(7))
        return fbx.make_mixer([buffer], 4, [1]).sample((state,), jax.random.PRNGKey(0)).experience

    with pytest.raises(ValueError, match="tuple"):
        mixed(theirs)
    assert np.asarray(mixed(ours)).tolist() == [7] * 4
