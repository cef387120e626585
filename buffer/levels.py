"""How the levels of a tree of sums lie in one array, and how they are recomputed from the leaves up.

The levels follow one another from the root down, each padded to whole rows of eight, so that the children of
a node are one row. Eight was measured against 4, 16 and 32 on a CPU: `docs/design/0002-sum-tree.md`.

    root        [ r  .  .  .  .  .  .  . ]                   one row, of which the root is the first
    level 1     [ a0 a1 a2 a3 a4 a5 a6 a7 ]                  the children of `r`
    level 2     [ b0 ... b7 ] [ b8 ... b15 ] ...             those of `a0`, those of `a1`, ...
    level D     [ l0 ... l7 ] [ l8 ... l15 ] ...             the leaves, `D` the depth

Letters: `N` batch, `C` capacity in leaves, `D` depth.
"""

import jax.numpy as jnp
from jax import Array, lax

FAN_OUT = 8

_FEW = 512  # nodes of a level: to recompute them all costs what it costs to look for those touched


def depth_of(capacity: int) -> int:
    """Returns the levels below the root that a capacity needs.

    Args:
      capacity: `C`.

    Example:
      >>> depth_of(8), depth_of(9)
      (1, 2)
    """
    depth = 1
    while FAN_OUT**depth < capacity:
        depth += 1
    return depth


def level_start(level: int) -> int:
    """Returns where in `nodes` a level starts.

    Args:
      level: from 0, the root, to the depth.

    Example:
      >>> [level_start(level) for level in range(4)]
      [0, 8, 16, 80]
    """
    above = sum(FAN_OUT**one for one in range(1, level))
    return 0 if level == 0 else FAN_OUT + above


def size_of(capacity: int) -> int:
    """Returns the length of the array that holds the tree.

    Args:
      capacity: `C`.

    Example:
      >>> size_of(9)
      32
    """
    return level_start(depth_of(capacity)) + -(-capacity // FAN_OUT) * FAN_OUT


def with_parents(nodes: Array, leaves: Array, depth: int) -> Array:
    """Returns the tree with every node above some leaves recomputed, level by level.

    Equal parents are computed from the same children, so it does not matter which of them is written.

    Args:
      nodes: float32 `[size_of(C)]`.
      leaves: int32 `[N]`, the numbers of the leaves, each in `[0, C)`. For the write to be in place `N`
        must not be 1: XLA makes of a scatter of one a slice, fuses its write with the read of the
        children, sees both go to one array, and copies it, 1 ms for `2**20` leaves.
      depth: `D`.

    Example:
      >>> nodes = jnp.zeros(size_of(9)).at[level_start(2) + 8].set(3.0)
      >>> nodes = with_parents(nodes, jnp.array([8, 8]), depth=2)
      >>> nodes[0], nodes[level_start(1) : level_start(2)]
      (Array(3., dtype=float32), Array([0., 3., 0., 0., 0., 0., 0., 0.], dtype=float32))
    """
    at, level = leaves, depth - 1
    while FAN_OUT**level > max(leaves.size, _FEW):
        at = at // FAN_OUT
        rows = nodes.reshape(-1, FAN_OUT).at[level_start(level + 1) // FAN_OUT + at]
        added = sums(rows.get(mode="promise_in_bounds"))
        nodes = nodes.at[level_start(level) + at].set(added, mode="promise_in_bounds")
        level -= 1
    return _with_top(nodes, level, depth)


def sums(rows: Array) -> Array:
    """Adds up the children of each node, in an order of its own, so that every program rounds alike.

    Args:
      rows: float32 `[., 8]`.

    Returns:
      Float32 `[.]`.

    Example:
      >>> sums(jnp.arange(16.0).reshape(2, 8))
      Array([28., 92.], dtype=float32)
    """
    while rows.shape[-1] > 1:
        rows = rows[..., 0::2] + rows[..., 1::2]
    return rows[..., 0]


def _with_top(nodes: Array, level: int, depth: int) -> Array:
    """Recomputes all nodes of a level and of those above: few nodes are quicker whole than one by one."""
    end = nodes.size if level + 1 == depth else level_start(level + 2)
    children, top = nodes[level_start(level + 1) : end], []
    for one in range(level, -1, -1):
        added = sums(children.reshape(-1, FAN_OUT))
        children = jnp.pad(added, (0, level_start(one + 1) - level_start(one) - added.size))
        top.insert(0, children)
    return lax.dynamic_update_slice(nodes, jnp.concatenate(top), (0,))
