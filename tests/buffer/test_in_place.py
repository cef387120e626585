"""Donated states are written in place: the compiled programs hold no second state."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx

STEP = {"obs": jnp.zeros(17), "pixels": jnp.zeros((8, 8), jnp.uint8), "done": jnp.zeros((), bool)}
CAPACITY = 4096
KEY = jax.random.key(0)


@functools.cache
def case(name):
    """A buffer of about 0.6 MB, and what is added to it."""
    buffer, lead = {
        "trajectory": (fbx.make_trajectory_buffer(4, 8, 5, 1, 5, max_length_time_axis=CAPACITY // 4), (4, 6)),
        "flat": (fbx.make_flat_buffer(CAPACITY, 4, 8, add_batch_size=4), (4,)),
        "item": (fbx.make_item_buffer(CAPACITY, 4, 8, True, True), (4, 6)),
        "prioritised": (
            fbx.make_prioritised_trajectory_buffer(4, 8, 5, 1, 5, max_length_time_axis=CAPACITY // 4),
            (4, 6),
        ),
    }[name]
    return buffer, buffer.init(STEP), jax.tree.map(lambda x: jnp.ones((*lead, *x.shape), x.dtype), STEP)


def nbytes(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def assert_in_place(function, state, *args):
    """The state's buffers are reused for the output, nothing like them is temporary, none is copied."""
    compiled = jax.jit(function, donate_argnums=0).lower(state, *args).compile()
    memory, text, size = compiled.memory_analysis(), compiled.as_text(), nbytes(state)
    assert memory.alias_size_in_bytes >= size
    assert memory.temp_size_in_bytes < size / 10
    assert "input_output_alias" in text
    for leaf in (leaf for leaf in jax.tree.leaves(state) if leaf.size > 1):
        whole = ",".join(map(str, leaf.shape))
        assert not re.search(rf"= \w+\[{whole}\]\S* copy\(", text)


BUFFERS = pytest.mark.parametrize("name", ["trajectory", "flat", "item", "prioritised"])


@BUFFERS
def test_add_is_in_place(name):
    """A donated `add` reuses the state."""
    buffer, state, batch = case(name)
    assert_in_place(buffer.add, state, batch)


@BUFFERS
def test_add_then_sample_is_in_place(name):
    """Adding and then sampling in one program needs no second state."""
    buffer, state, batch = case(name)

    def step(state, batch, key):
        state = buffer.add(state, batch)
        return state, buffer.sample(state, key)

    assert_in_place(step, state, batch, KEY)


@pytest.mark.parametrize("name", ["flat", "item", "prioritised"])
def test_sample_and_add_is_in_place(name):
    """Sampling and then adding in one program needs no second state, where the plain order does."""
    buffer, state, batch = case(name)
    assert_in_place(lambda s, b, k: fbx.sample_and_add(buffer, s, k, b), state, batch, KEY)


def test_the_plain_order_is_not_in_place():
    """What `sample_and_add` is there for: if this fails, XLA orders reads and writes by itself."""
    buffer, state, batch = case("flat")
    plain = jax.jit(lambda s, b, k: (buffer.sample(s, k), buffer.add(s, b)), donate_argnums=0)
    assert plain.lower(state, batch, KEY).compile().memory_analysis().temp_size_in_bytes > nbytes(state) / 2


def test_sample_and_add_is_in_place_in_a_scan():
    """A training loop that samples before it adds carries one state."""
    buffer, state, batch = case("item")

    def loop(state, batch, keys):
        return jax.lax.scan(lambda s, k: fbx.sample_and_add(buffer, s, k, batch), state, keys)

    assert_in_place(loop, state, batch, jax.random.split(KEY, 4))


def test_set_priorities_is_in_place():
    """A donated state is given other priorities where it lies."""
    buffer, state, _ = case("prioritised")
    assert_in_place(buffer.set_priorities, state, jnp.zeros(8, jnp.int32), jnp.ones(8))


def test_probabilities_are_read_before_priorities_are_set():
    """A program that gives probabilities away and sets priorities by something else copies no tree."""
    buffer, state, _ = case("prioritised")

    def step(state, key):
        sample = buffer.sample(state, key)
        return buffer.set_priorities(state, sample.indices, sample.experience["obs"][:, 0, 0]), sample

    assert_in_place(step, state, KEY)


def test_a_prioritised_training_loop_carries_one_state():
    """Add, sample and set priorities by what was sampled, in a scan: steps and tree stay where they are."""
    buffer, state, batch = case("prioritised")

    def step(state, key):
        state = buffer.add(state, batch)
        sample = buffer.sample(state, key)
        errors = jnp.abs(sample.experience["obs"]).sum((1, 2))
        return buffer.set_priorities(state, sample.indices, errors), errors

    assert_in_place(lambda s, keys: jax.lax.scan(step, s, keys), state, jax.random.split(KEY, 4))


def test_sample_and_add_gives_what_the_two_calls_give():
    """The sample is of the state before, and the state is the one after."""
    buffer, state, batch = case("flat")
    state = buffer.add(state, batch)
    new = jax.tree.map(jnp.zeros_like, batch)
    after, sample = jax.jit(functools.partial(fbx.sample_and_add, buffer))(state, KEY, new)
    jax.tree.map(np.testing.assert_array_equal, sample, jax.jit(buffer.sample)(state, KEY))
    jax.tree.map(np.testing.assert_array_equal, after, buffer.add(state, new))


def test_sample_and_add_takes_every_kind_of_leaf():
    """Small floats, complex numbers, PRNG keys and leaves of no size are ordered too."""
    step = {
        "float8": jnp.zeros((), "float8_e4m3fn"),
        "complex": jnp.zeros((), "complex64"),
        "key": KEY,
        "none": jnp.zeros((0, 2)),
    }
    buffer = fbx.make_item_buffer(4, 1, 2)
    state, sample = jax.jit(functools.partial(fbx.sample_and_add, buffer))(buffer.init(step), KEY, step)
    assert int(state.current_index) == 1
    assert sample.experience["key"].shape == (2,)


@BUFFERS
def test_init_makes_one_state(name):
    """Compiled, `init` gives one state and works on nothing; run eagerly, it makes each leaf once."""
    buffer, state, _ = case(name)
    memory = jax.jit(buffer.init).lower(STEP).compile().memory_analysis()
    assert memory.output_size_in_bytes < 1.01 * nbytes(state)
    assert memory.temp_size_in_bytes < nbytes(state) / 100
    made = [v.aval.size for e in jax.make_jaxpr(buffer.init)(STEP).eqns for v in e.outvars]
    whole = [leaf for leaf in jax.tree.leaves(state) if leaf.size > 1]
    assert sum(size >= CAPACITY for size in made) == len(whole)


def test_a_donated_state_is_gone():
    """Donation is real: the old state's arrays are deleted, and its memory is that of the new one."""
    buffer, state, batch = case("item")
    state = jax.tree.map(jnp.array, state)
    before = state.experience["obs"].unsafe_buffer_pointer()
    new = jax.jit(buffer.add, donate_argnums=0)(state, batch)
    assert state.experience["obs"].is_deleted()
    assert new.experience["obs"].unsafe_buffer_pointer() == before
