"""Where a vault meets a buffer: a sampling-ready state made of a vault's steps.

A step lies where the ring would have put it, step `t` in slot `t % T`, and the state counts as many steps as
the vault holds: so a ring that was loaded from a vault's end goes on with it when it is flushed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .committed import Committed
from .dtypes import NpArray
from .history import Ring
from .placement import abstract, box_of, check_jax, hang, replicated, to_device
from .schema import Schema
from .store import aligned_empty


@dataclass(frozen=True)
class Wanted:
    """What to load, and in what form.

    Attributes:
      start: first step.
      stop: after the last step.
      leaves: names of leaves, or None for all.
      device: a JAX device or sharding, or None for JAX's default.
      treedef: the containers to hang leaves in, or None for plain ones.
    """

    start: int
    stop: int
    leaves: Sequence[str] | None
    device: Any
    treedef: Any

    def names(self, schema: Schema) -> tuple[str, ...]:
        """Names of the leaves to load."""
        return schema.names if self.leaves is None else tuple(self.leaves)


def load_buffer(snapshot: Committed, buffer: Any, wanted: Wanted) -> Any:
    """Makes the state of a uniform buffer, or of one that makes its own of a uniform's; see `Vault.load`.

    Raises:
      TypeError: if `buffer` is none, or JAX cannot hold a leaf.
      ValueError: if integers do not fit the 32 bits that JAX runs with.
    """
    import jax

    schema = snapshot.schema
    names = wanted.names(schema)
    check_jax(schema, names)
    example = hang(schema, [abstract(schema.leaf(name)) for name in names], wanted.treedef, wanted.leaves)
    if not callable(getattr(buffer, "init", None)):
        raise TypeError(
            f"`buffer` must be a buffer, as `make_flat_buffer` makes it: got {type(buffer).__name__}."
        )
    template = jax.eval_shape(buffer.init, example)
    if not all(hasattr(template, name) for name in ("experience", "current_index", "is_full", "replace")):
        raise TypeError(
            "`buffer` must make states with experience, current_index and is_full: its `init` gives "
            f"{type(template).__name__}."
        )
    steps = wanted.stop - wanted.start
    capacity = max(steps, jax.tree_util.tree_leaves(template.experience)[0].shape[1], 1)
    at_end = wanted.stop == snapshot.state.length and steps in (capacity, wanted.stop)
    count = wanted.stop if at_end else steps
    ring = Ring(capacity, count % capacity, steps, count)
    experience = _experience(snapshot, ring, wanted)
    if callable(getattr(buffer, "index", None)):
        starts, ends = _bounds(snapshot, ring, wanted)
        return jax.jit(buffer.index)(_uniform(experience, ring, wanted), starts=starts, ends=ends)
    return _filled(template, experience, ring, wanted)


def load_trajectory(snapshot: Committed, wanted: Wanted) -> Any:
    """Makes the state that Flashbax's `Vault.read` gives: full, with its next step in slot 0."""
    from ..buffer.trajectory_buffer import TrajectoryBufferState

    steps = wanted.stop - wanted.start
    check_jax(snapshot.schema, wanted.names(snapshot.schema))
    ring = Ring(steps, 0, steps, steps)
    cursor = _cursor(0, steps > 0, int(steps > 0), wanted)
    return TrajectoryBufferState(experience=_experience(snapshot, ring, wanted), **cursor)


def _experience(snapshot: Committed, ring: Ring, wanted: Wanted) -> Any:
    """Reads what this process needs of the steps into the ring's slots, and moves it to the devices."""
    schema = snapshot.schema
    leaves = [schema.leaf(name) for name in wanted.names(schema)]
    box = box_of(wanted.device, (schema.streams, ring.capacity))
    (first, last), (begin, end) = box.first, box.second
    shape = (last - first, end - begin)
    arrays = {leaf.name: aligned_empty((*shape, *leaf.shape), leaf.dtype) for leaf in leaves}
    row = wanted.start
    for low, high in ring.slots(ring.count - ring.held, ring.count):
        start, stop = max(low, begin), min(high, end)
        if start < stop:
            parts = {name: values[:, start - begin : stop - begin] for name, values in arrays.items()}
            at = row + start - low
            snapshot.read_leaves(tuple(parts), at, at + stop - start, slice(first, last), outs=parts)
        row += high - low
    if ring.held < end:
        for values in arrays.values():
            values[:, max(0, ring.held - begin) :] = np.zeros((), values.dtype)
    return hang(schema, to_device(schema, arrays, wanted.device, box), wanted.treedef, wanted.leaves)


def _uniform(experience: Any, ring: Ring, wanted: Wanted) -> Any:
    """The state of a trajectory buffer."""
    from ..buffer.trajectory_buffer import TrajectoryBufferState

    cursor = _cursor(ring.index, ring.held == ring.capacity, ring.count // ring.capacity, wanted)
    return TrajectoryBufferState(experience=experience, **cursor)


def _cursor(index: int, full: bool, laps: int, wanted: Wanted) -> dict[str, Any]:
    """Where a ring stands, on every device that the steps lie on."""
    import jax.numpy as jnp

    fields = {
        "current_index": jnp.asarray(index, jnp.int32),
        "is_full": jnp.asarray(full),
        "laps": jnp.asarray(laps, jnp.int32),
    }
    return {name: replicated(value, wanted.device) for name, value in fields.items()}


def _bounds(snapshot: Committed, ring: Ring, wanted: Wanted) -> tuple[NpArray, NpArray]:
    """Where the vault's episodes begin and end, by slot, bool `[B, C]` each, whatever the flags say."""
    shape = (snapshot.schema.streams, ring.capacity)
    starts, ends = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    ended, runs = snapshot.episodes(), snapshot.running()
    marks = (
        (starts, ended, ended["start"]),
        (starts, runs, runs["start"]),
        (ends, ended, ended["start"] + ended["length"] - 1),
    )
    for out, table, row in marks:
        held = (row >= wanted.start) & (row < wanted.stop) & (table["length"] > 0)
        time = row[held] - wanted.start + ring.count - ring.held
        out[table["stream"][held], time % ring.capacity] = True
    return starts, ends


def _filled(template: Any, experience: Any, ring: Ring, wanted: Wanted) -> Any:
    import jax

    fields = _cursor(ring.index, ring.held == ring.capacity, ring.count // ring.capacity, wanted)
    fields["experience"] = experience
    if getattr(template, "laps", None) is None:
        del fields["laps"]
    state = template.replace(**fields)
    abstract = [x for x in jax.tree_util.tree_leaves(state) if isinstance(x, jax.ShapeDtypeStruct)]
    if abstract:
        raise TypeError(
            f"`buffer` must be a uniform buffer (trajectory, flat or item): the state {type(state).__name__} "
            f"has {len(abstract)} arrays that the vault does not hold."
        )
    return state
