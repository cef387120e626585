"""Where a buffer meets a vault: a buffer's state, made plain, and its new steps.

A state is read by its fields (`experience`, `current_index`, `is_full`, and `laps` where it counts), so
every buffer that has them can be flushed: Flashbax's too, replicated or pmapped ones, NumPy ones.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .dtypes import NpArray, as_contiguous, native
from .history import Ring
from .schema import Leaf, Schema
from .tree import Tree, flatten


@dataclass(frozen=True)
class Held:
    """A buffer's state, made plain.

    Attributes:
      ring: what is known of its past.
      streams: `B`, with the axes of replicas folded in.
      leaves: arrays `[..., B, T, ...]`, in the schema's order; those in this process's memory as NumPy.
      axis: the axis of time.
    """

    ring: Ring
    streams: int
    leaves: Sequence[Any]
    axis: int

    def rows(self, leaf: int, first: int, stop: int, *, copy: bool = True) -> NpArray:
        """Gives steps `[first, stop)`, by count, of a leaf: `[B, steps, ...]`, in C order.

        Without `copy` it may be a view of the state's memory, good as long as nobody donates the state.
        """
        values = self.leaves[leaf]
        parts = [_slice(values, self.axis, low, high) for low, high in self.ring.slots(first, stop)]
        if len(parts) > 1:
            rows = np.concatenate(parts, axis=self.axis)
        else:
            rows = parts[0].copy() if copy else parts[0]
        return as_contiguous(rows.reshape(self.streams, stop - first, *rows.shape[self.axis + 1 :]))

    def step_bytes(self, leaf: int, count: int) -> bytes:
        """Gives the bytes of step number `count` of a leaf, of all streams."""
        slot = count % self.ring.capacity
        return _slice(self.leaves[leaf], self.axis, slot, slot + 1).tobytes()


@dataclass(frozen=True)
class _Form:
    """What is the same for all states of a buffer: where the schema's leaves are, and how they lie."""

    order: tuple[int, ...]
    capacity: int
    streams: int
    local: tuple[bool, ...]


class Taker:
    """Takes states apart for one vault; what is the same for all states of a buffer is checked once.

    Args:
      schema: of the vault.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._form: _Form | None = None  # of the last state
        self._like: Any = None

    def hold(self, state: Any) -> Held:
        """Reads a buffer's state.

        Raises:
          TypeError: if it is no buffer state.
          ValueError: if its steps are not those of the vault, or its replicas are at different places.
        """
        import jax

        experience, index, full, laps = _fields(state)
        leaves, treedef = jax.tree_util.tree_flatten(experience)
        axis = index.ndim + 1
        like = (treedef, axis, [x.shape for x in leaves], [x.dtype for x in leaves])
        if self._form is None or like != self._like:
            self._form, self._like = self._check(leaves, treedef, axis), like
        form = self._form
        at = _agreed(index, "current_index")
        added = None if laps is None else _agreed(laps, "laps") * form.capacity + at
        held = form.capacity if _agreed(full, "is_full") else at
        values = [
            np.asarray(leaves[place]) if local else leaves[place]
            for place, local in zip(form.order, form.local, strict=True)
        ]
        return Held(Ring(form.capacity, at, held, added), form.streams, values, axis)

    def _check(self, leaves: Sequence[Any], treedef: Any, axis: int) -> _Form:
        schema = self._schema
        if not all(getattr(leaf, "is_fully_addressable", True) for leaf in leaves):
            raise ValueError(
                "`state` must lie on devices of this process: it is spread over several processes. Let each "
                "write its streams to a part of its own (`Vault.open(…, part=…)`), as docs/devices.md shows."
            )
        order = order_of(treedef, schema)
        for leaf, place in zip(schema.leaves, order, strict=True):
            check_leaf(leaf, leaves[place].dtype, leaves[place].shape[axis + 1 :], "the state")
        streams = math.prod(leaves[0].shape[:axis])
        if streams != schema.streams:
            raise ValueError(
                f"`state` must have the vault's {schema.streams} streams: got {streams}. "
                "A vault for another number of environments is made with `Vault.create(path, like=state)`."
            )
        local = tuple(_is_local(leaves[place]) for place in order)
        return _Form(order, leaves[0].shape[axis], streams, local)


def step_of(state: Any) -> tuple[Any, int]:
    """Gives an abstract step of a state (leaves with shape and dtype) and its number of streams.

    Raises:
      TypeError: if it is no buffer state.
    """
    import jax

    mend = "An example of one step is given as `steps=`, with `streams=`."
    experience, index, _, _ = _fields(state, "like", mend)
    axis = index.ndim + 1
    first = jax.tree_util.tree_leaves(experience)[0]

    def step(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape[axis + 1 :], leaf.dtype)

    return jax.tree_util.tree_map(step, experience), math.prod(first.shape[:axis])


def leaf_of(name: str, value: Any) -> tuple[np.dtype[Any], tuple[int, ...], str | None]:
    """Gives dtype, shape and PRNG implementation of a leaf of one step.

    Raises:
      TypeError: if it is no array.
    """
    prng = prng_of(value)
    if prng is not None:
        import jax

        data = jax.eval_shape(jax.random.key_data, value)
        return np.dtype(np.uint32), tuple(data.shape), prng
    if not hasattr(value, "dtype"):
        value = np.asarray(value)
    dtype = native(value.dtype)
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
    elif not _is_key(dtype) and (leaf.dtype, leaf.shape) == (native(dtype), tuple(shape)):
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


def _fields(
    state: Any,
    name: str = "state",
    mend: str = "Add the steps to a buffer, or write whole episodes with `append`.",
) -> tuple[Any, NpArray, NpArray, NpArray | None]:
    try:
        experience, index, full = state.experience, state.current_index, state.is_full
    except AttributeError:
        raise TypeError(
            f"`{name}` must be a buffer's state, with experience, current_index and is_full: got "
            f"{type(state).__name__}. {mend}"
        ) from None
    laps = getattr(state, "laps", None)
    return experience, np.asarray(index), np.asarray(full), None if laps is None else np.asarray(laps)


def _agreed(values: NpArray, what: str) -> int:
    if not values.ndim:
        return int(values.item())
    first = int(values.flat[0])
    if (values != first).any():
        raise ValueError(
            f"The replicas of `state` must be at the same place: their {what} is {values.tolist()}. "
            "Write each to a vault of its own."
        )
    return first


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


def _is_local(values: Any) -> bool:
    """Says whether an array lies in this process's memory, so that NumPy can look at it in place."""
    if isinstance(values, np.ndarray):
        return True
    if _is_key(values.dtype):
        return False
    devices = values.devices()
    return len(devices) == 1 and next(iter(devices)).platform == "cpu"


def _slice(values: Any, axis: int, low: int, high: int) -> NpArray:
    """Reads a slice along time; a device sends the slice only."""
    if not isinstance(values, np.ndarray) and _by_stream(values, axis):
        return _gathered(values, axis, low, high)
    part = values[(slice(None),) * axis + (slice(low, high),)]
    return part if isinstance(part, np.ndarray) else to_numpy(part)


def _by_stream(values: Any, axis: int) -> bool:
    """Says whether the streams of an array lie on several devices, with all of time on each."""
    if _is_key(values.dtype) or len(values.devices()) == 1:
        return False
    block = values.sharding.shard_shape(values.shape)
    return block[axis:] == values.shape[axis:]


def _gathered(values: Any, axis: int, low: int, high: int) -> NpArray:
    """Reads a slice device by device, without a program that runs on them all."""
    out = np.empty((*values.shape[:axis], high - low, *values.shape[axis + 1 :]), values.dtype)
    along = (slice(None),) * axis + (slice(low, high),)
    for part in values.addressable_shards:
        if part.replica_id == 0:
            block = np.asarray(part.data) if _is_local(part.data) else part.data
            out[part.index[:axis]] = np.asarray(block[along])
    return out


def _is_key(dtype: Any) -> bool:
    return dtype is not None and type(dtype).__name__ == "KeyTy"


def prng_of(value: Any) -> str | None:
    """Gives the name of the implementation of PRNG keys, or None where it is something else."""
    dtype: Any = getattr(value, "dtype", None)
    return dtype._impl.name if _is_key(dtype) else None  # noqa: SLF001 - the name is public nowhere else
