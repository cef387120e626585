"""Dopamine's ring in a checkpoint, put in order: what was added first comes first.

Frames are unpacked as a stream; a full ring whose cursor is not at 0 is unpacked twice, once for each part.
"""

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .npy import Column, fill, read_header

OBSERVATION, ACTION, REWARD, TERMINAL = "observation", "action", "reward", "terminal"
REQUIRED = (OBSERVATION, ACTION, REWARD, TERMINAL)
_STORE = "$store$_"
READ_BYTES = 8 << 20


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint's files.

    Attributes:
      folder: of the files.
      number: of the checkpoint.
      columns: the stored keys.
      count: steps, and rows of zeros, that were ever added.
      ignored: names of its other files, which are not read.
    """

    folder: Path
    number: int
    columns: Mapping[str, Column]
    count: int
    ignored: tuple[str, ...]

    @property
    def capacity(self) -> int:
        """Slots of the ring."""
        return self.columns[TERMINAL].shape[0]

    @property
    def held(self) -> int:
        """Slots that hold something."""
        return min(self.count, self.capacity)

    @property
    def first(self) -> int:
        """How many were added before the oldest that it holds."""
        return self.count - self.held

    def rows(self) -> dict[str, Any]:
        """Gives dtype and shape of a row by key, for comparing."""
        return {key: (str(c.dtype), c.shape[1:]) for key, c in self.columns.items()}

    def row_bytes(self, key: str) -> int:
        """Gives the size of a row of a stored key."""
        column = self.columns[key]
        return column.stored.itemsize * int(np.prod(column.shape[1:], dtype=np.int64))

    def path(self, key: str) -> Path:
        """Gives the file of a stored key."""
        return self.folder / f"{_STORE}{key}_ckpt.{self.number}.gz"

    def ordered(self, key: str) -> NpArray:
        """Reads a whole key, oldest first, `[held, ...]`."""
        return np.concatenate([*self.stream(key, 0, self.held, self.capacity)])

    def stream(self, key: str, start: int, stop: int, rows: int) -> Iterator[NpArray]:
        """Reads a key's rows `[start, stop)`, oldest first, at most `rows` at a time."""
        cursor = self.count % self.capacity if self.count > self.capacity else 0
        turn = self.capacity - cursor if self.count > self.capacity else self.held
        if start < turn:
            yield from self._slots(key, cursor + start, cursor + min(stop, turn), rows)
        if stop > turn:
            yield from self._slots(key, max(start, turn) - turn, stop - turn, rows)

    def verify(self, key: str) -> None:
        """Unpacks all of a stored key, so that its checksum is looked at.

        Raises:
          FormatError: if it is damaged.
        """
        for _ in self.stream(key, 0, self.held, max(1, READ_BYTES // max(1, self.row_bytes(key)))):
            pass

    def _slots(self, key: str, low: int, high: int, rows: int) -> Iterator[NpArray]:
        column, path = self.columns[key], self.path(key)
        with gzip.open(path) as file:
            read_header(file, key, path)
            _skip(file, low * self.row_bytes(key), key, path)
            for at in range(low, high, rows):
                values = np.empty((min(rows, high - at), *column.shape[1:]), column.stored)
                fill(file, values, key, path)
                yield values.astype(column.dtype, copy=False)
            if high == column.shape[0]:
                fill(file, np.empty(0, np.uint8), key, path)


def open_checkpoint(folder: Path, number: int) -> Checkpoint:
    """Opens a checkpoint, having looked at its headers.

    Raises:
      FormatError: if a file is missing or damaged, or lengths disagree.
    """
    columns: dict[str, Column] = {}
    ignored: list[str] = []
    for path in sorted(folder.glob(f"*_ckpt.{number}.gz")):
        key = path.name.removesuffix(f"_ckpt.{number}.gz")
        if key.startswith(_STORE):
            columns[key.removeprefix(_STORE)] = _header(path, key.removeprefix(_STORE))
        elif key not in ("add_count", "invalid_range"):
            ignored.append(path.name)
    missing = [key for key in REQUIRED if key not in columns]
    if missing:
        raise FormatError(
            f"A checkpoint has {', '.join(_STORE + key for key in REQUIRED)}; number {number} in {folder} "
            f"has no `{_STORE}{missing[0]}_ckpt.{number}.gz`. Fetch it."
        )
    capacity = columns[TERMINAL].shape[0]
    for key, column in columns.items():
        if column.is_pickle or column.dtype.names or column.fortran or column.shape[0] != capacity:
            raise FormatError(
                f"`{_STORE}{key}_ckpt.{number}.gz` of {folder} must hold {capacity} rows of numbers, as "
                f"`terminal` does: it is {column.dtype} of shape {column.shape}. Fetch it again."
            )
    count = _count(folder / f"add_count_ckpt.{number}.gz")
    made = Checkpoint(folder, number, columns, capacity if count is None else count, tuple(ignored))
    if made.held == 0:
        raise FormatError(
            f"Checkpoint {number} in {folder} holds no steps: leave it out with `checkpoints=`."
        )
    return made


def _header(path: Path, key: str) -> Column:
    with gzip.open(path) as file:
        return read_header(file, key, path)


def _count(path: Path) -> int | None:
    if not path.exists():
        return None
    with gzip.open(path) as file:
        column = read_header(file, "add_count", path)
        values = np.empty(1, column.stored)
        fill(file, values, "add_count", path)
    return int(values[0])


def _skip(file: gzip.GzipFile, size: int, key: str, path: Path) -> None:
    scratch = np.empty(min(size, READ_BYTES), np.uint8)
    while size:
        part = min(size, len(scratch))
        fill(file, scratch[:part], key, path)
        size -= part
