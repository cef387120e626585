"""The episode table as one small Parquet file, which every table reader opens and the Hub shows."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..converters.extra import extra

if TYPE_CHECKING:
    from ..vault import EpisodeTable

FILE = "episodes.parquet"
MOST_ATTRIBUTES = 200  # columns made of attributes: a table that names a column an episode is none

_WHAT = "The table of a publication, which `table=False` leaves out,"
_LEFT_OUT = ("id", "stream", "start", "final_known")  # where the episodes lie in the vault
_GROUP_ROWS = 1 << 16


def episode_parquet(table: "EpisodeTable") -> bytes:
    """Returns the episode table as Parquet: one row an episode.

    Its columns are `episode` (the number), `return` (a list where several agents have one each), `length` in
    steps, `terminated`, `truncated`, those of the user, and each attribute that is a number, a text or a
    truth value in every episode that has it; one of a name that is taken is `attribute.NAME`.

    Raises:
      MissingExtraError: if pyarrow is not installed.

    Example:
      >>> import io, pyarrow.parquet
      >>> from strongbax.vault.view import example
      >>> data = episode_parquet(example(lengths=[5, 2]).episodes)
      >>> pyarrow.parquet.read_table(io.BytesIO(data)).column("length").to_pylist()
      [5, 2]
    """
    arrow = extra("pyarrow", "arrow", _WHAT)
    parquet = extra("pyarrow.parquet", "arrow", _WHAT)
    columns: dict[str, Any] = {"episode": arrow.array(np.arange(len(table)))}
    for name in table.columns:
        if name not in _LEFT_OUT:
            columns[name] = _column(arrow, table[name])
    for name, values in _attributes(table).items():
        columns[name if name not in columns else f"attribute.{name}"] = arrow.array(values)
    out = io.BytesIO()
    parquet.write_table(
        arrow.table(columns), out, compression="zstd", row_group_size=_GROUP_ROWS, write_page_index=True
    )
    return out.getvalue()


def _column(arrow: Any, values: Any) -> Any:
    """Makes a column; rows of more than one number are lists, dtypes that Arrow lacks wider ones."""
    if values.dtype.kind == "V":  # bfloat16 and its like
        values = values.astype(np.float32)
    if values.dtype.kind in "US":
        return arrow.array(values.astype(str).tolist(), arrow.string())
    if values.dtype.kind == "c" or values.dtype == np.float16:
        values = (
            values.view(values.real.dtype).reshape(len(values), -1) if values.dtype.kind == "c" else values
        )
        values = values.astype(np.float64)
    if values.ndim == 1:
        return arrow.array(values)
    flat = arrow.array(np.ascontiguousarray(values).reshape(-1))
    width = int(np.prod(values.shape[1:], dtype=np.int64))
    return arrow.FixedSizeListArray.from_arrays(flat, width)


def _attributes(table: "EpisodeTable") -> dict[str, list[Any]]:
    """Gives the attributes that are plain values of one kind, None where an episode has none."""
    rows = [table.attributes(row) for row in range(len(table))]
    names = dict.fromkeys(name for row in rows for name in row)
    if len(names) > MOST_ATTRIBUTES:
        return {}
    found = {name: _alike(rows, name) for name in names}
    return {name: values for name, values in found.items() if values is not None}


def _alike(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any] | None:
    values = [row.get(name) for row in rows]
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and len(kinds) == 2:
        return [None if value is None else float(value) for value in values]
    if kinds == {int} and any(value is not None and not -(2**63) <= value < 2**63 for value in values):
        return None
    return values if len(kinds) == 1 and kinds <= {bool, int, float, str} else None
