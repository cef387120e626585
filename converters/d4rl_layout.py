"""How one D4RL file is laid out: which of its keys are leaves, and how its episodes end.

D4RL's files are one flat HDF5 file each, one row a step, episodes end to end. The families differ
in their keys, dtypes and flags; a `Layout` says what holds for this file, before any row is read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.attachments import can_attach
from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from ..vault.tree import component
from . import hdf5
from .d4rl_chunks import nodes
from .json_arrays import to_json

NAME = "d4rl"
REQUIRED = ("observations", "actions", "rewards", "terminals")
LEAVES = {
    "observations": "observation",
    "actions": "action",
    "rewards": "reward",
    "terminals": "terminated",
    "timeouts": "truncated",
    "next_observations": "next_observation",
}
FLAGS = ("terminals", "timeouts")
SCALARS = ("rewards", *FLAGS)  # one number a step, though some files write them as `[N, 1]`
METADATA = "metadata"
_GROUPS = ("observations", "actions", "next_observations")  # may be groups of columns, too


def leaf_of(key: str) -> str:
    """Names the leaf of a key.

    Example:
      >>> leaf_of("rewards"), leaf_of("infos/qpos"), leaf_of("observations/image")
      ('reward', 'infos/qpos', 'observation/image')
    """
    top, *rest = key.split("/")
    name = LEAVES[top] if top in LEAVES and (not rest or top in _GROUPS) else component(top)
    return "/".join([name, *map(component, rest)])


@dataclass(frozen=True)
class Column:
    """A key of the file with one row a step.

    Attributes:
      key: its name in the file.
      name: the leaf that it becomes.
      dtype: of the leaf; flags become bool.
      shape: of one step; `[N, 1]` rewards and flags lose the 1.
    """

    key: str
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """What holds for one file.

    Attributes:
      path: of the file.
      num_steps: rows of the file.
      columns: all keys with one row a step.
      attributes: JSON of the keys that have no row a step, by key; numbers and texts.
      arrays: the same keys where they are arrays.
      keys: JSON: dtype and shape of every key of the file, and the leaf that it becomes, if any.
      chunk: the only one that is read of a chunked file, or None.
    """

    path: Path
    num_steps: int
    columns: tuple[Column, ...]
    attributes: Mapping[str, Any]
    arrays: Mapping[str, NpArray]
    keys: Mapping[str, Any]
    chunk: int | None = None

    def nodes(self, file: Any) -> dict[str, Any]:
        """Returns what the keys of the open file hold."""
        return nodes(file, self.chunk)

    def column(self, key: str) -> Column | None:
        """Returns the column of a key, or None."""
        return next((column for column in self.columns if column.key == key), None)

    @property
    def next_is_derivable(self) -> bool:
        """Whether stored next observations could be the observations one row on."""
        rows, following = self.column("observations"), self.column("next_observations")
        alike = rows and following and (rows.dtype, rows.shape) == (following.dtype, following.shape)
        return bool(alike)


def layout_of(path: Path, skip: Iterable[str] = (), chunk: int | None = None) -> Layout:
    """Returns the layout of a file, having looked at its keys only.

    Args:
      path: of the file.
      skip: keys, or groups of keys, to leave out.
      chunk: the only one to read of a chunked file.

    Raises:
      FormatError: if the file is not laid out as D4RL's are.
      ValueError: if `skip` or `chunk` does not fit the file.

    Example:
      >>> import h5py
      >>> with h5py.File("tiny.hdf5", "w") as file:
      ...     for key in ("rewards", "terminals", "timeouts"):
      ...         file[key] = np.zeros((4, 1))
      ...     file["observations"], file["actions"] = np.zeros((4, 3)), np.zeros((4, 2))
      >>> layout = layout_of(Path("tiny.hdf5"))
      >>> [column.name for column in layout.columns if column.shape == ()]
      ['reward', 'terminated', 'truncated']
    """
    with hdf5.open_hdf5(path) as file:
        found = nodes(file, chunk)
        kept = _leave_out(found, tuple(skip), path)
        num_steps = _count_rows(kept, path)
        rows = {key: node for key, node in kept.items() if not _is_attribute(key, node)}
        columns = tuple(_column(key, node, num_steps, path) for key, node in rows.items())
        rest = {k: hdf5.read(_plain(k, node, path)) for k, node in kept.items() if k not in rows}
        keys: dict[str, dict[str, Any]] = {
            k: {"dtype": v.dtype.str, "shape": list(v.shape)} for k, v in found.items()
        }
    for column in columns:
        keys[column.key]["leaf"] = column.name
    arrays = {k: values for k, values in rest.items() if values.ndim and can_attach(values.dtype)}
    attributes = {k: to_json(values) for k, values in rest.items() if k not in arrays}
    return Layout(path, num_steps, columns, attributes, arrays, keys, chunk)


def _leave_out(found: Mapping[str, Any], skip: tuple[str, ...], path: Path) -> dict[str, Any]:
    for name in skip:
        if name in REQUIRED or not any(_below(key, name) for key in found):
            raise ValueError(
                f"`skip` must name keys of {path} that can be spared; got {name!r}. "
                f"It has {', '.join(found)}, of which {', '.join(REQUIRED)} are needed."
            )
    return {k: v for k, v in found.items() if not any(_below(k, name) for name in skip)}


def _below(key: str, name: str) -> bool:
    return key == name or key.startswith(name + "/")


def _is_attribute(key: str, node: Any) -> bool:
    # By name, not by length: a file of 256 rows has policy weights of 256 rows too.
    return _below(key, METADATA) or node.ndim == 0


def _count_rows(found: Mapping[str, Any], path: Path) -> int:
    missing = [key for key in REQUIRED if not _columns_of(found, key)]
    if missing:
        raise FormatError(
            f"A D4RL file has the keys {', '.join(REQUIRED)}, one row a step; {path} has no "
            f"`{missing[0]}`. It has {', '.join(found) or 'no keys at all'}."
        )
    count = _columns_of(found, "observations")[0].shape[0]
    if count == 0:
        raise FormatError(f"`observations` of {path} has no rows: there is nothing to convert.")
    return count


def _columns_of(found: Mapping[str, Any], name: str) -> list[Any]:
    """The columns of a key, or of the group of that name."""
    own = [node for key, node in found.items() if key == name or (name in _GROUPS and _below(key, name))]
    return [node for node in own if node.ndim]


def _plain(key: str, node: Any, path: Path) -> Any:
    if node.dtype.kind not in "biufcSV" or node.dtype.names:
        raise FormatError(
            f"`{key}` of {path} must hold numbers; its type is {node.dtype}. "
            f"Leave it out with `skip=({key!r},)`."
        )
    return node


def _column(key: str, node: Any, num_steps: int, path: Path) -> Column:
    _plain(key, node, path)
    if node.shape[0] != num_steps:
        raise FormatError(
            f"`{key}` of {path} has {node.shape[0]} rows where `observations` has {num_steps}. "
            "Every key has one row a step: the file was cut while it was written, or "
            f"the key means something else; `skip=({key!r},)` leaves it out."
        )
    if key in SCALARS and (prod(node.shape[1:]) != 1 or node.dtype.kind not in "biuf"):
        raise FormatError(
            f"`{key}` of {path} must hold one number a step; "
            f"its shape is {node.shape}, its type {node.dtype}."
        )
    name = leaf_of(key)
    if name != key and name in node.file:
        raise FormatError(f"{path} has both `{key}` and `{name}`, which would be one leaf.")
    dtype = np.dtype(np.bool_) if key in FLAGS else node.dtype.newbyteorder("=")
    return Column(key, name, dtype, () if key in SCALARS else node.shape[1:])
