"""A ring of steps: the storage that every buffer stands on.

Every leaf is laid out `[B, C, ...]`: `B` streams side by side, `C` slots a stream.
Step `t` of a stream lies in slot `t % C`, so a write never moves what is there.
The ring counts its laps, so it knows how many steps it was ever given, not only what it holds.

Letters: `B` streams, `C` capacity in steps, `T` steps, `N` batch, `W` window in steps.
"""

from dataclasses import dataclass
from typing import Any, Generic

import jax
import jax.numpy as jnp
from jax import Array

from .layout import AS_STORED, Step


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Ring(Generic[Step]):
    """The newest `C` steps of each of `B` streams, which advance together.

    Attributes:
      steps: leaves `[B, C, ...]`; slots that were never written hold zeros.
      cursor: int32 `[]`, the slot that the next step goes to.
      full: bool `[]`, whether every slot has been written.
      laps: int32 `[]`, how often the cursor came round to slot 0; None where nobody counted.
        Every stream was ever given `laps * C + cursor` steps.
    """

    steps: Step
    cursor: Array
    full: Array
    laps: Array | None = None

    @property
    def streams(self) -> int:
        """`B`, the number of streams."""
        return _extent(self.steps)[0]

    @property
    def capacity(self) -> int:
        """`C`, in steps a stream."""
        return _extent(self.steps)[1]

    @property
    def held(self) -> Array:
        """How many steps each stream holds, int32 `[]`."""
        capacity = self.capacity
        return jnp.where(self.full, capacity, jnp.minimum(_int32(self.cursor), capacity))

    @property
    def oldest(self) -> Array:
        """The slot of the oldest step held, int32 `[]`."""
        return jnp.where(self.full, _slot(self), 0)


def init(step: Step, streams: int, capacity: int) -> Ring[Step]:
    """Makes an empty ring.

    Args:
      step: one step; only shapes and dtypes are used.
      streams: `B`.
      capacity: `C`, in steps a stream.

    Returns:
      A ring of zeros.

    Example:
      >>> init({"reward": 0.0}, streams=2, capacity=3).steps["reward"].shape
      (2, 3)
    """

    def slots(leaf: Any) -> Array:
        return jnp.zeros((streams, capacity, *jnp.shape(leaf)), jnp.result_type(leaf))

    return Ring(
        steps=jax.tree.map(slots, step),
        cursor=jnp.zeros((), jnp.int32),
        full=jnp.zeros((), bool),
        laps=jnp.zeros((), jnp.int32),
    )


def append(ring: Ring[Step], steps: Step) -> Ring[Step]:
    """Returns the ring with `T` more steps on every stream; the oldest make room.

    Args:
      ring: leaves `[B, C, ...]`. Donate it, and the write is in place.
      steps: leaves `[B, T, ...]`, `T <= C`.

    Raises:
      BatchMismatchError: if `T > C`, or structure, dtypes or shapes differ from the ring's.

    Example:
      >>> ring = init(jnp.zeros((), jnp.int32), streams=1, capacity=4)
      >>> append(ring, jnp.arange(6)[None, :3]).steps
      Array([[0, 1, 2, 0]], dtype=int32)
    """
    steps = AS_STORED.steps(steps, ring.steps)
    length = _extent(steps)[1]
    slot = _slot(ring)
    came_round = length >= ring.capacity - slot

    def write(slots: Any, new: Array) -> Array:
        return _write(slots, new, slot)

    return Ring(
        steps=jax.tree.map(write, ring.steps, steps),
        cursor=advance(slot, length, ring.capacity).astype(jnp.asarray(ring.cursor).dtype),
        full=ring.full | came_round,
        laps=None if ring.laps is None else _int32(ring.laps) + _int32(came_round),
    )


def gather(ring: Ring[Step], streams: Array, starts: Array, length: int) -> Step:
    """Reads windows of consecutive slots, going round the end of the ring.

    Args:
      ring: leaves `[B, C, ...]`.
      streams: int `[N]`, each in `[0, B)`: the stream of each window.
      starts: int `[N]`, each in `[0, C)`: the slot of its first step.
      length: `W`, in steps.

    Returns:
      Leaves `[N, W, ...]`.

    Example:
      >>> ring = append(init(jnp.zeros((), jnp.int32), 1, 4), jnp.arange(4)[None])
      >>> gather(ring, jnp.zeros(2, jnp.int32), jnp.array([0, 3]), length=2)
      Array([[0, 1],
             [3, 0]], dtype=int32)
    """
    # A window longer than the ring goes round more than once; `advance` takes one lap at most.
    offsets = jnp.arange(length, dtype=jnp.int32) % ring.capacity
    slots = advance(starts[:, None], offsets[None], ring.capacity)

    def windows(leaf: Any) -> Array:
        # One gather of whole steps. Every index is in bounds by construction, so none is checked.
        return jnp.asarray(leaf).at[streams[:, None], slots].get(mode="promise_in_bounds")

    return jax.tree.map(windows, ring.steps)


def advance(slot: Array, by: Array | int, capacity: int) -> Array:
    """Returns the slot that lies `by` steps on, `0 <= by <= C`.

    It compares instead of dividing, which is cheaper, and the sum cannot overflow near `2**31`.

    Args:
      slot: int32, each in `[0, C)`.
      by: int32, each in `[0, C]`, in steps.
      capacity: `C`.

    Example:
      >>> advance(jnp.array([0, 3]), 2, capacity=4)
      Array([2, 1], dtype=int32)
    """
    left = capacity - slot
    return jnp.where(by < left, slot + by, by - left)


def _write(slots: Any, new: Array, slot: Array) -> Array:
    """Writes `[B, T, ...]` into `[B, C, ...]` from `slot` on, going round the end."""
    slots = jnp.asarray(slots)
    streams, length = new.shape[:2]
    # A pair (stream, slot) for each step: XLA then copies whole steps, where one index for a
    # column of all streams makes it transpose (measured 2 to 6 times slower with many streams).
    # For one step, too: a slice that is updated XLA fuses into the gathers of a sample, which then
    # read the old ring, and a loop that adds and samples copies every leaf (8 times slower).
    rows = jnp.arange(streams, dtype=jnp.int32)[:, None]
    columns = advance(slot, jnp.arange(length, dtype=jnp.int32), slots.shape[1])[None]
    return slots.at[rows, columns].set(new, mode="promise_in_bounds", unique_indices=True)


def _slot(ring: Ring[Any]) -> Array:
    """The cursor, brought into `[0, C)` because hand-built states may stand at `C`."""
    return _int32(ring.cursor) % jnp.int32(ring.capacity)


def _int32(value: Any) -> Array:
    return jnp.asarray(value).astype(jnp.int32)


def _extent(steps: Any) -> tuple[int, int]:
    """The leading axes `(B, C)` that all leaves share."""
    shapes = [jnp.shape(leaf)[:2] for leaf in jax.tree.leaves(steps)]
    if not shapes or len(shapes[0]) < 2 or any(shape != shapes[0] for shape in shapes):
        raise ValueError(
            "`experience` must hold at least one array, and all must share their two leading axes "
            f"[streams, steps]: got {shapes}. Lay every leaf out `[B, T, ...]`."
        )
    streams, length = shapes[0]
    return streams, length
