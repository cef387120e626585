"""Where a vault meets a buffer: a sampling-ready state made of a vault's steps.

A step lies where the ring would have put it, step `t` in slot `t % T`, and the state counts as many steps as
the vault holds: so a ring that was loaded from a vault's end goes on with it when it is flushed again.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .committed import Committed
from .dtypes import NpArray
from .history import Ring
from .schema import Leaf, Schema
from .states import order_of
from .store import aligned_empty

_INT32 = np.iinfo(np.int32)


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
    _check_jax(schema, wanted.names(schema))
    example = _hang(schema, [_abstract(schema.leaf(name)) for name in wanted.names(schema)], wanted)
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
        return jax.jit(buffer.index)(_uniform(experience, ring), starts=starts, ends=ends)
    return _filled(template, experience, ring)


def load_trajectory(snapshot: Committed, wanted: Wanted) -> Any:
    """Makes the state that Flashbax's `Vault.read` gives: full, with its next step in slot 0."""
    import jax.numpy as jnp

    from ..buffer.trajectory_buffer import TrajectoryBufferState

    steps = wanted.stop - wanted.start
    _check_jax(snapshot.schema, wanted.names(snapshot.schema))
    return TrajectoryBufferState(
        experience=_experience(snapshot, Ring(steps, 0, steps, steps), wanted),
        current_index=jnp.asarray(0, jnp.int32),
        is_full=jnp.asarray(steps > 0),
        laps=jnp.asarray(int(steps > 0), jnp.int32),
    )


def _experience(snapshot: Committed, ring: Ring, wanted: Wanted) -> Any:
    """Reads the steps into the ring's slots and moves them to the device."""
    schema = snapshot.schema
    leaves = [schema.leaf(name) for name in wanted.names(schema)]
    shapes = {leaf.name: (schema.streams, ring.capacity, *leaf.shape) for leaf in leaves}
    arrays = {leaf.name: aligned_empty(shapes[leaf.name], leaf.dtype) for leaf in leaves}
    row = wanted.start
    for low, high in ring.slots(ring.count - ring.held, ring.count):
        parts = {name: values[:, low:high] for name, values in arrays.items()}
        snapshot.read_leaves(tuple(parts), row, row + high - low, outs=parts)
        row += high - low
    if ring.held < ring.capacity:
        for values in arrays.values():
            values[:, ring.held :] = np.zeros((), values.dtype)
    return _hang(schema, _to_device(schema, arrays, wanted.device), wanted)


def _uniform(experience: Any, ring: Ring) -> Any:
    """The state of a trajectory buffer."""
    import jax.numpy as jnp

    from ..buffer.trajectory_buffer import TrajectoryBufferState

    return TrajectoryBufferState(
        experience=experience,
        current_index=jnp.asarray(ring.index, jnp.int32),
        is_full=jnp.asarray(ring.held == ring.capacity),
        laps=jnp.asarray(ring.count // ring.capacity, jnp.int32),
    )


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


def _filled(template: Any, experience: Any, ring: Ring) -> Any:
    import jax
    import jax.numpy as jnp

    full = ring.held == ring.capacity
    fields: dict[str, Any] = {
        "experience": experience,
        "current_index": jnp.asarray(ring.index, jnp.int32),
        "is_full": jnp.asarray(full),
    }
    if getattr(template, "laps", None) is not None:
        fields["laps"] = jnp.asarray(ring.count // ring.capacity, jnp.int32)
    state = template.replace(**fields)
    abstract = [x for x in jax.tree_util.tree_leaves(state) if isinstance(x, jax.ShapeDtypeStruct)]
    if abstract:
        raise TypeError(
            f"`buffer` must be a uniform buffer (trajectory, flat or item): the state {type(state).__name__} "
            f"has {len(abstract)} arrays that the vault does not hold."
        )
    return state


def _to_device(schema: Schema, leaves: Mapping[str, NpArray], device: Any) -> list[Any]:
    """Moves NumPy leaves to a device; on a CPU an aligned leaf is taken over without a copy.

    Raises:
      TypeError: for a leaf that JAX cannot hold.
      ValueError: for integers that do not fit 32 bits while JAX runs without 64.
    """
    import jax

    narrowed = (
        [n for n, v in leaves.items() if jax.dtypes.canonicalize_dtype(v.dtype) != v.dtype] if leaves else []
    )
    for name in narrowed:
        values = leaves[name]
        if (
            values.dtype.kind in "iu"
            and values.size
            and not _INT32.min <= values.min() <= values.max() <= _INT32.max
        ):
            raise ValueError(
                f"The leaf {name!r} is {values.dtype} and does not fit the 32 bits that JAX runs with. "
                "Set `jax.config.update('jax_enable_x64', True)`, or leave it out with `leaves=`."
            )
    if narrowed:
        warnings.warn(
            f"The leaves {narrowed} have 64 bits and JAX runs with 32: they are narrowed. Set "
            "`jax.config.update('jax_enable_x64', True)` to keep them, or read them with `read_numpy`.",
            UserWarning,
            stacklevel=6,
        )
    moved: list[Any] = []
    for name, values in leaves.items():
        prng = schema.leaf(name).prng
        array = jax.device_put(values, device)
        moved.append(jax.random.wrap_key_data(array, impl=prng) if prng else array)
    return moved


def _check_jax(schema: Schema, names: Sequence[str]) -> None:
    """Checks that JAX can hold the leaves.

    Raises:
      TypeError: naming those it cannot.
    """
    wrong = [name for name in names if schema.leaf(name).dtype.kind in "SUmM"]
    if wrong:
        raise TypeError(
            f"JAX cannot hold the leaves {wrong}: they are strings or datetimes. Leave them out with "
            "`leaves=`, or read them with `read_numpy`."
        )


def _hang(schema: Schema, values: list[Any], wanted: Wanted) -> Any:
    """Hangs values, in the order of the names, in the containers that are known."""
    if wanted.leaves is not None:
        return dict(zip(wanted.leaves, values, strict=True))
    if wanted.treedef is None:
        return schema.tree.rebuild(values)
    import jax

    order = order_of(wanted.treedef, schema)
    placed = [values[order.index(place)] for place in range(len(values))]
    return jax.tree_util.tree_unflatten(wanted.treedef, placed)


def _abstract(leaf: Leaf) -> Any:
    import jax

    if leaf.prng is not None:
        return jax.eval_shape(lambda: jax.random.key(0, impl=leaf.prng))
    return jax.ShapeDtypeStruct(leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype))
