"""The queue gives what a plain list of steps gives, in the order of adding, each step once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from hypothesis import given
from hypothesis import strategies as st
from strongbax.buffer import trajectory_queue

STREAMS, CAPACITY = 2, 7
LENGTHS = (1, 3, 7)

add = jax.jit(trajectory_queue.add)
sample = jax.jit(trajectory_queue.sample, static_argnums=1)


def steps(first, length):
    """Steps that hold `1000 * stream + time`."""
    return jnp.asarray(1000 * np.arange(STREAMS)[:, None] + np.arange(first, first + length), jnp.int32)


@given(moves=st.lists(st.tuples(st.booleans(), st.sampled_from(LENGTHS)), max_size=12))
def test_the_queue_gives_what_a_list_gives(moves):
    """Room and what waits are those of a list of limited length, and steps leave it in their order."""
    state = trajectory_queue.init(jnp.zeros((), jnp.int32), STREAMS, CAPACITY)
    waiting, time = [], 0
    for adding, length in moves:
        room = bool(trajectory_queue.can_add(state, length, CAPACITY))
        enough = bool(trajectory_queue.can_sample(state, length, CAPACITY))
        assert room == (len(waiting) + length <= CAPACITY)
        assert enough == (len(waiting) >= length)
        assert bool(state.is_full) == (len(waiting) == CAPACITY)
        if adding and room:
            state, time = add(state, steps(time, length)), time + length
            waiting += range(time - length, time)
        elif enough:
            state, taken = sample(state, length)
            np.testing.assert_array_equal(taken.experience[0], waiting[:length])
            np.testing.assert_array_equal(taken.experience[1] - 1000, waiting[:length])
            del waiting[:length]


def test_the_made_queue_binds_the_sizes():
    """Its functions take a state and no sizes, elementwise on states of several devices."""
    queue = fbx.make_trajectory_queue(7, STREAMS, add_sequence_length=3, sample_sequence_length=2)
    state = jax.pmap(queue.init)(jnp.zeros(2, jnp.int32))
    assert queue.can_add(state).tolist() == [True, True]
    state = jax.pmap(queue.add)(state, jnp.stack([steps(0, 3), steps(5, 3)]))
    assert queue.can_sample(state).tolist() == [True, True]
    state, taken = jax.pmap(queue.sample)(state)
    np.testing.assert_array_equal(taken.experience[:, 0], [[0, 1], [5, 6]])
    assert queue.can_sample(state).tolist() == [False, False]


def test_a_donated_queue_is_in_place():
    """Adding to it and taking from it make no second state."""
    state = trajectory_queue.init(jnp.zeros(17), STREAMS, 512)
    size = state.experience.nbytes
    for function, *rest in (
        (trajectory_queue.add, jnp.ones((STREAMS, 3, 17))),
        (functools.partial(trajectory_queue.sample, sequence_length=3),),
    ):
        memory = jax.jit(function, donate_argnums=0).lower(state, *rest).compile().memory_analysis()
        assert memory.alias_size_in_bytes >= size
        assert memory.temp_size_in_bytes < size / 10


def test_max_size_overrides_and_says_so():
    """The steps over all streams decide, as in Flashbax, with a warning."""
    with pytest.warns(UserWarning, match="Setting max_size dynamically sets the `max_length_time_axis`"):
        queue = fbx.make_trajectory_queue(99, 2, 3, 3, max_size=8)
    assert queue.init(0).experience.shape == (2, 4)


@pytest.mark.parametrize("name", ["sample_sequence_length", "add_sequence_length"])
def test_more_than_the_queue_holds_is_refused(name):
    """Neither can steps be added nor taken in longer pieces than the queue."""
    sizes = {"sample_sequence_length": 2, "add_sequence_length": 2, name: 5}
    with pytest.raises(ValueError, match=f"`{name}` must be at most the capacity of a stream: got 5 for"):
        fbx.make_trajectory_queue(4, 1, **sizes)
