"""The ring holds what a plain list holds, and counts what it was ever given."""

import functools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from strongbax.buffer import ring as rings
from strongbax.buffer import uniform

STEP = {"id": jnp.zeros((), jnp.int32), "pair": (jnp.zeros(2, jnp.bfloat16),)}
append = jax.jit(rings.append)
CAPACITY, WINDOW, PERIOD, BATCH = 5, 3, 2, 64


@functools.cache
def empty(streams):
    return rings.init(STEP, streams, CAPACITY)


@jax.jit
def windows(ring, key):
    streams, starts = uniform.draw(ring, key, BATCH, WINDOW, PERIOD)
    return rings.gather(ring, streams, starts, WINDOW)["id"]


def steps(streams, first, length):
    """Steps whose ids name their stream and their time."""
    ids = 1000 * np.arange(streams)[:, None] + np.arange(first, first + length)[None]
    return {"id": ids.astype(np.int32), "pair": (jnp.asarray(np.stack([ids, -ids], -1) % 128, jnp.bfloat16),)}


@given(
    streams=st.integers(1, 3),
    fills=st.lists(st.sampled_from([0, 1, 3, CAPACITY]), min_size=1, max_size=8),
    seed=st.integers(0, 2**31 - 1),
)
def test_ring_holds_what_a_list_holds(streams, fills, seed):
    """Slots, cursor, fullness and laps follow from the list of all steps; every window is a run of it."""
    ring, model = empty(streams), np.zeros((streams, 0), np.int32)
    for fill in fills:
        new = steps(streams, model.shape[1], fill)
        ring, model = append(ring, new), np.concatenate([model, new["id"]], axis=1)

        added = model.shape[1]
        slots = np.zeros((streams, CAPACITY), np.int32)
        for time in range(max(0, added - CAPACITY), added):
            slots[:, time % CAPACITY] = model[:, time]
        np.testing.assert_array_equal(ring.steps["id"], slots)
        np.testing.assert_array_equal(ring.steps["pair"][0][..., 1].astype(np.int32), -slots % 128)
        assert int(ring.cursor) == added % CAPACITY
        assert bool(ring.full) == (added >= CAPACITY)
        assert int(ring.laps) * CAPACITY + int(ring.cursor) == added

    held = model[:, -CAPACITY:]
    if held.shape[1] >= WINDOW:
        runs = [held[:, i : i + WINDOW] for i in range(0, held.shape[1] - WINDOW + 1, PERIOD)]
        valid = {tuple(run) for run in np.concatenate(runs).tolist()}
        assert {tuple(run) for run in np.asarray(windows(ring, jax.random.key(seed))).tolist()} <= valid


def test_laps_are_exact_after_two_billion_steps():
    """The count goes on where a 32-bit count of steps would have overflowed."""
    ring = rings.init(jnp.zeros((), jnp.uint8), streams=1, capacity=5)
    ring = rings.Ring(steps=ring.steps, cursor=jnp.int32(4), full=jnp.array(True), laps=jnp.int32(2**31 - 2))
    ring = rings.append(ring, jnp.ones((1, 3), jnp.uint8))
    assert int(ring.laps) * ring.capacity + int(ring.cursor) == (2**31 - 2) * 5 + 4 + 3


def test_advance_does_not_overflow():
    """Slots near the largest capacity go round, where the plain sum would exceed 32 bits."""
    capacity = 2**31 - 1
    assert int(rings.advance(jnp.int32(capacity - 1), jnp.int32(capacity - 1), capacity)) == capacity - 2


def test_a_cursor_at_the_end_means_slot_zero():
    """A ring built by hand with its cursor at `C` goes on in slot 0 and is read from slot 0."""
    ring = rings.Ring(steps=np.arange(4)[None].astype(np.int32), cursor=4, full=True)
    assert rings.append(ring, np.array([[9]], np.int32)).steps.tolist() == [[9, 1, 2, 3]]
    assert int(ring.oldest) == 0
    assert int(ring.held) == 4


def test_window_longer_than_the_ring_stays_in_bounds():
    """A window longer than the ring goes round it, and reads no memory beside it."""
    ring = rings.append(rings.init(jnp.zeros((), jnp.int32), 1, 2), jnp.array([[5, 6]]))
    assert rings.gather(ring, jnp.array([0]), jnp.array([1]), length=5).tolist() == [[6, 5, 6, 5, 6]]


@pytest.mark.parametrize(
    "steps", [{}, np.zeros(3), {"a": np.zeros((1, 3)), "b": np.zeros((1, 4))}], ids=["none", "flat", "uneven"]
)
def test_leaves_that_are_no_ring_are_refused(steps):
    """Leaves without two shared leading axes are refused with what came."""
    ring = rings.Ring(steps=steps, cursor=0, full=False)
    with pytest.raises(ValueError, match=r"`experience` must hold .* Lay every leaf out `\[B, T, \.\.\.\]`"):
        _ = ring.capacity


def test_every_kind_of_leaf_is_stored():
    """Leaves of any dtype, PRNG keys too, come back as they were added, round the end as well."""
    dtypes = (
        bool,
        "uint8",
        "int8",
        "int32",
        "uint32",
        "float16",
        "float32",
        "bfloat16",
        "float8_e4m3fn",
        "complex64",
    )
    keys = jax.random.split(jax.random.key(0), 6).reshape(2, 3)
    new = {str(jnp.dtype(d)): jnp.asarray(np.arange(12).reshape(2, 3, 2) % 2, d) for d in dtypes} | {
        "key": keys
    }
    ring = rings.init(jax.tree.map(lambda x: x[0, 0], new), streams=2, capacity=4)
    ring = append(append(ring, new), new)
    out = jax.jit(rings.gather, static_argnums=3)(ring, jnp.array([1, 0]), jnp.array([3, 3]), 3)
    for name, leaf in new.items():
        want, got = (jax.random.key_data(x) if name == "key" else x for x in (leaf[::-1], out[name]))
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want, err_msg=name)


@pytest.mark.parametrize(
    ("step", "dtype"),
    [
        (1.5, "float32"),
        (np.float64(1), "float32"),
        (3, "int32"),
        (jax.ShapeDtypeStruct((), "bfloat16"), "bfloat16"),
    ],
)
def test_init_takes_anything_with_a_shape_and_a_dtype(step, dtype):
    """A Python number, a NumPy scalar and a bare description make the slots that JAX would make of them."""
    slots = rings.init(step, streams=1, capacity=2).steps
    assert (slots.shape, str(slots.dtype)) == ((1, 2), dtype)
