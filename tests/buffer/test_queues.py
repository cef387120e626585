"""Queues hold what lists hold; running counts are those of a loop."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongbax.buffer import queues
from strongbax.buffer.running import running

CAPACITY, CANDIDATES = 7, 3
push, pop, front, get = (jax.jit(f, static_argnums=s) for f, s in (
    (queues.push, ()), (queues.pop, ()), (queues.front, 1), (queues.get, ())
))  # fmt: skip


@settings(max_examples=settings.default.max_examples // 3)
@given(st.lists(st.tuples(st.integers(0, 63), st.tuples(st.integers(0, 7), st.integers(0, 7))), max_size=20))
def test_queues_hold_what_lists_hold(turns):
    """What is pushed comes out in its order, each stream for itself, over any number of laps."""
    held, model, value = queues.init(2, CAPACITY), [collections.deque(), collections.deque()], 0
    for bits, take in turns:
        chosen = np.array([bits >> i & 1 for i in range(2 * CANDIDATES)], bool).reshape(2, CANDIDATES)
        room = np.array([[CAPACITY - len(row)] for row in model])
        chosen &= np.cumsum(chosen, axis=1) <= room
        values = np.arange(value, value + chosen.size, dtype=np.int32).reshape(chosen.shape)
        value += chosen.size
        held = push(held, values, chosen)
        for row, keep, new in zip(model, chosen, values, strict=True):
            row.extend(new[keep].tolist())
        counts = np.minimum(take, [len(row) for row in model]).astype(np.int32)
        held = pop(held, counts)
        for row, count in zip(model, counts, strict=True):
            for _ in range(count):
                row.popleft()
        assert held.counts.tolist() == [len(row) for row in model]
        entries, there = jax.tree.map(np.asarray, front(held, CAPACITY))
        assert [list(e[t]) for e, t in zip(entries, there, strict=True)] == [list(row) for row in model]
        for row, values in enumerate(model):
            places = np.arange(len(values), dtype=np.int32)
            assert queues.get(held, np.full_like(places, row), places).tolist() == list(values)


@pytest.mark.parametrize("length", [1, 31, 32, 33, 100])
def test_running_counts_are_those_of_a_loop(length):
    """Counts and last places are right on both sides of every word's edge."""
    generator = np.random.default_rng(length)
    flags = generator.random((6, length)) < np.linspace(0, 1, 6)[:, None]
    counts, latest = jax.jit(running)(jnp.asarray(flags))
    np.testing.assert_array_equal(counts, np.cumsum(flags, axis=1))
    place = np.where(flags, np.arange(length)[None], -1)
    np.testing.assert_array_equal(latest, np.maximum.accumulate(place, axis=1))
