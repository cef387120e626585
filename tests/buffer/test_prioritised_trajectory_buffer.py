"""The prioritised buffer holds the priorities that a plain list of windows has, whatever is added or set."""

import functools
import itertools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from hypothesis import given
from hypothesis import strategies as st
from strongbax.buffer import prioritised_trajectory_buffer as per
from strongbax.buffer import sum_tree

STREAMS, DRAWN, SET = 2, 12, 5
# capacity, window, period: every start; windows as long as the ring; a period that the capacity is no
# multiple of, so that the last start before the end is further from the first than the others.
SIZES = [(6, 3, 1), (6, 6, 2), (7, 2, 3)]
LENGTHS = (1, 4)


class Model:
    """Streams as the number of steps added; for each place of a window its first time and its priority."""

    def __init__(self, capacity, window, period):
        self.capacity, self.window, self.period = capacity, window, period
        self.added, self.greatest = 0, np.float32(1)
        self.windows = {}  # (stream, place) -> [time of its first step, priority]

    @property
    def places(self):
        return self.capacity // self.period

    def times(self):
        """The places whose windows are whole, and the times of their first steps."""
        held = range(max(0, self.added - self.capacity), self.added - self.window + 1)
        starts = {time % self.capacity: time for time in held}
        return {k: starts[k * self.period] for k in range(self.places) if k * self.period in starts}

    def add(self, length, priorities=None):
        before = self.added
        self.added += length
        whole, old = self.times(), self.windows
        self.windows = {}
        for stream, (place, time) in itertools.product(range(STREAMS), whole.items()):
            kept = old.get((stream, place))
            if kept is None or kept[0] != time:
                fresh = None if priorities is None else priorities[stream, time + self.window - 1 - before]
                kept = [time, self.greatest if fresh is None or not fresh >= 0 else fresh]
            self.windows[stream, place] = kept
        self.record()

    def set(self, indices, priorities):
        for index, priority in zip(indices, priorities, strict=True):
            window = self.windows.get(divmod(index, self.places))
            if window and priority >= 0:
                window[1] = priority
        self.record()

    def record(self):
        self.greatest = max([self.greatest, *(priority for _, priority in self.windows.values())])

    def leaves(self):
        leaves = np.zeros((STREAMS, self.places), np.float32)
        for at, (_, priority) in self.windows.items():
            leaves[at] = priority
        return leaves.ravel()


@functools.cache
def functions(capacity, window, period):
    """The compiled functions of a buffer of these sizes, with an exponent of 1: priorities as they are."""
    add = functools.partial(per.prioritised_add, sample_sequence_length=window, period=period)
    draw = functools.partial(per.prioritised_sample, batch_size=DRAWN, sequence_length=window, period=period)
    change = functools.partial(
        per.set_priorities, priority_exponent=1.0, sample_sequence_length=window, period=period
    )
    return (
        per.prioritised_init(jnp.zeros((), jnp.int32), STREAMS, capacity, period),
        jax.jit(functools.partial(add, priority_exponent=1.0)),
        jax.jit(draw),
        jax.jit(change),
    )


def steps(first, length):
    """Steps that hold `1000 * stream + time`."""
    return jnp.asarray(1000 * np.arange(STREAMS)[:, None] + np.arange(first, first + length), jnp.int32)


PRIORITIES = st.sampled_from([0.0, 0.25, 1.0, 2.0, 7.0, -1.0, float("nan")])


@pytest.mark.parametrize("sizes", SIZES)
@given(data=st.data())
def test_the_buffer_holds_what_the_model_holds(sizes, data):
    """After any additions and settings each window that is whole has its priority, every other 0, and
    what is drawn are whole windows of consecutive steps, with the chance of their share.
    """
    model, (state, add, draw, change) = Model(*sizes), functions(*sizes)
    for _ in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()):
            length = data.draw(st.sampled_from(LENGTHS))
            given_ones = data.draw(st.lists(PRIORITIES, min_size=STREAMS * length, max_size=STREAMS * length))
            array = np.float32(given_ones).reshape(STREAMS, length)
            batch = steps(model.added, length)
            state = add(state, batch, priorities=array)
            model.add(length, array)
        else:
            index = st.integers(-3, state.sum_tree_state.capacity + 3)
            indices = data.draw(st.lists(index, min_size=SET, max_size=SET))
            values = data.draw(st.lists(PRIORITIES, min_size=SET, max_size=SET))
            state = change(state, jnp.array(indices, jnp.int32), np.float32(values))
            model.set(indices, np.float32(values))
        leaves = model.leaves()
        np.testing.assert_array_equal(sum_tree.get(state.sum_tree_state, jnp.arange(leaves.size)), leaves)
        assert float(state.sum_tree_state.max_recorded_priority) == model.greatest
        assert bool(per.can_sample(state, 1)) == bool(leaves.any())
    if leaves.any():
        assert_drawn(draw(state, jax.random.key(0)), model, leaves)


def assert_drawn(sample, model, leaves):
    """Every draw is a whole window with a priority, and says which and how likely."""
    first = np.asarray(sample.experience)[:, 0]
    np.testing.assert_array_equal(sample.experience, first[:, None] + np.arange(model.window))
    streams, places = np.divmod(np.asarray(sample.indices), model.places)
    times = [model.windows[stream, place][0] for stream, place in zip(streams, places, strict=True)]
    np.testing.assert_array_equal(first, 1000 * streams + times)
    np.testing.assert_allclose(sample.probabilities, leaves[sample.indices] / leaves.sum(), rtol=1e-6)
    assert (np.asarray(sample.probabilities) > 0).all()


@pytest.mark.parametrize("length", [2, 6])
def test_windows_come_and_go_with_each_addition(length):
    """Whatever is added at once, up to the whole ring, the windows that can be drawn are the whole ones."""
    sizes = (6, 3, 1)
    model, (state, add, _, _) = Model(*sizes), functions(*sizes)
    for _ in range(4):
        state = add(state, steps(model.added, length))
        model.add(length)
        leaves = model.leaves()
        np.testing.assert_array_equal(sum_tree.get(state.sum_tree_state, jnp.arange(leaves.size)), leaves)
    assert int(state.running_index) == fbx.num_added(state) == 4 * length


BUFFER = fbx.make_prioritised_trajectory_buffer(2, 8, 3, 1, 3, max_length_time_axis=6)
BUFFER = BUFFER.replace(add=jax.jit(BUFFER.add), sample=jax.jit(BUFFER.sample))
EMPTY = BUFFER.init(jnp.zeros((), jnp.int32))


def test_new_windows_get_the_greatest_priority_with_the_exponent():
    """Priorities are kept as `p ** a`; what is new gets the greatest of them."""
    state = BUFFER.add(EMPTY, steps(0, 3))
    state = BUFFER.set_priorities(state, jnp.array([0]), jnp.array([32.0]))
    state = BUFFER.add(state, steps(3, 1))
    leaves = sum_tree.get(state.sum_tree_state, jnp.array([0, 1, 6, 7]))
    np.testing.assert_allclose(leaves, [8, 8, 1, 8], rtol=1e-6)


def test_can_sample_asks_for_a_window_with_a_priority():
    """It is false while no window is whole, and where all have priority 0: nothing could be drawn."""
    assert not BUFFER.can_sample(EMPTY)
    state = BUFFER.add(EMPTY, steps(0, 3))
    assert BUFFER.can_sample(state)
    assert not BUFFER.can_sample(BUFFER.set_priorities(state, jnp.array([0, 6]), jnp.zeros(2)))


def test_a_sample_of_an_empty_state_has_probability_zero():
    """Where nothing can be drawn there are no NaNs, and importance weights are 0."""
    sample = BUFFER.sample(EMPTY, jax.random.key(0))
    np.testing.assert_array_equal(sample.probabilities, np.zeros(8))
    np.testing.assert_array_equal(fbx.importance_weights(sample.probabilities, 0.4), np.zeros(8))


def test_the_running_index_stays_at_its_greatest_value():
    """After 2**31 steps it does not turn negative, and `num_added` still counts."""
    state = BUFFER.add(EMPTY, steps(0, 4)).replace(running_index=jnp.int32(2**31 - 3), laps=jnp.int32(2**30))
    state = BUFFER.add(BUFFER.add(state, steps(4, 4)), steps(8, 4))
    assert int(state.running_index) == 2**31 - 1
    assert fbx.num_added(state) == 6 * 2**30 + 12


def test_a_state_built_without_counts_works():
    """`laps` and `running_index` may be left out, as in states of older checkpoints."""
    state = per.PrioritisedTrajectoryBufferState(
        experience=EMPTY.experience,
        current_index=EMPTY.current_index,
        is_full=EMPTY.is_full,
        sum_tree_state=EMPTY.sum_tree_state,
    )
    state = BUFFER.add(state, steps(0, 4))
    assert state.laps is state.running_index is None
    assert BUFFER.can_sample(state)


def test_set_priorities_without_sizes_never_revives():
    """Flashbax's own arguments do not tell what is overwritten, so what has priority 0 keeps it."""
    state = per.set_priorities(BUFFER.add(EMPTY, steps(0, 4)), jnp.array([0, 2]), jnp.array([4.0, 4.0]), 0.5)
    np.testing.assert_array_equal(sum_tree.get(state.sum_tree_state, jnp.arange(4)), [2, 1, 0, 0])


def test_priorities_laid_out_otherwise_are_refused():
    """There must be one for each step, laid out as the steps are."""
    with pytest.raises(fbx.BatchMismatchError, match=r"each of the 2 x 3 steps, .* got shape \[3\]"):
        BUFFER.add(EMPTY, steps(0, 3), priorities=jnp.ones(3))


def test_a_state_of_another_period_is_refused():
    """A tree with too few or too many leaves would be read beyond its end."""
    state = per.prioritised_init(0, 2, 6, period=2)
    with pytest.raises(ValueError, match="`period` of 1 have 12, got 6"):
        BUFFER.sample(state, jax.random.key(0))


def test_the_capacity_is_rounded_down_to_the_period(caplog):
    """The buffer says so in the log, not on the screen, and refuses a window that no longer fits."""
    with caplog.at_level(logging.WARNING):
        buffer = fbx.make_prioritised_trajectory_buffer(1, 2, 5, 5, 5, max_length_time_axis=13)
    assert buffer.init(0).experience.shape == (1, 10)
    assert "10 steps, not 13" in caplog.text
    with pytest.raises(ValueError, match="are 10 when rounded down to a multiple of the `period` 5, got 13"):
        fbx.make_prioritised_trajectory_buffer(1, 2, 13, 5, 13, max_length_time_axis=13)


@pytest.mark.parametrize("exponent", [-0.1, 1.1, float("nan")])
def test_an_exponent_out_of_range_is_refused(exponent):
    """It goes from uniform to proportional."""
    with pytest.raises(ValueError, match="`priority_exponent` must be from 0"):
        fbx.make_prioritised_item_buffer(8, 1, 2, priority_exponent=exponent)


def test_an_unknown_device_is_warned_about():
    """The argument has no effect, but a misspelt one is no secret."""
    with pytest.warns(UserWarning, match="Device must be one of"):
        fbx.make_prioritised_item_buffer(8, 1, 2, device="gpuu")


def test_pmapped_states_are_asked_elementwise():
    """A state per device is made, added to, drawn from and set; `can_sample` answers for each."""
    state = jax.pmap(BUFFER.init)(jnp.zeros(2, jnp.int32))
    assert BUFFER.can_sample(state).tolist() == [False, False]
    state = jax.pmap(BUFFER.add)(state, jnp.stack([steps(0, 4), steps(9, 4)]))
    assert BUFFER.can_sample(state).tolist() == [True, True]
    sample = jax.pmap(BUFFER.sample)(state, jax.random.split(jax.random.key(0)))
    state = jax.pmap(BUFFER.set_priorities)(state, sample.indices, jnp.zeros((2, 8)))
    assert sum_tree.total(state.sum_tree_state).shape == (2,)
