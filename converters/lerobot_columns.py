"""The columns of a LeRobot table, and an episode as one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np

from ..vault.dtypes import NpArray
from .arrow_columns import arrow
from .pictures import png_bytes
from .recorded import Recorded
from .standard import Standard, is_needed

FLAGS = {"terminated": "next.terminated", "truncated": "next.truncated"}
_COUNTERS = ("frame_index", "episode_index", "index", "task_index")
_DTYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
    | {"float16", "float32", "float64"}
)


@dataclass(frozen=True)
class Column:
    """A column of the tables.

    Attributes:
      name: of it.
      leaf: that it is made of; empty where it follows from others.
      dtype: of a frame's value.
      shape: of it, `()` for a number.
      kind: `number`, `string` or `image`.
    """

    name: str
    leaf: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    kind: str = "number"

    def feature(self, names: Any = None) -> dict[str, Any]:
        """Returns what `info.json` says of it."""
        dtype = self.dtype.name if self.kind == "number" else self.kind
        if self.kind == "image":
            names = ["height", "width", "channels"]
        return {"dtype": dtype, "shape": list(self.shape) or [1], "names": names}

    def hub(self) -> dict[str, Any]:
        """Returns what Hugging Face's library is told of it."""
        if self.kind == "image":
            return {"_type": "Image"}
        value = {"dtype": "string" if self.kind == "string" else self.dtype.name, "_type": "Value"}
        if len(self.shape) > 1:
            return {"shape": list(self.shape), "dtype": self.dtype.name, "_type": f"Array{len(self.shape)}D"}
        if not self.shape or self.shape == (1,):
            return value
        return {"feature": value, "length": self.shape[0], "_type": "List"}


def columns_of(out: Standard) -> list[Column]:
    """Decides the columns of a vault's leaves.

    Raises:
      ValueError: for a leaf whose name LeRobot has not, or an observation, action or reward whose dtype.
    """
    source = out.contents.card.get("provenance", {}).get("source", {})
    known = {leaf: name for name, leaf in (source.get("leaves") or {}).items()}
    columns: list[Column] = []
    for leaf, row in out.example.items():
        if not is_needed(leaf) and not _has_column(row):
            continue
        name = FLAGS.get(leaf) or known.get(leaf) or _name(leaf)
        if name in _COUNTERS or any(column.name == name for column in columns):
            raise ValueError(f"The leaf `{leaf}` would be the column {name!r}, which is taken. Rename it.")
        columns.append(_column(name, leaf, row))
    names = [column.name for column in columns]
    if "next.done" not in names:
        columns.append(Column("next.done", "", np.dtype(np.bool_)))
    if "timestamp" not in names:
        columns.append(Column("timestamp", "", np.dtype(np.float32)))
    return [*columns, *(Column(name, "", np.dtype(np.int64)) for name in _COUNTERS)]


def _name(leaf: str) -> str:
    if leaf in ("observation", "reward"):
        return "observation.state" if leaf == "observation" else "next.reward"
    name = ".".join(unquote(part) for part in leaf.split("/"))
    if "/" in name:
        raise ValueError(f"The leaf `{leaf}` has a name with a slash, which LeRobot refuses. Rename it.")
    return name


def _has_column(row: NpArray) -> bool:
    if row.dtype.kind in "SU":
        return not row.shape
    return row.dtype.name in _DTYPES and len(row.shape) <= 4 and all(row.shape)


def _column(name: str, leaf: str, row: NpArray) -> Column:
    if row.dtype.kind in "SU" and not row.shape:
        return Column(name, leaf, row.dtype, (), "string")
    if not _has_column(row):
        raise ValueError(
            f"The leaf `{leaf}` is {row.dtype} {list(row.shape)}, which LeRobot has no column for: numbers "
            "with at most four axes, pictures and texts. Make a vault without it."
        )
    picture = row.dtype == np.uint8 and len(row.shape) == 3 and row.shape[-1] == 3
    return Column(name, leaf, row.dtype, row.shape, "image" if picture else "number")


def table_of(
    episode: Recorded, columns: Sequence[Column], number: int, start: int, task: int, fps: float
) -> tuple[Any, dict[str, NpArray]]:
    """Returns an episode as an Arrow table, and its columns' values.

    Args:
      episode: to write.
      columns: of the table.
      number: of the episode.
      start: number of its first frame in the dataset.
      task: number of its task.
      fps: frames a second.
    """
    pa = arrow()
    length = len(episode.steps["terminated"])
    derived: Mapping[str, NpArray] = {
        "next.done": np.asarray(episode.steps["terminated"]) | np.asarray(episode.steps["truncated"]),
        "timestamp": (np.arange(length) / fps).astype(np.float32),
        "frame_index": np.arange(length),
        "episode_index": np.full(length, number),
        "index": start + np.arange(length),
        "task_index": np.full(length, task),
    }
    values = {
        column.name: episode.steps[column.leaf] if column.leaf else derived[column.name] for column in columns
    }
    arrays = [_array(column, values[column.name]) for column in columns]
    hub = {"info": {"features": {column.name: column.hub() for column in columns}}}
    table = pa.Table.from_arrays(arrays, names=[column.name for column in columns])
    return table.replace_schema_metadata({"huggingface": json.dumps(hub)}), {
        column.name: values[column.name] for column in columns if column.kind != "string"
    }


def _array(column: Column, rows: NpArray) -> Any:
    pa = arrow()
    if column.kind == "image":
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        named = [{"bytes": png_bytes(row), "path": f"frame-{at:06d}.png"} for at, row in enumerate(rows)]
        return pa.array(named, kind)
    if column.kind == "string":
        return pa.array(
            [text if isinstance(text, str) else text.decode() for text in rows.tolist()], pa.string()
        )
    array = pa.array(np.ascontiguousarray(rows).reshape(-1))
    for size in reversed(column.shape[1:]):
        offsets = pa.array(np.arange(len(array) // size + 1, dtype=np.int32) * size)
        array = pa.ListArray.from_arrays(offsets, array)
    if len(column.shape) > 1:
        size = column.shape[0]
        return pa.ListArray.from_arrays(pa.array(np.arange(len(rows) + 1, dtype=np.int32) * size), array)
    if not column.shape or column.shape == (1,):  # an axis of one is none in LeRobot's tables
        return array
    return pa.FixedSizeListArray.from_arrays(array, column.shape[0])
