"""The item buffer: single items on one stream, from batches of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from strongbax.buffer import item_buffer


@pytest.mark.parametrize(
    ("add_sequences", "add_batches", "shapes"),
    [
        (False, False, [(), ()]),
        (True, False, [(3,), (2,)]),
        (False, True, [(3,), (2,)]),
        (True, True, [(2, 3), (1, 2)]),
    ],
)
def test_items_are_laid_end_to_end(add_sequences, add_batches, shapes):
    """Batches whose sizes change from call to call fill one stream row after row."""
    buffer = fbx.make_item_buffer(16, 1, 4, add_sequences, add_batches)
    state, total = buffer.init(jnp.zeros((), jnp.int32)), 0
    for shape in shapes:
        size = int(np.prod(shape))
        batch = np.arange(total + 1, total + 1 + size, dtype=np.int32).reshape(shape)
        state, total = buffer.add(state, batch=batch), total + size
    np.testing.assert_array_equal(state.experience[0, :total], np.arange(1, total + 1))
    assert not np.asarray(state.experience[0, total:]).any()
    assert fbx.num_added(state) == total


def test_a_sample_holds_items():
    """Items come without an axis of time, each of those held, all of them sooner or later."""
    buffer = fbx.make_item_buffer(4, 1, 4, add_batches=True)
    state = buffer.init(jnp.zeros(2, jnp.int32))
    for first in (0, 3):
        state = buffer.add(state, np.repeat(np.arange(first, first + 3, dtype=np.int32)[:, None], 2, axis=1))
    assert jax.eval_shape(buffer.sample, state, jax.random.key(0)).experience.shape == (4, 2)
    drawn = jax.jit(item_buffer.sample, static_argnums=2)(state, jax.random.key(0), 200).experience
    assert set(np.asarray(drawn[:, 0]).tolist()) == {2, 3, 4, 5}


def test_can_sample_turns_at_the_minimum():
    """`min_length` items are enough; no extra one is asked for."""
    buffer = fbx.make_item_buffer(8, 2, 4)
    state = buffer.add(buffer.init(0), 1)
    assert not bool(buffer.can_sample(state))
    assert bool(buffer.can_sample(buffer.add(state, 2)))


def test_a_number_of_batches_is_true():
    """Flags may be given as numbers, as Flashbax takes them: 64 is as good as True."""
    buffer = fbx.make_item_buffer(8, 1, 2, 0, 64)
    state = buffer.add(buffer.init(jnp.zeros(3)), jnp.ones((4, 3)))
    assert int(state.current_index) == 4
