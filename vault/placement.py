"""Where leaves go: NumPy arrays onto a device or over a mesh, into the containers of a step.

A sharding may span the devices of several processes. Then each process has, and reads, only the box of an
array that its own devices hold, and together they make one global array.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .dtypes import NpArray
from .schema import Leaf, Schema
from .states import order_of

_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class Box:
    """What this process needs of arrays that agree in their first two axes.

    Attributes:
      shape: of these axes.
      first: of the first axis, from and to.
      second: of the second.
    """

    shape: tuple[int, int]
    first: tuple[int, int]
    second: tuple[int, int]

    @property
    def whole(self) -> bool:
        """Whether that is everything."""
        return (self.first, self.second) == ((0, self.shape[0]), (0, self.shape[1]))

    def inside(self, index: tuple[slice, ...] | None) -> tuple[slice, ...]:
        """Gives where a part of a global array lies in the box."""
        index = index or ()
        bounds = zip(self.shape, (self.first, self.second), strict=True)
        moved: list[slice] = []
        for one, (size, (begin, _)) in zip(index, bounds, strict=False):
            low, high, _ = one.indices(size)
            moved.append(slice(low - begin, high - begin))
        return (*moved, *index[2:])


def box_of(device: Any, shape: tuple[int, int]) -> Box:
    """Finds what this process needs of arrays on a device or of a sharding.

    Args:
      device: a JAX device or sharding, or None.
      shape: of the arrays' first two axes.

    Raises:
      ValueError: if a sharding does not divide them.

    Example:
      >>> box_of(None, (4, 9)).whole
      True
    """
    import jax

    if isinstance(device, jax.sharding.Sharding):
        try:
            device.shard_shape(shape)
        except ValueError as error:
            raise ValueError(
                f"`device` must divide the first axes of the arrays, {list(shape)}: {error}. Streams can be "
                "laid over as many devices as divide their number; a view is one stream."
            ) from None
    if not isinstance(device, jax.sharding.Sharding) or device.is_fully_addressable:
        return Box(shape, (0, shape[0]), (0, shape[1]))
    held = list(device.addressable_devices_indices_map(shape).values())
    spans: list[tuple[int, int]] = []
    for axis, size in enumerate(shape):
        ends = [index[axis].indices(size) for index in held if index is not None]
        spans.append((min(low for low, _, _ in ends), max(high for _, high, _ in ends)))
    return Box(shape, *spans)


def replicated(value: Any, device: Any) -> Any:
    """Puts a small value beside arrays that lie on a device or over a mesh: on each device of it.

    Args:
      value: a JAX or NumPy value, the same on all processes.
      device: a JAX device or sharding, or None.
    """
    import jax

    if not isinstance(device, jax.sharding.NamedSharding):
        return value
    return jax.device_put(np.asarray(value), device.update(spec=jax.sharding.PartitionSpec()))


def put(values: NpArray, device: Any, box: Box) -> Any:
    """Moves what a box has of an array to the devices; on a CPU an aligned array is taken without a copy.

    Args:
      values: what the box has.
      device: a JAX device or sharding, or None.
      box: what of the array it is.
    """
    import jax

    if box.whole:
        return jax.device_put(values, device)
    narrow = values.astype(jax.dtypes.canonicalize_dtype(values.dtype), copy=False)
    shape = (*box.shape[: values.ndim], *values.shape[2:])
    return jax.make_array_from_callback(shape, device, lambda index: narrow[box.inside(index)])


def to_device(schema: Schema, leaves: Mapping[str, NpArray], device: Any, box: Box) -> list[Any]:
    """Moves leaves to the devices.

    Raises:
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
        array = put(values, device, box)
        moved.append(jax.random.wrap_key_data(array, impl=prng) if prng else array)
    return moved


def check_jax(schema: Schema, names: Sequence[str]) -> None:
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


def hang(schema: Schema, values: Sequence[Any], treedef: Any, leaves: Sequence[str] | None = None) -> Any:
    """Hangs one value a leaf in the containers that are known.

    Args:
      schema: of the vault.
      values: in the order of the schema, or of `leaves`.
      treedef: the containers of a step as JAX knows them, or None for plain ones.
      leaves: names of some leaves, which then come as a dict by name; None for all.
    """
    if leaves is not None:
        return dict(zip(leaves, values, strict=True))
    if treedef is None:
        return schema.tree.rebuild(list(values))
    import jax

    order = order_of(treedef, schema)
    return jax.tree_util.tree_unflatten(treedef, [values[order.index(n)] for n in range(len(values))])


def abstract(leaf: Leaf) -> Any:
    """Gives a leaf of one step as JAX would hold it, without its values."""
    import jax

    if leaf.prng is not None:
        return jax.eval_shape(lambda: jax.random.key(0, impl=leaf.prng))
    return jax.ShapeDtypeStruct(leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype))
