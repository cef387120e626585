"""Prioritised flat and item buffers: what is added in which layout, and what comes out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from strongbax.buffer import sum_tree


def leaves(state):
    return np.asarray(sum_tree.get(state.sum_tree_state, jnp.arange(state.sum_tree_state.capacity))).tolist()


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ({"add_batch_size": 2}, (2,)),
        ({"add_batch_size": 2, "add_sequences": True}, (2, 3)),
    ],
)
def test_a_flat_buffer_takes_priorities_laid_out_like_steps(layout, shape):
    """Each is that of the pair which its step completes, whatever axes a batch has."""
    buffer = fbx.make_prioritised_flat_buffer(8, 2, 4, priority_exponent=1.0, **layout)
    state, add = buffer.init(0), jax.jit(buffer.add)
    streams, length = layout.get("add_batch_size", 1), 3 if layout.get("add_sequences") else 1
    wanted = np.zeros((streams, 8 // streams))
    for first in range(0, 3, length):
        times = np.arange(first, first + length) + 10 * np.arange(streams)[:, None]
        batch = jnp.asarray(times, jnp.int32).reshape(shape)
        state = add(state=state, batch=batch, priorities=(batch + 1).astype(float))
    wanted[:, :2] = np.arange(2, 4) + 10 * np.arange(streams)[:, None]
    assert leaves(state) == wanted.ravel().tolist()
    pair = jax.jit(buffer.sample)(state, jax.random.key(0)).experience
    np.testing.assert_array_equal(pair.second, pair.first + 1)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ({"add_sequences": True}, (3,)),
        ({"add_batches": True, "add_sequences": True}, (2, 3)),
    ],
)
def test_an_item_buffer_takes_priorities_laid_out_like_items(layout, shape):
    """They are laid end to end in the order of the items."""
    buffer = fbx.make_prioritised_item_buffer(8, 1, 4, priority_exponent=1.0, **layout)
    size = int(np.prod(shape, initial=1))
    batch = jnp.arange(size, dtype=jnp.int32).reshape(shape)
    state = jax.jit(buffer.add)(buffer.init(0), batch, priorities=(batch + 1).astype(float))
    assert leaves(state) == [*range(1, size + 1), *[0] * (8 - size)]
    sample = jax.jit(buffer.sample)(state, jax.random.key(0))
    assert sample.experience.shape == (4,)
    np.testing.assert_array_equal(sample.experience, sample.indices)
