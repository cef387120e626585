"""Trajectories, cut out of rows that lie end to end: formats that mark an episode's last row."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError

Rows = Mapping[str, NpArray]

_LAST = "\0last"  # beside the leaves, whose names have no such letter


def trajectories(blocks: Iterable[Rows], over: Callable[[Rows], NpArray]) -> Iterator[tuple[Rows, bool]]:
    """Yields the rows of each trajectory, and whether it has an end of its own.

    Only a block and a trajectory are in memory at a time.

    Args:
      blocks: consecutive rows, leaves `[n, ...]` by name.
      over: says of a block's rows which are the last of a trajectory, bool `[n]`.

    Example:
      >>> blocks = [{"x": np.array([1, 2, 9])}, {"x": np.array([3, 9, 4])}]
      >>> [(rows["x"].tolist(), ended) for rows, ended in trajectories(blocks, lambda rows: rows["x"] == 9)]
      [([1, 2, 9], True), ([3, 9], True), ([4], False)]
    """
    held: list[Rows] = []
    for block in blocks:
        start = 0
        for stop in (np.flatnonzero(over(block)) + 1).tolist():
            yield _join([*held, _part(block, start, stop)]), True
            held, start = [], stop
        rest = _part(block, start, None)
        if len(next(iter(rest.values()))):
            held.append(rest)
    if held:
        yield _join(held), False


def cut_at(blocks: Iterable[Rows], last: NpArray) -> Iterator[tuple[Rows, bool]]:
    """Yields the rows of each trajectory, and whether it has an end, where the ends are known before.

    Args:
      blocks: consecutive rows, leaves `[n, ...]` by name.
      last: which of all rows are the last of a trajectory, bool `[N]`.

    Example:
      >>> blocks = [{"x": np.array([1, 2])}, {"x": np.array([3, 4])}]
      >>> [rows["x"].tolist() for rows, _ in cut_at(blocks, np.array([0, 0, 1, 0], bool))]
      [[1, 2, 3], [4]]
    """

    def marked() -> Iterator[Rows]:
        start = 0
        for block in blocks:
            stop = start + len(next(iter(block.values())))
            yield {**block, _LAST: last[start:stop]}
            start = stop

    for rows, ended in trajectories(marked(), lambda block: block[_LAST]):
        yield {name: values for name, values in rows.items() if name != _LAST}, ended


def _part(rows: Rows, start: int, stop: int | None) -> Rows:
    return {name: values[start:stop] for name, values in rows.items()}


def _join(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def flags_of(values: NpArray, what: str) -> NpArray:
    """Returns flags as bool `[n]`, of any dtype and with axes of length 1.

    Raises:
      FormatError: if one is neither 0 nor 1, naming `what` and the row.

    Example:
      >>> flags_of(np.array([[0.0], [1.0]]), "`done` of a.npz")
      array([False,  True])
    """
    flat = values.reshape(len(values))
    bad = (flat != 0) & (flat != 1)  # NaN is neither
    if bad.any():
        row = int(bad.argmax())
        raise FormatError(
            f"{what} must be 0 or 1 in every row: row {row} is {flat[row]}. Mend the file first."
        )
    return flat != 0


def same_bytes(one: NpArray, other: NpArray) -> bool:
    """Says whether two arrays are the same to the bit: NaN is itself, 0.0 is not -0.0.

    Example:
      >>> same_bytes(np.array([np.nan]), np.array([np.nan])), same_bytes(np.zeros(1), -np.zeros(1))
      (True, False)
    """
    alike = (one.dtype, one.shape) == (other.dtype, other.shape)
    return alike and one.tobytes() == other.tobytes()
