"""Writing a `.npz` file array by array, each as it comes: no array is whole in memory."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.files import storage_errors


class NpzWriter:
    """A `.npz` file that is being written; what `numpy.load` reads, compressed or not.

    Args:
      path: of a file that is not there yet.
      compressed: as `numpy.savez_compressed` does.

    Raises:
      StorageError: if the disk refuses.

    Example:
      >>> with NpzWriter(Path("x.npz")) as file:
      ...     file.add("rewards", np.dtype(np.float32), (), 3, iter([np.ones(2, np.float32), np.zeros(1)]))
      >>> np.load("x.npz")["rewards"]
      array([1., 1., 0.], dtype=float32)
    """

    def __init__(self, path: Path, *, compressed: bool = True) -> None:
        self._path = path
        method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        with storage_errors(path, "write"):
            self._archive = zipfile.ZipFile(path, "x", method, allowZip64=True)

    def add(
        self, key: str, dtype: np.dtype[Any], shape: tuple[int, ...], rows: int, parts: Iterable[NpArray]
    ) -> None:
        """Writes a key of `rows` rows, which come in parts `[n, *shape]`.

        Raises:
          StorageError: if the disk refuses.
        """
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (rows, *shape),
        }
        with (
            storage_errors(self._path, "write"),
            self._archive.open(f"{key}.npy", "w", force_zip64=True) as file,
        ):
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                file.write(np.ascontiguousarray(part, dtype).tobytes())

    def add_array(self, key: str, values: NpArray) -> None:
        """Writes a key that is in memory.

        Raises:
          StorageError: if the disk refuses.
        """
        with (
            storage_errors(self._path, "write"),
            self._archive.open(f"{key}.npy", "w", force_zip64=True) as file,
        ):
            np.lib.format.write_array(file, values, allow_pickle=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with storage_errors(self._path, "write"):
            self._archive.close()
