"""Queues of integers, one a stream: what came first leaves first, and any place can be looked up.

A queue lies in a ring of slots from its head on. Taking from the front moves the head and nothing else.

Letters: `B` streams, `C` capacity, `K` candidates, `N` batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from .ring import advance
from .running import running


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Queues:
    """`B` queues of at most `C` integers each.

    Attributes:
      slots: int32 `[B, C]`.
      ends: int32 `[B, 2]`, the slot of the first entry and the number of entries. One array for both:
        what a call from Python costs grows with the number of arrays.
    """

    slots: Array
    ends: Array

    @property
    def capacity(self) -> int:
        """`C`."""
        return self.slots.shape[1]

    @property
    def heads(self) -> Array:
        """The slot of the first entry of each queue, int32 `[B]`."""
        return self.ends[:, 0]

    @property
    def counts(self) -> Array:
        """The number of entries of each queue, int32 `[B]`."""
        return self.ends[:, 1]


def init(streams: int, capacity: int) -> Queues:
    """Makes empty queues.

    Args:
      streams: `B`.
      capacity: `C`.

    Example:
      >>> init(2, 3).counts
      Array([0, 0], dtype=int32)
    """
    return Queues(jnp.zeros((streams, capacity), jnp.int32), jnp.zeros((streams, 2), jnp.int32))


def front(queues: Queues, count: int) -> tuple[Array, Array]:
    """Reads the first entries of every queue.

    Args:
      queues: the queues.
      count: how many entries, at most `C`.

    Returns:
      int32 `[B, count]`, and bool `[B, count]`, whether there is such an entry.

    Example:
      >>> held = push(init(1, 4), jnp.array([[5, 6, 7]]), jnp.array([[True, False, True]]))
      >>> front(held, 3)
      (Array([[5, 7, 0]], dtype=int32), Array([[ True,  True, False]], dtype=bool))
    """
    places = jnp.arange(count, dtype=jnp.int32)[None]
    slots = advance(queues.heads[:, None], places, queues.capacity)
    rows = jnp.arange(slots.shape[0], dtype=jnp.int32)[:, None]
    entries = queues.slots.at[rows, slots].get(mode="promise_in_bounds")
    return entries, places < queues.counts[:, None]


def leading(queues: Queues, most: int, among: Array, holds: Callable[[Array], Array]) -> Array:
    """Counts the entries at the front for which a condition holds that holds for none after one that fails.

    Args:
      queues: the queues.
      most: how many entries it can hold for, at most `C`.
      among: int32 `[B]`, how many entries of each queue to look at.
      holds: int32 `[B, most]`, entries -> bool `[B, most]`.

    Returns:
      int32 `[B]`.

    Example:
      >>> held = push(init(1, 4), jnp.array([[5, 6, 7]]), jnp.ones((1, 3), bool))
      >>> leading(held, 4, held.counts, lambda entry: entry < 7)
      Array([2], dtype=int32)
    """
    entries, _ = front(queues, most)
    places = jnp.arange(most, dtype=jnp.int32)[None]
    flags = (places < among[:, None]) & holds(entries)
    return jnp.sum(flags, axis=1, dtype=jnp.int32)


def pop(queues: Queues, counts: Array) -> Queues:
    """Takes entries from the front.

    Args:
      queues: the queues.
      counts: int32 `[B]`, how many from each; no more than it has.

    Example:
      >>> held = push(init(1, 4), jnp.array([[5, 6]]), jnp.array([[True, True]]))
      >>> get(pop(held, jnp.array([1])), jnp.array([0]), jnp.array([0]))
      Array([6], dtype=int32)
    """
    # Both ends in one step: as two, XLA would compute the counts once for each.
    moved = queues.ends + counts[:, None] * jnp.array([[1, -1]], jnp.int32)
    round_ = jnp.array([[True, False]]) & (moved >= queues.capacity)
    return Queues(queues.slots, jnp.where(round_, moved - queues.capacity, moved))


def push(queues: Queues, values: Array, chosen: Array) -> Queues:
    """Puts the chosen values at the end of each queue, in their order.

    Args:
      queues: the queues; no queue may come to hold more than `C`.
      values: int32 `[B, K]`.
      chosen: bool `[B, K]`.

    Example:
      >>> push(init(1, 4), jnp.array([[5, 6, 7]]), jnp.array([[True, False, True]])).slots
      Array([[5, 7, 0, 0]], dtype=int32)
    """
    rows = jnp.arange(values.shape[0], dtype=jnp.int32)[:, None]
    slots = queues.slots.at[rows, ahead(queues, chosen)].set(values, mode="drop", unique_indices=True)
    counts = queues.counts + jnp.sum(chosen, axis=1, dtype=jnp.int32)
    return Queues(slots, jnp.stack([queues.heads, counts], axis=1))


def ahead(queues: Queues, chosen: Array) -> Array:
    """Tells to which slots `push` would put the chosen, int32 `[B, K]`; what is not chosen lies outside.

    Args:
      queues: the queues.
      chosen: bool `[B, K]`.

    Example:
      >>> ahead(init(1, 4), jnp.array([[True, False, True]]))
      Array([[0, 5, 1]], dtype=int32)
    """
    capacity = queues.capacity
    end = advance(queues.heads, queues.counts, capacity)[:, None]
    total, _ = running(chosen)
    outside = capacity + jnp.arange(chosen.shape[1], dtype=jnp.int32)[None]  # each in a place of its own
    return jnp.where(chosen, advance(end, jnp.maximum(total - 1, 0), capacity), outside)


def get(queues: Queues, streams: Array, places: Array) -> Array:
    """Reads entries by their place from the front.

    Args:
      queues: the queues.
      streams: int32 `[N]`, each in `[0, B)`.
      places: int32 `[N]`, each in `[0, C)`; beyond the last entry anything may be found.

    Returns:
      int32 `[N]`.

    Example:
      >>> held = push(init(2, 4), jnp.array([[5, 6], [7, 8]]), jnp.ones((2, 2), bool))
      >>> get(held, jnp.array([1, 0]), jnp.array([0, 1]))
      Array([7, 6], dtype=int32)
    """
    slots = advance(queues.heads[streams], places, queues.capacity)
    return queues.slots.at[streams, slots].get(mode="promise_in_bounds")
