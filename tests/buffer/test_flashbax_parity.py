"""The same key draws the same sample as Flashbax, observed once and, where it is installed, live."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as ours


def feed(buffer, streams, chunks, layout):
    """Adds sequences whose step at time `t` of stream `b` holds `1000 * b + t`."""
    state, time, add = buffer.init(jnp.zeros((), jnp.int32)), 0, jax.jit(buffer.add)
    for length in chunks:
        ids = np.arange(time, time + length)[None] + 1000 * np.arange(streams)[:, None]
        state, time = add(state, jnp.asarray(layout(ids), jnp.int32)), time + length
    return state


def trajectories(module, streams, capacity, length, period, chunks):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a period beyond the window is warned about, by both
        buffer = module.make_trajectory_buffer(
            streams, 8, length, period, length, max_length_time_axis=capacity
        )
    return buffer, feed(buffer, streams, chunks, lambda ids: ids)


# (streams, capacity, window, period, lengths added) -> first steps of 8 windows for PRNGKey(42),
# observed from flashbax 0.1.3
TRAJECTORIES = [
    ((1, 16, 3, 1, (9,)), [4, 0, 4, 1, 3, 0, 1, 3]),
    ((1, 16, 3, 1, (9, 9)), [13, 2, 6, 10, 5, 2, 3, 12]),
    ((4, 10, 3, 2, (7,)), [1004, 1004, 2002, 3004, 2002, 3000, 2, 3002]),
    ((4, 10, 3, 2, (7, 7, 7)), [1013, 1011, 2011, 3011, 2017, 3011, 13, 3015]),
    ((3, 7, 4, 5, (5, 6)), [2004, 4, 2004, 4, 1004, 1004, 4, 4]),
]


@pytest.mark.parametrize(("sizes", "first"), TRAJECTORIES)
def test_windows_are_flashbax_windows(sizes, first):
    """Windows start where Flashbax's start, and go on from there."""
    buffer, state = trajectories(ours, *sizes)
    drawn = np.asarray(buffer.sample(state, jax.random.PRNGKey(42)).experience)
    np.testing.assert_array_equal(drawn, np.asarray(first)[:, None] + np.arange(sizes[2]))


def test_pairs_are_flashbax_pairs():
    """Flat buffers of one and of three streams give the pairs that flashbax 0.1.3 gives for PRNGKey(7)."""
    cases = [
        (None, 12, lambda ids: ids[0], [3, 7, 10, 7, 2, 10, 2, 4]),
        (3, 30, lambda ids: ids, [1010, 6, 2009, 2005, 5, 9, 1009, 5]),
    ]
    for streams, capacity, layout, first in cases:
        buffer = ours.make_flat_buffer(capacity, 3, 8, True, streams)
        state = feed(buffer, streams or 1, (7, 7), layout)
        pair = buffer.sample(state, jax.random.PRNGKey(7)).experience
        assert pair.first.tolist() == first
        np.testing.assert_array_equal(pair.second, pair.first + 1)


def test_items_are_flashbax_items():
    """An item buffer gives the items that flashbax 0.1.3 gives for PRNGKey(7), laid in the same order."""
    buffer = ours.make_item_buffer(12, 3, 8, True, True)
    state = feed(buffer, 2, (3, 4), lambda ids: ids)
    drawn = buffer.sample(state, jax.random.PRNGKey(7)).experience
    assert drawn.tolist() == [2, 1001, 1001, 6, 6, 4, 1006, 3]


@pytest.mark.parametrize("sizes", [sizes for sizes, _ in TRAJECTORIES])
def test_states_and_samples_equal_those_of_the_genuine_package(sizes):
    """Side by side, the three shared fields of the states and the samples are equal bit for bit."""
    with warnings.catch_warnings(), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        warnings.simplefilter("ignore")  # what its dependencies warn about is not ours to mend
        theirs = pytest.importorskip("flashbax")
        (our_buffer, our_state), (their_buffer, their_state) = (
            trajectories(m, *sizes) for m in (ours, theirs)
        )
        for field in ("experience", "current_index", "is_full"):
            np.testing.assert_array_equal(our_state[field], their_state[field])
        for seed in range(3):
            key = jax.random.PRNGKey(seed)
            np.testing.assert_array_equal(
                our_buffer.sample(our_state, key).experience, their_buffer.sample(their_state, key).experience
            )
