"""What formats that are one `.npz` file of rows share: keys that must be there, rows read in blocks."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .npy import Column
from .npz import columns_of, is_npz, read_rows, require_rows

# Read at a time, about.
READ_BYTES = 8 << 20


def has_keys(path: Path, keys: Collection[str]) -> bool:
    """Says whether a file is a `.npz` file with some keys; False where there is no file.

    Raises:
      FormatError: if the file is called `.npz` and is cut off.

    Example:
      >>> np.savez("a.npz", obs=np.ones(2))
      >>> has_keys(Path("a.npz"), ["obs"]), has_keys(Path("a.npz"), ["obs", "acts"])
      (True, False)
    """
    return is_npz(path) and set(keys) <= columns_of(path).keys()


def require_keys(path: Path, keys: Collection[str], whose: str, row: str = "") -> dict[str, Column]:
    """Reads the headers of a file that must have some keys.

    Args:
      path: of the file.
      keys: that it must have.
      whose: files these are, for the error.
      row: what has a row in them, for the error: `a step`; empty where that differs.

    Raises:
      FormatError: naming the key that is missing, and those that are there.

    Example:
      >>> np.savez("b.npz", obs=np.ones(2))
      >>> require_keys(Path("b.npz"), ["obs", "done"], "NeoRL", "a step")
      Traceback (most recent call last):
      strongbax.vault.errors.FormatError: A file of NeoRL has the keys obs, done, one row a step; ...
    """
    found = columns_of(path)
    missing = [key for key in keys if key not in found]
    if missing:
        raise FormatError(
            f"A file of {whose} has the keys {', '.join(keys)}{row and f', one row {row}'}; {path} has no "
            f"`{missing[0]}`. It has {', '.join(found) or 'no keys at all'}."
        )
    return found


def count_rows(columns: Mapping[str, Column], keys: Collection[str], path: Path) -> int:
    """Returns the number of rows that keys have, all alike, and one at least.

    Raises:
      FormatError: as `require_rows`, or if there are none.

    Example:
      >>> np.savez("c.npz", obs=np.ones(2))
      >>> count_rows(columns_of(Path("c.npz")), ["obs"], Path("c.npz"))
      2
    """
    count = require_rows(columns, keys, path)
    if count == 0:
        raise FormatError(f"`{next(iter(keys))}` of {path} has no rows: there is nothing to convert.")
    return count


def require_number(column: Column, row: str, path: Path) -> Column:
    """Returns a column if it holds one number a row.

    Args:
      column: of the file.
      row: what has a row, for the error: `a step`.
      path: of the file, for the error.

    Raises:
      FormatError: if it holds more, or no numbers.

    Example:
      >>> np.savez("d.npz", done=np.ones((2, 1)))
      >>> require_number(columns_of(Path("d.npz"))["done"], "a step", Path("d.npz")).shape
      (2, 1)
    """
    if int(np.prod(column.shape[1:])) != 1 or column.dtype.kind not in "biuf":
        raise FormatError(
            f"`{column.key}` of {path} must hold one number {row}: it is {column.dtype} {column.shape}."
        )
    return column


def read_some(
    path: Path, columns: Mapping[str, Column], keys: Collection[str]
) -> Iterator[dict[str, NpArray]]:
    """Reads keys of one length side by side, about `READ_BYTES` at a time.

    Raises:
      FormatError: if the bytes cannot be read.

    Example:
      >>> np.savez("e.npz", x=np.arange(3.0))
      >>> [rows["x"].tolist() for rows in read_some(Path("e.npz"), columns_of(Path("e.npz")), ["x"])]
      [[0.0, 1.0, 2.0]]
    """
    row_bytes = sum(columns[key].dtype.itemsize * int(np.prod(columns[key].shape[1:])) for key in keys)
    return read_rows(path, columns, keys, max(1, READ_BYTES // max(1, row_bytes)))


def last_rows(lengths: NpArray) -> NpArray:
    """Says which rows are the last of a trajectory, bool `[N]`, those without rows left out.

    Args:
      lengths: of the trajectories, int `[E]`.

    Example:
      >>> last_rows(np.array([2, 0, 1]))
      array([False,  True,  True])
    """
    last = np.zeros(int(lengths.sum()), np.bool_)
    last[np.cumsum(lengths)[lengths > 0] - 1] = True
    return last


def check_horizon(horizon: int | None) -> None:
    """Checks that a horizon is a number of steps, or None.

    Raises:
      ValueError: if it is not.

    Example:
      >>> check_horizon(1000)
    """
    if horizon is not None and horizon < 1:
        raise ValueError(
            f"`horizon` must be a number of steps: got {horizon}. Leave it out if there is none."
        )


def end_flags(count: int, *, terminated: bool = False, truncated: bool = False) -> dict[str, NpArray]:
    """Gives an episode's flags, bool `[count]` each: set at the last step and nowhere else.

    Example:
      >>> end_flags(2, truncated=True)["truncated"], end_flags(0, terminated=True)["terminated"]
      (array([False,  True]), array([], dtype=bool))
    """
    made = {name: np.zeros(count, np.bool_) for name in ("terminated", "truncated")}
    for name, value in (("terminated", terminated), ("truncated", truncated)):
        made[name][max(0, count - 1) :] = value
    return made
