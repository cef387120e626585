"""The uniform sampler draws every valid window equally often, and the integers that `randint` draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from strongbax.buffer import ring as rings
from strongbax.buffer import uniform

DRAWS = 40_000
draw = jax.jit(uniform.draw, static_argnums=(2, 3, 4))
randint = jax.jit(jax.random.randint, static_argnums=1)


def ring_of(streams, capacity, added):
    """A ring that was given this many steps; nobody looks at what they are."""
    return rings.Ring(
        steps=np.zeros((streams, capacity), np.int32),
        cursor=np.int32(added % capacity),
        full=np.bool_(added >= capacity),
    )


@pytest.mark.parametrize(
    ("streams", "capacity", "added", "length", "period"),
    [(1, 9, 6, 2, 1), (1, 9, 22, 1, 1), (3, 7, 25, 3, 1), (3, 8, 21, 3, 2), (2, 11, 40, 2, 5)],
    ids=["filling", "items", "wrapped", "stride", "stride beyond the window"],
)
def test_every_valid_window_is_equally_likely(streams, capacity, added, length, period):
    """Draws fall evenly on all pairs of a stream and a valid start, and on nothing else."""
    ring = ring_of(streams, capacity, added)
    rows, starts = draw(ring, jax.random.key(1), DRAWS, length, period)
    oldest, held = max(0, added - capacity), min(added, capacity)
    valid = [
        row * capacity + (oldest + offset) % capacity
        for row in range(streams)
        for offset in range(0, held - length + 1, period)
    ]
    counts = np.bincount(np.asarray(rows * capacity + starts), minlength=streams * capacity)
    assert counts[valid].sum() == DRAWS
    assert len(valid) == streams * int(uniform.num_starts(ring, length, period))
    assert stats.chisquare(counts[valid]).pvalue > 1e-4


def test_integers_are_those_of_randint():
    """The bits drawn in one call give what `jax.random.randint` gives, for spans from none to large."""
    spans = np.array([0, 3, 1_000_003, 2**31 - 1], np.int32)
    keys = jax.random.split(jax.random.key(5), len(spans))
    drawn = jax.jit(lambda k, n: uniform._integers(list(k), list(n), size=100))(keys, spans)
    wanted = [randint(key, (100,), 0, span) for key, span in zip(keys, spans, strict=True)]
    np.testing.assert_array_equal(np.stack(drawn), np.stack(wanted))


@pytest.mark.parametrize("kind", ["raw", "rbg", "x64"])
def test_other_keys_draw_as_randint_does(kind):
    """Raw keys, other generators and 64-bit mode draw what Flashbax would draw with them."""
    with jax.enable_x64(kind == "x64"):
        key = (
            jax.random.PRNGKey(3)
            if kind == "raw"
            else jax.random.key(3, impl="rbg" if kind == "rbg" else None)
        )
        ring = ring_of(streams=2, capacity=9, added=6)
        streams, starts = draw(ring, key, 50, 2, 1)
        remaining, first = jax.random.split(key)
        np.testing.assert_array_equal(starts, randint(first, (50,), 0, 5))
        np.testing.assert_array_equal(
            streams, jax.random.randint(jax.random.split(remaining)[1], (50,), 0, 2)
        )
        assert streams.dtype == starts.dtype == jnp.int32
