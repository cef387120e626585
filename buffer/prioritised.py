"""The prioritised sampler: each window is drawn with the chance of its priority's share in the sum of all.

Windows start at slots divisible by `period`. Such a window is an *item*: the `k`-th of stream `b` starts at
slot `k * period` and is leaf `b * I + k` of a sum tree. An item whose steps are not all held, because they
are still to come or were overwritten in part, has priority 0, and nothing but new steps gives it another.

Letters: `B` streams, `C` capacity in steps, `T` steps added, `W` window in steps, `I` items a stream,
`N` batch.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from . import sum_tree
from .ring import Ring, advance
from .sum_tree import SumTree


def num_items(capacity: int, period: int) -> int:
    """Returns `I`, the items of one stream.

    Args:
      capacity: `C`.
      period: between starts, in steps.

    Example:
      >>> num_items(capacity=10, period=3)
      3
    """
    return capacity // period


def draw(
    ring: Ring[Any], tree: SumTree, key: Array, batch_size: int, period: int
) -> tuple[Array, Array, Array]:
    """Draws items, stratified: one from each of `N` parts of equal mass, in the order of the leaves.

    Args:
      ring: the ring.
      tree: the priorities of its items; where all are 0, the draws mean nothing.
      key: a PRNG key, consumed.
      batch_size: `N`.
      period: between starts, in steps.

    Returns:
      `items` int32 `[N]`, the leaves; `streams` int32 `[N]`, the stream of each window; `starts` int32
      `[N]`, the slot of its first step.

    Raises:
      ValueError: if the tree does not fit the ring.

    Example:
      >>> import jax
      >>> from .ring import init
      >>> tree = sum_tree.set_many(sum_tree.init(6), jnp.array([4]), jnp.array([1.0]))
      >>> draw(init(0, streams=2, capacity=9), tree, jax.random.key(0), batch_size=1, period=3)
      (Array([4], dtype=int32), Array([1], dtype=int32), Array([3], dtype=int32))
    """
    items_a_stream = _fitting(ring, tree, period)
    items = sum_tree.sample(tree, key, batch_size)
    return items, items // items_a_stream, items % items_a_stream * period


def are_whole(ring: Ring[Any], starts: Array, length: int) -> Array:
    """Tells which windows are held from their first step to their last, bool in the shape of `starts`.

    Args:
      ring: the ring.
      starts: int32, the slots of the first steps.
      length: `W`, in steps.

    Example:
      >>> from .ring import append, init
      >>> ring = append(init(0, streams=1, capacity=4), jnp.arange(3)[None])
      >>> are_whole(ring, jnp.array([0, 1, 2, 3]), length=2)
      Array([ True,  True, False, False], dtype=bool)
    """
    return _steps_on(ring.oldest, starts, ring.capacity) <= ring.held - length


def those_held(ring: Ring[Any], tree: SumTree, items: Array, length: int, period: int) -> Array:
    """Returns the items, with -1 in the place of those whose windows are not whole.

    Args:
      ring: the ring.
      tree: the priorities of its items.
      items: int `[N]`.
      length: `W`, in steps.
      period: between starts, in steps.

    Raises:
      ValueError: if the tree does not fit the ring.

    Example:
      >>> from .ring import append, init
      >>> ring = append(init(0, streams=1, capacity=4), jnp.arange(3)[None])
      >>> those_held(ring, sum_tree.init(4), jnp.array([1, 2, 99]), length=2, period=1)
      Array([ 1, -1, -1], dtype=int32)
    """
    starts = items % _fitting(ring, tree, period) * period
    there = (items >= 0) & (items < tree.capacity)
    return jnp.where(there & are_whole(ring, starts, length), items, -1)


def renew(
    ring: Ring[Any], tree: SumTree, added: int, length: int, period: int, priorities: Array | None = None
) -> SumTree:
    """Returns the tree after steps were added: windows that became whole have a priority, broken ones 0.

    Args:
      ring: the ring, with the steps.
      tree: the priorities before. Donate it, and the write is in place.
      added: `T`, in steps a stream.
      length: `W`, in steps.
      period: between starts, in steps.
      priorities: float32 `[B, T]`, of the window that each step made whole; None, or not a number of at
        least 0: the greatest that was ever set.

    Raises:
      ValueError: if the tree does not fit the ring.

    Example:
      >>> from .ring import append, init
      >>> ring = append(init(0, streams=1, capacity=4), jnp.arange(3)[None])
      >>> tree = renew(ring, sum_tree.init(4), added=3, length=2, period=1)
      >>> sum_tree.get(tree, jnp.arange(4))
      Array([1., 1., 0., 0.], dtype=float32)
    """
    items_a_stream = _fitting(ring, tree, period)
    first = advance(ring.cursor, ring.capacity - added, ring.capacity)
    items = _changed(ring, first, added, length, period)
    starts = items * period
    # What each item is set to depends on its slot alone, so one that is listed twice is set to one value.
    fresh = _of_last_steps(ring, tree, first, starts, length, priorities)
    values = jnp.where(are_whole(ring, starts, length)[None], fresh, 0.0)
    rows = jnp.arange(ring.streams, dtype=jnp.int32)[:, None] * items_a_stream
    leaves = jnp.where(items >= 0, rows + items[None], -1)
    return sum_tree.set_many(tree, leaves.ravel(), values.ravel())


def _changed(ring: Ring[Any], first: Array, added: int, length: int, period: int) -> Array:
    """The items of a stream that steps from slot `first` on may have made whole or broken, -1 for none.

    # slots        : ... first - W + 1 ... first ... first + T - W ... first + T - 1
    # made whole   :     |<------------ T ------------->|
    # overwritten  :                       |<------------- T -------------->|
    """
    before = advance(first, ring.capacity - length + 1, ring.capacity)
    if added >= length - 1:
        return _items_within(ring, before, added + length - 1, period)
    parts = [_items_within(ring, slot, added, period) for slot in (before, first)]
    return jnp.concatenate(parts)


def _items_within(ring: Ring[Any], slot: Array, slots: int, period: int) -> Array:
    """The items that start within some slots from one on, going round the end, and -1 for none."""
    slots = min(slots, ring.capacity)
    items_a_stream = num_items(ring.capacity, period)
    nearest = slot // period + (slot % period > 0).astype(jnp.int32)
    nearest = jnp.where(nearest < items_a_stream, nearest, 0)
    at_most = min(-(-slots // period), items_a_stream)
    items = advance(nearest, jnp.arange(at_most, dtype=jnp.int32), items_a_stream)
    return jnp.where(_steps_on(slot, items * period, ring.capacity) < slots, items, -1)


def _of_last_steps(
    ring: Ring[Any], tree: SumTree, first: Array, starts: Array, length: int, priorities: Array | None
) -> Array:
    """The priorities of windows, float32 `[B, .]`, by which of the added steps is their last."""
    if priorities is None:
        return jnp.broadcast_to(tree.max_recorded_priority, (ring.streams, starts.size))
    last = advance(starts % ring.capacity, length - 1, ring.capacity)
    step = jnp.minimum(_steps_on(first, last, ring.capacity), priorities.shape[1] - 1)
    given = priorities[:, step]
    return jnp.where(given >= 0, given, tree.max_recorded_priority)


def _steps_on(slot: Array, other: Array, capacity: int) -> Array:
    """How many steps the other slot lies on from a slot, going round the end."""
    return jnp.where(other >= slot, other - slot, other - slot + capacity)


def _fitting(ring: Ring[Any], tree: SumTree, period: int) -> int:
    """`I`, if the tree has as many leaves as the ring has items."""
    items_a_stream = num_items(ring.capacity, period)
    if tree.capacity != ring.streams * items_a_stream:
        raise ValueError(
            f"`sum_tree_state` must have a leaf for each item: {ring.streams} streams of {ring.capacity} "
            f"steps with a `period` of {period} have {ring.streams * items_a_stream}, got {tree.capacity}. "
            "Use the `period` that the state was made with."
        )
    return items_a_stream
