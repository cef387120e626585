"""Rows on their way into a vault: one plain file an array, appended to, with a checksum in its description.

What stands so is short-lived: it is written by one process, read by another, and goes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from .checksum import crc32c
from .dtypes import NpArray
from .errors import CorruptionError
from .files import sync_directory, sync_file

_PIECE_BYTES = 8 << 20


@dataclass(frozen=True)
class RawRows:
    """Rows in a file, nothing before or between them.

    Attributes:
      path: of the file.
      size: in bytes.
      crc: crc32c of them.
    """

    path: Path
    size: int
    crc: int

    def to_dict(self) -> dict[str, Any]:
        """Gives the description as JSON."""
        return {"file": self.path.name, "size": self.size, "crc32c": self.crc}

    @classmethod
    def from_dict(cls, folder: Path, data: Mapping[str, Any]) -> "RawRows":
        """Reads the description from JSON."""
        return cls(folder / data["file"], data["size"], data["crc32c"])

    def read(self, start: int, stop: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NpArray:
        """Reads rows `[start, stop)` of a dtype and shape, `[stop - start, *shape]`.

        Raises:
          CorruptionError: if the file is too short.
        """
        row = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        count = (stop - start) * row
        data = np.fromfile(self.path, np.uint8, count, offset=start * row) if count else np.zeros(0, np.uint8)
        if data.size != count:
            raise CorruptionError(f"{self.path} is too short: rows {start} to {stop} are wanted.")
        return data.view(dtype).reshape(stop - start, *shape)

    def check(self) -> None:
        """Compares the file with its checksum.

        Raises:
          CorruptionError: if it is not what was written.
        """
        crc = size = 0
        with self.path.open("rb") as file:
            while data := file.read(_PIECE_BYTES):
                crc, size = crc32c(data, crc), size + len(data)
        if (size, crc) != (self.size, self.crc):
            raise CorruptionError(f"{self.path} is damaged: it is not what was written there.")


class RawWriter:
    """Appends rows to files of a folder, which is made.

    Args:
      folder: that is not there yet.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._files: dict[str, tuple[IO[bytes], RawRows]] = {}

    def append(self, name: str, rows: NpArray) -> None:
        """Appends rows `[n, ...]` of an array; a file is made at the first."""
        data = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
        if name not in self._files:
            path = self._folder / str(len(self._files))
            self._files[name] = path.open("wb"), RawRows(path, 0, 0)
        file, raw = self._files[name]
        file.write(data.data)
        self._files[name] = file, RawRows(raw.path, raw.size + data.size, crc32c(data, raw.crc))

    def close(self) -> dict[str, RawRows]:
        """Makes everything durable, and gives what stands there by name."""
        self.abandon()
        for _, raw in self._files.values():
            sync_file(raw.path)
        sync_directory(self._folder)
        return {name: raw for name, (_, raw) in self._files.items()}

    def abandon(self) -> None:
        """Closes the files; what stands there means nothing then. Twice is harmless."""
        for file, _ in self._files.values():
            file.close()
