"""Where a buffer meets a vault: a buffer's state, made plain, and its new steps.

A state is read by its fields (`experience`, `current_index`, `is_full`, and `laps` where it counts), so
every buffer that has them can be flushed: Flashbax's too, replicated or pmapped ones, NumPy ones.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .dtypes import NpArray, as_contiguous
from .history import Ring
from .schema import Leaf, Schema
from .tree import Tree, flatten


@dataclass(frozen=True)
class Held:
    """A buffer's state, made plain.

    Attributes:
      ring: what is known of its past.
      streams: `B`, with the axes of replicas folded in.
      leaves: arrays `[..., B, T, ...]`, in the schema's order.
      axis: the axis of time.
    """

    ring: Ring
    streams: int
    leaves: Sequence[Any]
    axis: int

    def rows(self, leaf: int, first: int, stop: int) -> NpArray:
        """Copies steps `[first, stop)`, by count, of a leaf: `[B, steps, ...]`, in C order."""
        values = self.leaves[leaf]
        parts = [_slice(values, self.axis, low, high) for low, high in self.ring.slots(first, stop)]
        rows = np.concatenate(parts, axis=self.axis) if len(parts) > 1 else np.array(parts[0], order="C")
        return as_contiguous(rows.reshape(self.streams, stop - first, *rows.shape[self.axis + 1 :]))


def hold(state: Any, schema: Schema) -> Held:
    """Reads a buffer's state for a vault.

    Raises:
      TypeError: if it is no buffer state.
      ValueError: if its steps are not those of the vault, or its replicas are at different places.
    """
    ring, axis = _ring(state)
    leaves = _in_order(state.experience, schema)
    streams = int(np.prod(leaves[0].shape[:axis], dtype=np.int64))
    for leaf, values in zip(schema.leaves, leaves, strict=True):
        check_leaf(leaf, values.dtype, values.shape[axis + 1 :], "the state")
    if streams != schema.streams:
        raise ValueError(
            f"`state` must have the vault's {schema.streams} streams: got {streams}. "
            "A vault for another number of environments is made with `Vault.create(path, like=state)`."
        )
    return Held(ring, streams, leaves, axis)


def step_of(state: Any) -> tuple[Any, int]:
    """Gives an abstract step of a state (leaves with shape and dtype) and its number of streams."""
    import jax

    ring, axis = _ring(state)
    del ring
    first = jax.tree_util.tree_leaves(state.experience)[0]

    def step(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape[axis + 1 :], leaf.dtype)

    return jax.tree_util.tree_map(step, state.experience), int(np.prod(first.shape[:axis], dtype=np.int64))


def leaf_of(name: str, value: Any) -> tuple[np.dtype[Any], tuple[int, ...], str | None]:
    """Gives dtype, shape and PRNG implementation of a leaf of one step.

    Raises:
      TypeError: if it is no array.
    """
    prng = _prng(value)
    if prng is not None:
        import jax

        data = jax.eval_shape(jax.random.key_data, value)
        return np.dtype(np.uint32), tuple(data.shape), prng
    if not hasattr(value, "dtype"):
        value = np.asarray(value)
    dtype = np.dtype(value.dtype).newbyteorder("=")
    if dtype.kind == "O":
        raise TypeError(
            f"`steps` must hold arrays: the leaf {name!r} is a {type(value).__name__} of objects."
        )
    return dtype, tuple(value.shape), None


def check_leaf(leaf: Leaf, dtype: Any, shape: Sequence[int], what: str) -> None:
    """Checks that steps of a leaf fit the vault.

    Raises:
      ValueError: saying what was wanted, what came and the mend.
    """
    if leaf.prng is not None:
        if _is_key(dtype):
            return
    elif not _is_key(dtype) and (leaf.dtype, leaf.shape) == (dtype, tuple(shape)):
        return
    raise ValueError(
        f"The leaf {leaf.name!r} of {what} must be {leaf.dtype} {list(leaf.shape)} a step, as in the vault: "
        f"got {dtype} {list(shape)}. Convert it, or make a vault with `like=` this state."
    )


def to_numpy(values: Any) -> NpArray:
    """Gives a leaf as NumPy, PRNG keys as their data."""
    if _is_key(getattr(values, "dtype", None)):
        import jax

        values = jax.random.key_data(values)
    return np.asarray(values)


def _ring(state: Any) -> tuple[Ring, int]:
    import jax

    try:
        experience, index, full = (
            state.experience,
            np.asarray(state.current_index),
            np.asarray(state.is_full),
        )
    except AttributeError:
        raise TypeError(
            "`state` must be a buffer's state, with experience, current_index and is_full: got "
            f"{type(state).__name__}."
        ) from None
    axis = index.ndim + 1
    capacity = jax.tree_util.tree_leaves(experience)[0].shape[axis]
    at, is_full = _agreed(index, "current_index"), bool(_agreed(full, "is_full"))
    laps = getattr(state, "laps", None)
    added = None if laps is None else _agreed(np.asarray(laps), "laps") * capacity + at
    return Ring(capacity, at, capacity if is_full else at, added), axis


def _agreed(values: NpArray, what: str) -> int:
    first = int(values.flat[0])
    if values.ndim and (values != first).any():
        raise ValueError(
            f"The replicas of `state` must be at the same place: their {what} is {values.tolist()}. "
            "Write each to a vault of its own."
        )
    return first


def _in_order(experience: Any, schema: Schema) -> list[Any]:
    import jax

    leaves, treedef = jax.tree_util.tree_flatten(experience)
    order = _order(treedef, schema.names)
    return [leaves[place] for place in order]


@functools.lru_cache(maxsize=64)
def _order(treedef: Any, names: tuple[str, ...]) -> tuple[int, ...]:
    import jax

    tree = _names(jax.tree_util.tree_unflatten(treedef, list(range(treedef.num_leaves))))
    if sorted(tree.names) != sorted(names):
        missing, unknown = (
            sorted(set(names) - set(tree.names)),
            sorted(set(tree.names) - set(names)),
        )
        raise ValueError(
            f"The steps must have the vault's leaves {list(names)}: missing {missing}, not in the vault "
            f"{unknown}. A vault for these steps is made with `Vault.create`."
        )
    return tuple(tree.names.index(name) for name in names)


def order_of(treedef: Any, schema: Schema) -> tuple[int, ...]:
    """Gives the place of each of the schema's leaves in a pytree's flattening order.

    Raises:
      ValueError: if the leaves are not the vault's.
    """
    return _order(treedef, schema.names)


def _names(tree: Any) -> Tree:
    return flatten(tree)[1]


def _slice(values: Any, axis: int, low: int, high: int) -> NpArray:
    """Reads a slice along time. A CPU's memory is looked at in place; other devices send the slice only."""
    place = (slice(None),) * axis + (slice(low, high),)
    if isinstance(values, np.ndarray):
        return values[place]
    if _is_key(values.dtype):
        return to_numpy(values[place])
    devices = values.devices()
    if len(devices) == 1 and next(iter(devices)).platform == "cpu":
        return np.asarray(values)[place]
    return np.asarray(values[place])


def _is_key(dtype: Any) -> bool:
    return dtype is not None and type(dtype).__name__ == "KeyTy"


def _prng(value: Any) -> str | None:
    dtype: Any = getattr(value, "dtype", None)
    return dtype._impl.name if _is_key(dtype) else None  # noqa: SLF001 - the name is public nowhere else
