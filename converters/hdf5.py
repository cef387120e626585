"""HDF5 files, opened and read with errors that say which file, which key, which rows."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError, NotFoundError
from .json_arrays import to_json

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Says whether a file begins as an HDF5 file does; False where there is no file.

    Example:
      >>> is_hdf5(Path("nowhere.hdf5"))
      False
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


@contextmanager
def open_hdf5(path: Path) -> Generator[Any]:
    """Opens a file for reading.

    Args:
      path: of a local file.

    Yields:
      The `h5py.File`.

    Raises:
      NotFoundError: if there is no file.
      FormatError: if it is not HDF5, or cut off.

    Example:
      >>> import h5py
      >>> with h5py.File("a.hdf5", "w") as file:
      ...     file["rewards"] = [1.0, 2.0]
      >>> with open_hdf5(Path("a.hdf5")) as file:
      ...     list(file)
      ['rewards']
    """
    import h5py

    if not path.is_file():
        raise NotFoundError(f"`path` must be an HDF5 file; there is no file {path}.")
    if not is_hdf5(path):
        raise FormatError(
            f"`path` must be an HDF5 file; {path} ({path.stat().st_size} bytes) does not begin "
            "like one. If it was downloaded, it may be a web page with an error; fetch it again."
        )
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise FormatError(
            f"{path} begins like an HDF5 file but cannot be opened: {error}. "
            "It is probably cut off; fetch or copy it again."
        ) from error
    with file:
        yield file


def datasets(file: Any) -> dict[str, Any]:
    """Returns all datasets of an open file by their full key, sorted.

    Example:
      >>> import h5py
      >>> with h5py.File("b.hdf5", "w") as file:
      ...     file["infos/qpos"] = [1.0]
      ...     list(datasets(file))
      ['infos/qpos']
    """
    import h5py

    found: dict[str, Any] = {}

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found[name] = node

    file.visititems(visit)
    return dict(sorted(found.items()))


def read(dataset: Any, start: int | None = None, stop: int | None = None) -> NpArray:
    """Reads rows of a dataset, or all of one without axes, in native byte order.

    Args:
      dataset: an `h5py.Dataset`.
      start: first row.
      stop: row after the last one.

    Raises:
      FormatError: if the bytes cannot be read.

    Example:
      >>> import h5py
      >>> with h5py.File("c.hdf5", "w") as file:
      ...     read(file.create_dataset("rewards", data=[1.0, 2.0, 4.0]), 1, 3)
      array([2., 4.])
    """
    try:
        values = np.asarray(dataset[()] if start is None and stop is None else dataset[start:stop])
    except OSError as error:
        key, path = dataset.name.lstrip("/"), dataset.file.filename
        rows = "" if start is None and stop is None else f" in rows {start} to {stop}"
        raise FormatError(
            f"`{key}` of {path} cannot be read{rows}: {error}. The file is damaged; fetch or copy it again."
        ) from error
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def attribute(value: Any) -> Any:
    """Returns an attribute's value as JSON; texts as texts, arrays as `to_json` has them.

    Example:
      >>> attribute(np.int64(3)), attribute("öl"), attribute(np.array(["a", "b"], object))
      (3, 'öl', ['a', 'b'])
    """
    array = np.asarray(value)
    if array.dtype.kind == "O" and not all(isinstance(one, str) for one in array.flat):
        return str(value)  # HDF5's "empty" and references
    return array.tolist() if array.dtype.kind in "OU" else to_json(array)
