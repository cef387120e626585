"""TensorDict's folders of memory-mapped tensors, written with NumPy alone, part by part."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from .tensordict import META, SUFFIX, TORCH

_TYPE = "<class 'tensordict._td.TensorDict'>"
_FACT = "<class 'tensordict.tensorclass.NonTensorData'>"


@dataclass(frozen=True)
class Column:
    """One tensor that is written.

    Attributes:
      keys: of the tensor.
      dtype: of its values.
      shape: of one step.
      parts: yields its rows, episode by episode.
    """

    keys: tuple[str, ...]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    parts: Callable[[], Iterator[NpArray]]


def write_tensor(folder: Path, column: Column) -> None:
    """Writes one tensor's file, part by part.

    Raises:
      OSError: if the disk refuses.
    """
    *above, last = column.keys
    path = folder.joinpath(*above, f"{last}{SUFFIX}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        for part in column.parts():
            file.write(np.ascontiguousarray(part, column.dtype).tobytes())


def write_tree(folder: Path, columns: Sequence[Column], steps: int, facts: Mapping[str, Any]) -> None:
    """Writes what describes the tensors, and the facts beside them.

    Args:
      folder: that the tensors are in.
      columns: the tensors.
      steps: rows of each.
      facts: JSON values by name.

    Raises:
      OSError: if the disk refuses.
    """
    folders: dict[tuple[str, ...], dict[str, Any]] = {(): {}}
    for column in columns:
        for depth in range(1, len(column.keys)):
            folders.setdefault(column.keys[:depth], {})
            folders[column.keys[: depth - 1]][column.keys[depth - 1]] = {"type": "TensorDict"}
        folders[column.keys[:-1]][column.keys[-1]] = {
            "device": "cpu",
            "shape": [steps, *column.shape],
            "dtype": f"{TORCH}{column.dtype.name}",
            "is_nested": False,
        }
    for name, fact in facts.items():
        folders[()][name] = {"type": "NonTensorData"}
        (folder / name).mkdir()
        inner = {"_type": _FACT, "data": fact, "_is_non_tensor": True, "_metadata": None}
        (folder / name / META).write_text(json.dumps(inner), "utf-8")
    for keys, described in folders.items():
        document = {**described, "shape": [steps], "device": "cpu", "_type": _TYPE}
        folder.joinpath(*keys, META).write_text(json.dumps(document), "utf-8")
