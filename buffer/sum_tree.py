"""A sum tree: leaves that hold priorities, inner nodes that hold the sums of their eight children.

An update recomputes each inner node that it touches from its children, and never adds a difference, so
rounding errors do not pile up: however many updates were made, a node is the rounded sum of its children.
A draw goes down from the root and turns from a child of no mass, so it never ends at a leaf of priority 0.
Why so: `docs/design/0002-sum-tree.md`. How the nodes lie: `levels`.

Letters: `N` batch, `C` capacity in leaves.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from .levels import FAN_OUT, depth_of, level_start, size_of, sums, with_parents
from .records import Record, record

MAX_CAPACITY = 2**30  # nodes are numbered in int32
LEAST = 2.0**-96  # below, a priority counts as 0; above, it can be divided into strata without underflow
MOST = 2.0**96  # above, a priority counts as this, so that the sum of 2**30 of them is finite

_MOST_AT_ONCE = 2**24  # the places of a batch are told apart as float32
_SPENT = 2.0**-12  # of the mass: in a smaller node half of the 24 bits of a draw are spent


@record
class SumTree(Record):
    """Priorities, and their sums over eight, 64, 512 ... neighbours.

    Attributes:
      nodes: float32 `[.]`, the levels from the root down, each padded to rows of eight.
      max_recorded_priority: float32 `[]`, the greatest priority that was ever set, at first 1.
      capacity: `C`.
    """

    nodes: Array
    max_recorded_priority: Array
    capacity: int = dataclasses.field(metadata={"static": True})

    @property
    def tree_depth(self) -> int:
        """`D`, the levels below the root."""
        return depth_of(self.capacity)


def init(capacity: int) -> SumTree:
    """Makes a tree whose priorities are all 0.

    Args:
      capacity: `C`, from 1 to `2**30`.

    Raises:
      ValueError: if the capacity is out of range.

    Example:
      >>> float(total(init(100)))
      0.0
    """
    if not 1 <= capacity <= MAX_CAPACITY:
        raise ValueError(
            f"`capacity` must be from 1 to {MAX_CAPACITY}: got {capacity}. Draw from several trees instead."
        )
    return SumTree(
        nodes=jnp.zeros(size_of(capacity), jnp.float32),
        max_recorded_priority=jnp.ones((), jnp.float32),
        capacity=capacity,
    )


def total(tree: SumTree) -> Array:
    """Returns the sum of all priorities, float32 `[]`; elementwise on replicated trees.

    Args:
      tree: the tree.

    Example:
      >>> total(set_many(init(100), jnp.array([3, 50]), jnp.array([1.0, 2.0])))
      Array(3., dtype=float32)
    """
    return tree.nodes[..., 0]


def get(tree: SumTree, indices: Any) -> Array:
    """Returns priorities, float32 in the shape of the indices; 0 for an index that is no leaf.

    Args:
      tree: the tree.
      indices: int, any shape.

    Example:
      >>> get(set_many(init(100), jnp.array([3]), jnp.array([2.0])), jnp.array([3, 4, -1]))
      Array([2., 0., 0.], dtype=float32)
    """
    at, _ = _leaves(tree, indices)
    return tree.nodes.at[at].get(mode="fill", fill_value=0.0)


def shares_of(tree: SumTree, indices: Any) -> Array:
    """Returns the shares of priorities in the sum of all, float32 in the shape of the indices.

    Args:
      tree: the tree; where all its priorities are 0, so are the shares.
      indices: int, any shape.

    Example:
      >>> tree = set_many(init(100), jnp.array([3, 50]), jnp.array([1.0, 3.0]))
      >>> shares_of(tree, jnp.array([3, 4]))
      Array([0.25, 0.  ], dtype=float32)
    """
    mass = total(tree)
    return get(tree, indices) / jnp.where(mass > 0, mass, 1.0)


def after(shares: Array, indices: Array) -> Array:
    """Returns indices as they are, but known only once the shares are.

    Whoever sets priorities at them writes after the shares were read. Where nothing orders the two, XLA keeps
    the old tree for the reader: a copy of it each time.

    Args:
      shares: float32 `[N]`, never negative, which XLA does not know.
      indices: int32 `[N]`.

    Example:
      >>> after(jnp.array([0.25, 0.5]), jnp.array([3, 50]))
      Array([ 3, 50], dtype=int32)
    """
    return jnp.where(shares < 0, -1, indices)


def set_many(tree: SumTree, indices: Any, values: Any) -> SumTree:
    """Returns the tree with other priorities at some leaves; where an index comes twice, the last wins.

    The work is `O(N log C)`, whatever the capacity. Donate the tree, and it is in place.

    Args:
      tree: the tree.
      indices: int `[N]`, `N <= 2**24`. An index that is no leaf is passed over.
      values: real `[N]`. One that is negative or not a number is passed over; below `LEAST` it counts
        as 0, above `MOST` as `MOST`.

    Raises:
      ValueError: if indices and values are not two vectors of one length, or too long.

    Example:
      >>> tree = set_many(init(100), jnp.array([3, 50, 3]), jnp.array([1.0, 2.0, 5.0]))
      >>> get(tree, jnp.array([3, 50])), total(tree)
      (Array([5., 2.], dtype=float32), Array(7., dtype=float32))
    """
    indices, values = _vectors(indices, values)
    at, leaves = _leaves(tree, indices)
    nowhere = tree.nodes.size
    at = jnp.where(values >= 0, at, nowhere)  # false for what is not a number
    values = jnp.where(values < LEAST, 0.0, jnp.minimum(values, MOST))
    nodes, last = _last_of_equals(tree.nodes, at)
    at = jnp.where(last, at, nowhere)
    nodes = nodes.at[at].set(values, mode="drop")
    greatest = jnp.max(jnp.where(at < nowhere, values, 0.0), initial=0.0)
    return tree.replace(
        nodes=with_parents(nodes, leaves, tree.tree_depth),
        max_recorded_priority=jnp.maximum(tree.max_recorded_priority, greatest),
    )


def find(tree: SumTree, targets: Any) -> Array:
    """Returns the leaves at which the running sum of priorities first exceeds the targets.

    Args:
      tree: the tree; where all its priorities are 0, the leaves mean nothing.
      targets: float32 `[N]`, each from 0 to the total. At the total or above, where rounding can lead,
        it is the last leaf that has a priority.

    Returns:
      Int32 `[N]`; the priority of each is above 0.

    Example:
      >>> tree = set_many(init(100), jnp.array([3, 50]), jnp.array([1.0, 2.0]))
      >>> find(tree, jnp.array([0.0, 0.9, 1.0, 3.0]))
      Array([ 3,  3, 50, 50], dtype=int32)
    """
    targets = jnp.asarray(targets).astype(jnp.float32)
    return _descend(tree, targets, jnp.zeros_like(targets), jnp.zeros((), jnp.float32))


def sample(tree: SumTree, key: Array, batch_size: int) -> Array:
    """Draws leaves, each with the chance of its share in the total, with replacement.

    The total is cut into `N` strata of equal mass, and one leaf is drawn from each (Schaul et al. 2016,
    section 3.3), so the leaves come in ascending order.

    Args:
      tree: the tree; where all its priorities are 0, the leaves mean nothing.
      key: a PRNG key, consumed.
      batch_size: `N`.

    Returns:
      Int32 `[N]`; the priority of each is above 0.

    References:
      Schaul et al. 2016, Prioritized Experience Replay, https://arxiv.org/abs/1511.05952

    Example:
      >>> tree = set_many(init(100), jnp.array([3, 50]), jnp.array([1.0, 3.0]))
      >>> sample(tree, jax.random.key(0), 4)
      Array([ 3, 50, 50, 50], dtype=int32)
    """
    mass = total(tree)
    within, again = jax.random.uniform(key, (2, batch_size), jnp.float32)
    strata = jnp.arange(batch_size, dtype=jnp.int32).astype(jnp.float32)
    return _descend(tree, (strata + within) * (mass / batch_size), again, mass * _SPENT)


def _descend(tree: SumTree, target: Array, again: Array, below: Array) -> Array:
    """Goes down from the root, three binary choices a level.

    A draw has 24 bits, too few to tell 2**20 leaves apart evenly. So where a draw enters a node of less mass
    than `below`, its rest is replaced by another draw, `again`, of a place within that node.
    """
    rows = tree.nodes.reshape(-1, FAN_OUT)
    first_rows = jnp.array([level_start(level) // FAN_OUT for level in range(tree.tree_depth + 1)], jnp.int32)

    def down(level: Any, at: tuple[Array, Array]) -> tuple[Array, Array]:
        node, rest = at
        children = rows.at[first_rows[level] + node].get(mode="promise_in_bounds")
        child, mass, rest = _choose(children.T, rest)
        enters = (mass < below) & (sums(children) >= below)
        return FAN_OUT * node + child, jnp.where(enters, again * mass, rest)

    start = (jnp.zeros(target.shape, jnp.int32), target)
    leaf, _ = lax.fori_loop(1, tree.tree_depth + 1, down, start)
    return jnp.minimum(leaf, tree.capacity - 1)  # where there is no mass at all, it ran to the right


def _choose(children: Array, rest: Array) -> tuple[Array, Array, Array]:
    """Picks one of eight children `[8, N]`: its number, its mass, and what is left of the target.

    The halves are those that `sums` adds, so together they are the node itself. Where a half has no
    mass the other is taken, whatever the target: so rounding cannot lead to a leaf of priority 0.
    """
    pairs = children[0::2] + children[1::2]
    halves = [children, pairs, pairs[0::2] + pairs[1::2]]
    number, mass = jnp.zeros(rest.shape, jnp.int32), jnp.zeros_like(rest)
    while halves:
        left, right = halves.pop()
        go_right = ((rest >= left) & (right > 0)) | (left <= 0)
        number = 2 * number + go_right.astype(jnp.int32)
        mass = jnp.where(go_right, right, left)
        rest = jnp.where(go_right, rest - left, rest)
        halves = [_half(one, go_right) for one in halves]
    return number, mass, rest


def _half(children: Array, right: Array) -> Array:
    """The right or the left half of the children `[., N]` of each draw."""
    middle = children.shape[0] // 2
    return jnp.where(right[None], children[middle:], children[:middle])


def _vectors(indices: Any, values: Any) -> tuple[Array, Array]:
    """Indices and float32 values as vectors of one length, at least 2."""
    indices, values = jnp.asarray(indices).astype(jnp.int32), jnp.asarray(values).astype(jnp.float32)
    if indices.ndim != 1 or indices.shape != values.shape or indices.size > _MOST_AT_ONCE:
        raise ValueError(
            f"`indices` and `values` must be two vectors of one length, at most {_MOST_AT_ONCE}: got shapes "
            f"{indices.shape} and {values.shape}. Ravel them, or set them in pieces."
        )
    short = max(0, 2 - indices.size)  # an update of one would not be in place: see `with_parents`
    return jnp.pad(indices, (0, short), constant_values=-1), jnp.pad(values, (0, short))


def _leaves(tree: SumTree, indices: Any) -> tuple[Array, Array]:
    """Where the leaves lie in `nodes` (beyond it, for what is no leaf), and their numbers, in range."""
    indices = jnp.asarray(indices).astype(jnp.int32)
    is_leaf = (indices >= 0) & (indices < tree.capacity)
    leaves = jnp.where(is_leaf, indices, 0)
    return jnp.where(is_leaf, leaves + level_start(tree.tree_depth), tree.nodes.size), leaves


def _last_of_equals(nodes: Array, at: Array) -> tuple[Array, Array]:
    """Tells which entries of `at` are not followed by an equal one, bool `[N]`.

    What a scatter does with equal indices is not said. But the greatest of some numbers is the same in any
    order, so each entry marks its leaf with its place, and sees whether a later one did too. The marks are
    left in the nodes, to be overwritten.
    """
    place = jnp.arange(at.size, dtype=jnp.int32).astype(jnp.float32)
    nodes = nodes.at[at].set(-1.0, mode="drop").at[at].max(place, mode="drop")
    return nodes, nodes.at[at].get(mode="fill", fill_value=-1.0) == place
