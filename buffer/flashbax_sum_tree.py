"""The functions of `flashbax.buffers.sum_tree` by their names, over our sum tree.

Nodes lie otherwise: eight children a node, and `get_tree_index` says where.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from . import sum_tree
from .levels import depth_of, level_start
from .sum_tree import SumTree, get, total

__all__ = [
    "SumTreeState",
    "get",
    "get_batch",
    "get_probability",
    "get_tree_depth",
    "get_tree_index",
    "init",
    "sample",
    "set_batch_bincount",
    "set_batch_scan",
    "set_non_batched",
    "stratified_sample",
]

SumTreeState = SumTree
get_batch = get
get_tree_depth = depth_of
set_batch_bincount = sum_tree.set_many
set_batch_scan = sum_tree.set_many


def init(capacity: int, dtype: Any = None) -> SumTree:
    """Makes a tree whose priorities are all 0.

    Args:
      capacity: leaves.
      dtype: float32, or None, which is the same.

    Raises:
      ValueError: if another dtype is asked for: sums do not drift, so none is needed.

    Example:
      >>> init(9).tree_depth
      2
    """
    if dtype is not None and jnp.dtype(dtype) != jnp.float32:
        raise ValueError(f"`dtype` must be float32: got {jnp.dtype(dtype)}. Leave it out; sums do not drift.")
    return sum_tree.init(capacity)


def get_tree_index(depth_level: int, node_index: Any) -> Array:
    """Returns where in `nodes` a node lies.

    Args:
      depth_level: its level, 0 for the root.
      node_index: its number in the level.

    Example:
      >>> int(get_tree_index(1, 3))
      11
    """
    return level_start(depth_level) + jnp.asarray(node_index)


def get_probability(state: SumTree, node_index: Any) -> Array:
    """Returns the shares of leaves in the total.

    Args:
      state: the tree.
      node_index: int, any shape.

    Example:
      >>> get_probability(set_non_batched(init(9), 3, 4.0), jnp.array([3, 4]))
      Array([1., 0.], dtype=float32)
    """
    mass = total(state)
    return get(state, node_index) / jnp.where(mass > 0, mass, 1.0)


def set_non_batched(state: SumTree, node_index: Any, value: Any) -> SumTree:
    """Returns the tree with another priority at one leaf.

    Args:
      state: the tree.
      node_index: int `[]`.
      value: real `[]`.

    Example:
      >>> int(total(set_non_batched(init(9), 3, 4.0)))
      4
    """
    return sum_tree.set_many(state, jnp.asarray(node_index)[None], jnp.asarray(value)[None])


def sample(state: SumTree, rng_key: Array | None = None, query_value: Any = None) -> Array:
    """Draws a leaf, or finds the one at a share of the total.

    Args:
      state: the tree.
      rng_key: a PRNG key, used where there is no query.
      query_value: float `[]` from 0 to 1.

    Raises:
      ValueError: if neither is given.

    Example:
      >>> int(sample(set_non_batched(init(9), 3, 4.0), query_value=0.5))
      3
    """
    if query_value is not None:
        return sum_tree.find(state, (query_value * total(state))[None])[0]
    if rng_key is None:
        raise ValueError("Either the `rng_key` or the `query_value` must be specified.")
    return sum_tree.sample(state, rng_key, 1)[0]


def stratified_sample(state: SumTree, batch_size: int, rng_key: Array) -> Array:
    """Draws leaves, one from each of some strata of equal mass.

    Args:
      state: the tree.
      batch_size: how many.
      rng_key: a PRNG key.

    Example:
      >>> import jax
      >>> stratified_sample(set_non_batched(init(9), 3, 4.0), 2, jax.random.key(0))
      Array([3, 3], dtype=int32)
    """
    return sum_tree.sample(state, rng_key, batch_size)
