"""Columns of Arrow tables as NumPy arrays: nested lists of one length become axes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .extra import extra


def arrow(module: str = "pyarrow") -> Any:
    """Imports a module of PyArrow.

    Raises:
      MissingExtraError: if it is not installed.

    Example:
      >>> arrow("pyarrow.compute").sum([1, 2]).as_py()
      3
    """
    return extra(module, "arrow", "Reading Parquet")


def batches_of(opened: Any, columns: Sequence[str], rows: int, first: int = 0) -> Iterator[Any]:
    """Yields record batches of a Parquet file; row groups before the first row wanted are not read.

    Args:
      opened: the file, a `ParquetFile`.
      columns: to read.
      rows: of a batch, at most.
      first: the row to begin with.

    Example:
      >>> pa = arrow()
      >>> arrow("pyarrow.parquet").write_table(pa.table({"x": [1, 2, 3]}), "three.parquet", row_group_size=2)
      >>> opened = arrow("pyarrow.parquet").ParquetFile("three.parquet")
      >>> [batch.column("x").to_pylist() for batch in batches_of(opened, ["x"], 2, first=1)]
      [[2], [3]]
    """
    group = 0
    while group < opened.num_row_groups and first >= (there := opened.metadata.row_group(group).num_rows):
        first -= there
        group += 1
    groups = list(range(group, opened.num_row_groups))
    for batch in opened.iter_batches(batch_size=rows, row_groups=groups, columns=list(columns)):
        if first < batch.num_rows:
            yield batch.slice(first)
        first = max(0, first - batch.num_rows)


def values_of(column: Any) -> NpArray:
    """Returns a column `[N, ...]`: a number a row, or lists in lists, all of one length at each depth.

    Args:
      column: an Arrow array, whole or a slice; not chunked.

    Raises:
      FormatError: naming what is wrong: missing values, lists of different lengths, texts.

    Example:
      >>> pa = arrow()
      >>> values_of(pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32())))
      array([[1., 2.],
             [3., 4.]], dtype=float32)
    """
    pa = arrow()
    shape = [len(column)]
    while True:
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        if column.null_count:
            raise FormatError(f"{column.null_count} values are missing (null)")
        if not _is_list(column.type):
            break
        lengths = lengths_of(column)
        if len(lengths) and (lengths != lengths[0]).any():
            raise FormatError(f"lists have different lengths, {lengths.min()} to {lengths.max()}")
        fixed = column.type.list_size if pa.types.is_fixed_size_list(column.type) else 0
        shape.append(int(lengths[0]) if len(lengths) else fixed)
        column = column.flatten()
    if not _is_number(column.type):
        raise FormatError(f"they are {column.type}, not numbers")
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(shape)


def lengths_of(column: Any) -> NpArray:
    """Returns the length of each list of a column, int64 `[N]`; 0 where there is none."""
    lengths = arrow("pyarrow.compute").list_value_length(column)
    return np.asarray(lengths.fill_null(0).to_numpy(zero_copy_only=False)).astype(np.int64)


def is_rows(kind: Any) -> bool:
    """Says whether an Arrow type is a list, of which each element may be a step.

    Example:
      >>> pa = arrow()
      >>> is_rows(pa.list_(pa.float32())), is_rows(pa.float32())
      (True, False)
    """
    return _is_list(kind)


def is_scalar(kind: Any) -> bool:
    """Says whether an Arrow type is a number or a flag."""
    return _is_number(kind)


def is_text(kind: Any) -> bool:
    """Says whether an Arrow type is text."""
    types = arrow().types
    return bool(types.is_string(kind) or types.is_large_string(kind))


def dtype_of(kind: Any) -> np.dtype[Any]:
    """Returns the NumPy dtype of an Arrow type of numbers."""
    return np.dtype(kind.to_pandas_dtype())


def _is_list(kind: Any) -> bool:
    types = arrow().types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_number(kind: Any) -> bool:
    types = arrow().types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))
