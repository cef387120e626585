"""States, samples and buffers are what Flashbax's users expect: mappings, replaceable, copyable pytrees."""

import copy
import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from strongbax.buffer.records import record
from strongbax.buffer.trajectory_buffer import TrajectoryBufferState, init


def test_a_state_unpacks_as_a_mapping():
    """`{**state}` has the fields in their order, and makes the state again."""
    state = init({"reward": 0.0}, 1, 4)
    assert list({**state}) == ["experience", "current_index", "is_full", "laps"]
    assert len(state) == 4
    assert TrajectoryBufferState(**state)["current_index"] is state.current_index


@pytest.mark.parametrize("again", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s)), jax.device_get])
def test_a_state_is_copied_whole(again):
    """A deep copy, a pickle and a copy to the host hold the same values."""
    state = init({"reward": 0.0}, 1, 4).replace(current_index=jnp.int32(3))
    copied = again(state)
    assert type(copied) is TrajectoryBufferState
    jax.tree.map(np.testing.assert_array_equal, copied, state)


def test_leaves_come_in_alphabetical_order_of_fields():
    """The order and the key paths of leaves are chex's, so that checkpoints by path or by order agree."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(init(0, 1, 4))]
    assert paths == [".current_index", ".experience", ".is_full", ".laps"]


def test_a_record_is_frozen_and_takes_keywords():
    """Fields cannot be assigned, unknown ones not replaced, and arguments have names."""
    state = init(0, 1, 4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.is_full = True
    with pytest.raises(TypeError):
        state.replace(cursor=1)
    with pytest.raises(TypeError):
        TrajectoryBufferState(state.experience, state.current_index, state.is_full)


def test_a_function_of_a_buffer_is_replaceable():
    """Users put jitted and wrapped functions into a buffer."""
    buffer = fbx.make_item_buffer(8, 1, 2)
    buffer = buffer.replace(add=jax.jit(buffer.add, donate_argnums=0), sample=lambda state, rng_key: "mine")
    state = buffer.add(buffer.init(0), 7)
    assert int(state.experience[0, 0]) == 7
    assert buffer.sample(state, None) == "mine"


def test_a_state_with_more_fields_is_added_to_like_any_other():
    """A subclass keeps its own fields through `add`."""

    @record
    class Labelled(TrajectoryBufferState):
        label: jax.Array

    state = Labelled(**init(0, 1, 4), label=jnp.int32(5))
    state = fbx.trajectory_buffer.add(state, jnp.ones((1, 2), jnp.int32))
    assert (int(state.label), int(state.current_index)) == (5, 2)
