"""The index of an episode buffer is written in place: what `add` costs does not depend on the capacity."""

import functools
import re

import jax
import jax.numpy as jnp
import pytest
import strongbax.buffer as fbx
from strongbax.buffer.episode_buffer import make_episode_buffer

CAPACITY = 40_009  # a prime, so that its digits are those of no other size
STEP = {"reward": jnp.zeros(()), "done": jnp.zeros((), bool), "is_first": jnp.zeros((), bool)}


@functools.cache
def case(streams, steps, short, weights):
    buffer = make_episode_buffer(streams, 8, 5, CAPACITY, short=short, weights=weights)
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((streams, steps, *x.shape), x.dtype), STEP)
    return buffer, jax.eval_shape(buffer.init, STEP), batch


def assert_in_place(function, state, *args):
    """No array with a place a step is copied, and what is temporary is less than any of them."""
    compiled = jax.jit(function, donate_argnums=0).lower(state, *args).compile()
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert compiled.memory_analysis().alias_size_in_bytes >= size
    assert compiled.memory_analysis().temp_size_in_bytes < CAPACITY
    sizes = "|".join(str(size) for size in (CAPACITY, CAPACITY + 1, 2 * CAPACITY))
    assert not re.search(rf"= \w+\[(\d+,)?({sizes})[,\]]\S* copy\(", compiled.as_text())


STREAMS = pytest.mark.parametrize(("streams", "steps", "weights"), [(1, 1, "episodes"), (4, 9, "priorities")])


@pytest.mark.parametrize(
    ("streams", "steps", "short", "weights"),
    [
        (1, 1, "drop", "windows"),
        (1, 9, "shift", "episodes"),
        (4, 1, "shift", "return"),
        (1, 1, "pad", "priorities"),
        (4, 9, "pad", "windows"),
    ],
)
def test_add_is_in_place(streams, steps, short, weights):
    """A donated `add` in a scan reuses the state, for one stream and step or many."""
    buffer, state, batch = case(streams, steps, short, weights)
    assert_in_place(
        lambda s, b: jax.lax.scan(lambda s, _: (buffer.add(s, b), None), s, length=3)[0], state, batch
    )


@STREAMS
def test_add_then_sample_is_in_place(streams, steps, weights):
    """Adding and then sampling in one program copies nothing either."""
    buffer, state, batch = case(streams, steps, "pad", weights)

    def step(state, batch, key):
        state = buffer.add(state, batch)
        return state, buffer.sample(state, key)

    assert_in_place(step, state, batch, jax.random.key(0))


@STREAMS
def test_sample_and_add_is_in_place(streams, steps, weights):
    """Nor does sampling and then adding, by the function that is there for it."""
    buffer, state, batch = case(streams, steps, "pad", weights)
    assert_in_place(lambda s, b, k: fbx.sample_and_add(buffer, s, k, b), state, batch, jax.random.key(0))
