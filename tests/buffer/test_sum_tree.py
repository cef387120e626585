"""The sum tree holds what a plain list of priorities holds, and draws from it as its shares say."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from hypothesis import given
from hypothesis import strategies as st
from strongbax.buffer import levels, sum_tree

set_many = jax.jit(sum_tree.set_many, donate_argnums=0)
sample = jax.jit(sum_tree.sample, static_argnums=2)
find = jax.jit(sum_tree.find)

CAPACITIES = (1, 9, 600)  # one row of leaves, two, and a level too large to be recomputed whole
BATCH = 4


def lines_of(tree):
    """The levels of the tree, from the root down, without what pads them."""
    depth, nodes = tree.tree_depth, np.asarray(tree.nodes)
    starts = [levels.level_start(level) for level in range(depth + 1)]
    sizes = [8**level for level in range(depth)] + [nodes.size - starts[-1]]
    return [nodes[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def assert_whole(tree):
    """Every inner node is the sum of its children, none is negative, and what pads the levels is 0."""
    lines = lines_of(tree)
    for above, below in itertools.pairwise(lines):
        sums = below.reshape(-1, 8)
        while sums.shape[1] > 1:
            sums = sums[:, 0::2] + sums[:, 1::2]
        np.testing.assert_array_equal(above[: len(sums)], sums[:, 0])
        assert not above[len(sums) :].any()
    assert (np.asarray(tree.nodes) >= 0).all()
    assert np.count_nonzero(tree.nodes) == sum(map(np.count_nonzero, lines))
    assert not lines[-1][tree.capacity :].any()


def counted(value):
    """The priority that a value makes, or None where it is passed over."""
    if not value >= 0:
        return None
    return 0.0 if value < sum_tree.LEAST else min(value, sum_tree.MOST)


VALUES = st.one_of(
    st.just(0.0),
    st.floats(0, 4, width=32),
    st.floats(width=32),
    st.sampled_from([1e-30, 1e-45, 3e38, float("inf"), float("nan"), -1.0, -0.0]),
)


@given(data=st.data(), capacity=st.sampled_from(CAPACITIES))
def test_the_tree_holds_what_a_list_holds(data, capacity):
    """After any updates leaves, sums, the greatest priority and draws are those of a list of numbers."""
    tree, held, greatest = sum_tree.init(capacity), np.zeros(capacity, np.float32), 1.0
    index = st.integers(-2, capacity + 2) | st.integers(0, min(2, capacity - 1))
    batches = st.lists(
        st.tuples(
            st.lists(index, min_size=BATCH, max_size=BATCH), st.lists(VALUES, min_size=BATCH, max_size=BATCH)
        ),
        min_size=1,
        max_size=4,
    )
    for indices, values in data.draw(batches):
        for at, value in zip(indices, values, strict=True):
            if 0 <= at < capacity and (kept := counted(value)) is not None:
                held[at] = kept
        last = {i: counted(v) for i, v in zip(indices, values, strict=True) if counted(v) is not None}
        greatest = max([greatest, *(v for i, v in last.items() if 0 <= i < capacity)])
        tree = set_many(tree, jnp.array(indices, jnp.int32), jnp.array(values, jnp.float32))
    np.testing.assert_array_equal(sum_tree.get(tree, jnp.arange(capacity)), held)
    np.testing.assert_allclose(sum_tree.total(tree), held.sum(dtype=np.float64), rtol=1e-6)
    assert float(tree.max_recorded_priority) == np.float32(greatest)
    assert_whole(tree)
    drawn = np.asarray(sample(tree, jax.random.key(data.draw(st.integers(0, 99))), 16))
    assert ((drawn >= 0) & (drawn < capacity)).all()
    if held.any():
        assert (held[drawn] > 0).all()


@given(
    capacity=st.sampled_from(CAPACITIES),
    places=st.lists(st.integers(0, 10_000), min_size=BATCH, max_size=BATCH),
    values=st.lists(st.floats(2**-90, 2**90, width=32), min_size=BATCH, max_size=BATCH),
    shares=st.lists(st.floats(0, 2), min_size=BATCH, max_size=BATCH),
)
def test_no_target_finds_a_leaf_of_priority_zero(capacity, places, values, shares):
    """Wherever rounding puts a target, at an edge of leaves, at the total, beyond, a live leaf is found."""
    indices = jnp.array([place % capacity for place in places], jnp.int32)
    tree = set_many(sum_tree.init(capacity), indices, jnp.array(values, jnp.float32))
    held = np.asarray(sum_tree.get(tree, jnp.arange(capacity)))
    edges = np.cumsum(held[np.sort(np.unique(indices))])
    near = np.nextafter(edges, np.float32(0)), edges, np.nextafter(edges, np.float32(np.inf))
    asked = np.resize(np.concatenate([np.float32(shares) * float(sum_tree.total(tree)), *near]), 16)
    found = np.asarray(find(tree, jnp.asarray(asked, jnp.float32)))
    assert (held[found] > 0).all()


def test_find_goes_by_the_running_sum():
    """With whole numbers, which do not round, it finds what `searchsorted` finds."""
    generator = np.random.default_rng(0)
    held = generator.integers(0, 4, 600)
    tree = set_many(sum_tree.init(600), jnp.arange(600), jnp.asarray(held, jnp.float32))
    targets = np.arange(held.sum()) + generator.choice([0, 0.5], held.sum())
    found = find(tree, jnp.asarray(targets, jnp.float32))
    np.testing.assert_array_equal(found, np.searchsorted(np.cumsum(held), targets, side="right"))


def test_one_leaf_is_drawn_from_each_stratum():
    """With equal priorities, draw `i` of `N` lies in the `i`-th part of the leaves."""
    tree = set_many(sum_tree.init(600), jnp.arange(600), jnp.ones(600))
    drawn = np.asarray(sample(tree, jax.random.key(3), 30))
    np.testing.assert_array_equal(drawn // 20, np.arange(30))


def test_draws_in_a_large_tree_are_as_fine_as_priorities():
    """2**24 leaves, as many as a draw has values, are drawn evenly: odd ones as often as even ones."""
    capacity = 2**24
    nodes = [
        jnp.pad(jnp.full(8**level, 2.0**24 / 8**level), (0, 7 if level == 0 else 0)) for level in range(8)
    ]
    tree = sum_tree.init(capacity).replace(nodes=jnp.concatenate([*nodes, jnp.ones(capacity)]))
    assert tree.nodes.size == sum_tree.init(capacity).nodes.size
    drawn = np.asarray(sample(tree, jax.random.key(0), 40_000))
    counts = np.bincount(drawn % 8, minlength=8)
    assert ((counts - 5000) ** 2 / 5000).sum() < 29.9  # chi-square with 7 degrees of freedom: p > 1e-4


@pytest.mark.parametrize("size", [1, 2, 64])
def test_an_update_is_in_place(size):
    """A donated tree is written where it lies, also by an update of one leaf."""
    tree = sum_tree.init(60_000)
    compiled = set_many.lower(tree, jnp.zeros(size, jnp.int32), jnp.zeros(size)).compile()
    memory = compiled.memory_analysis()
    assert memory.alias_size_in_bytes >= tree.nodes.nbytes
    assert memory.temp_size_in_bytes < tree.nodes.nbytes / 4
    assert not re.search(rf"= f32\[{tree.nodes.size}\]\S* copy\(", compiled.as_text())


def test_the_work_of_an_update_does_not_grow_with_the_tree():
    """Sixty-four times the leaves cost two more levels, not sixty-four times the operations."""
    flops = []
    for capacity in (2**12, 2**18):
        lowered = set_many.lower(sum_tree.init(capacity), jnp.zeros(64, jnp.int32), jnp.zeros(64))
        flops.append(lowered.compile().cost_analysis()["flops"])
    assert flops[1] < 2 * flops[0]


def test_trees_under_vmap_go_each_its_way():
    """A stack of trees, updated and drawn from under vmap, gives what each gives alone."""
    trees = [set_many(sum_tree.init(9), jnp.arange(9), jnp.arange(9.0) + shift) for shift in (0, 5)]
    indices, values = jnp.array([[0, 7], [8, 8]]), jnp.array([[1.0, 2.0], [3.0, 4.0]])
    keys = jax.random.split(jax.random.key(0))

    def step(tree, at, value, key):
        tree = sum_tree.set_many(tree, at, value)
        return tree, sum_tree.sample(tree, key, 8)

    together = jax.jit(jax.vmap(step))(jax.tree.map(lambda *x: jnp.stack(x), *trees), indices, values, keys)
    alone = [jax.jit(step)(*one) for one in zip(trees, indices, values, keys, strict=True)]
    jax.tree.map(np.testing.assert_array_equal, together, jax.tree.map(lambda *x: jnp.stack(x), *alone))
    assert sum_tree.total(together[0]).shape == (2,)


def test_the_capacity_is_part_of_the_structure():
    """It is no leaf, so that it can decide about shapes under jit, and trees of other sizes differ."""
    tree = sum_tree.init(70)
    assert len(jax.tree.leaves(tree)) == 2
    assert jax.tree.structure(tree) != jax.tree.structure(sum_tree.init(71))
    assert jax.jit(lambda t: t)(tree).capacity == 70


@pytest.mark.parametrize("dtype", ["int8", "uint32", "int16"])
def test_indices_of_any_integers_are_taken(dtype):
    """Narrow ones reach leaves that they can count to, and unsigned ones no leaf before the first."""
    tree = set_many(sum_tree.init(600), jnp.array([9, -1]).astype(dtype), jnp.array([2.0, 1.0]))
    assert float(sum_tree.total(tree)) == float(sum_tree.get(tree, 9)) == 2


@pytest.mark.parametrize("capacity", [0, 2**30 + 1])
def test_a_capacity_out_of_range_is_refused(capacity):
    """The message names the argument and the range."""
    with pytest.raises(ValueError, match=f"`capacity` must be from 1 to 1073741824: got {capacity}"):
        sum_tree.init(capacity)


def test_indices_and_values_of_other_lengths_are_refused():
    """The message says what came."""
    with pytest.raises(ValueError, match=r"got shapes \(2,\) and \(3,\). Ravel them"):
        fbx.sum_tree.set_many(sum_tree.init(8), jnp.arange(2), jnp.ones(3))
