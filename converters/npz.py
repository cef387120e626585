"""NumPy's `.npz` files, read row by row without ever unpacking a whole array, and never a pickle.

A file is a Zip archive of one `.npy` a key: a header, then the rows in C order. Each key is read as a stream
of its own, so a file larger than memory is read in blocks; its checksums are verified on the way.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError, NotFoundError
from .npy import DAMAGE, Column, fill, read_header

SIGNATURE = b"PK\x03\x04"
_SUFFIX = ".npy"


def is_npz(path: Path) -> bool:
    """Says whether a file is a Zip archive of arrays; False where there is no file.

    Raises:
      FormatError: if it is called `.npz` and begins like one, but is cut off.

    Example:
      >>> np.savez("a.npz", rewards=np.ones(2))
      >>> is_npz(Path("a.npz")), is_npz(Path("nowhere.npz"))
      (True, False)
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return False
    if not zipfile.is_zipfile(path):
        if path.suffix == ".npz":
            _open(path)
        return False
    names = _open(path).namelist()
    return bool(names) and all(name.endswith(_SUFFIX) for name in names)


def columns_of(path: Path) -> dict[str, Column]:
    """Reads the headers of a file, by key.

    Raises:
      NotFoundError: if there is no file.
      FormatError: if it is not a `.npz` file, or damaged.

    Example:
      >>> np.savez("b.npz", rewards=np.ones(2, np.float32))
      >>> columns_of(Path("b.npz"))["rewards"].shape
      (2,)
    """
    if not path.is_file():
        raise NotFoundError(f"`path` must be a .npz file; there is no file {path}.")
    with _open(path) as archive:
        found: dict[str, Column] = {}
        for name in archive.namelist():
            key = name.removesuffix(_SUFFIX)
            with _member(archive, name, path) as member:
                found[key] = read_header(member, key, path)
    return found


def require_rows(columns: Mapping[str, Column], keys: Iterable[str], path: Path) -> int:
    """Returns the number of rows that keys have, all alike.

    Raises:
      FormatError: naming the key that has other rows, is a pickle, or holds no numbers.

    Example:
      >>> np.savez("c.npz", rewards=np.ones(2), actions=np.ones((2, 3)))
      >>> require_rows(columns_of(Path("c.npz")), ["rewards", "actions"], Path("c.npz"))
      2
    """
    first, count = "", -1
    for key in keys:
        column = columns[key]
        if column.is_pickle:
            raise FormatError(
                f"`{key}` of {path} holds Python objects, which only a pickle could bring back: that could "
                "run any code, so it is not done. Save it again as an array of numbers."
            )
        if column.dtype.names or not column.shape:
            raise FormatError(
                f"`{key}` of {path} must have one row a step: it is {column.dtype} of shape {column.shape}."
            )
        if count < 0:
            first, count = key, column.shape[0]
        if column.shape[0] != count:
            raise FormatError(
                f"`{key}` of {path} has {column.shape[0]} rows where `{first}` has {count}: every key has "
                "one row a step. The file was cut while it was written, or is of another format."
            )
    return count


def read_rows(
    path: Path, columns: Mapping[str, Column], keys: Iterable[str], rows: int
) -> Iterator[dict[str, NpArray]]:
    """Reads keys of one length side by side, `rows` rows at a time; only the last block may be shorter.

    Args:
      path: of the file.
      columns: of the file.
      keys: which.
      rows: at a time.

    Raises:
      FormatError: if the bytes cannot be read.

    Example:
      >>> np.savez("d.npz", rewards=np.arange(3.0))
      >>> [b["rewards"].tolist() for b in read_rows(Path("d.npz"), columns_of(Path("d.npz")), ["rewards"], 2)]
      [[0.0, 1.0], [2.0]]
    """
    with ExitStack() as stack:
        archive = stack.enter_context(_open(path))
        streams: dict[str, Callable[[int], NpArray]] = {}
        for key in keys:
            member = stack.enter_context(_member(archive, key + _SUFFIX, path))
            read_header(member, key, path)
            streams[key] = _stream(member, columns[key], path)
        count = min(columns[key].shape[0] for key in streams)
        for start in range(0, count, rows):
            yield {key: take(min(rows, count - start)) for key, take in streams.items()}


def read_array(path: Path, column: Column) -> NpArray:
    """Reads a whole key.

    Raises:
      FormatError: if the bytes cannot be read, or it is a pickle.

    Example:
      >>> np.savez("e.npz", seed=np.int64(7))
      >>> read_array(Path("e.npz"), columns_of(Path("e.npz"))["seed"])
      array(7)
    """
    flat = Column(column.key, column.dtype, column.stored, (int(np.prod(column.shape)),), fortran=False)
    require_rows({column.key: flat}, [column.key], path)
    with _open(path) as archive, _member(archive, column.key + _SUFFIX, path) as member:
        read_header(member, column.key, path)
        values = _stream(member, flat, path)(flat.shape[0])
    return values.reshape(column.shape, order="F" if column.fortran else "C")


def _stream(member: IO[bytes], column: Column, path: Path) -> Callable[[int], NpArray]:
    """Gives what reads the next rows of a key."""
    if column.fortran:
        whole = iter([read_array(path, column)])
        held: list[NpArray] = []

        def cut(rows: int) -> NpArray:
            values = held.pop() if held else next(whole)
            held.append(values[rows:])
            return np.ascontiguousarray(values[:rows])

        return cut
    left = column.shape[0]

    def take(rows: int) -> NpArray:
        nonlocal left
        values = np.empty((rows, *column.shape[1:]), column.stored)
        fill(member, values, column.key, path)
        left -= rows
        if left == 0:
            fill(member, np.empty(0, np.uint8), column.key, path)
        return values.astype(column.dtype, copy=False)

    return take


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise FormatError(
            f"{path} ({path.stat().st_size} bytes) is no .npz file that can be opened: {error}. It is "
            "probably cut off, or a web page with an error; fetch or copy it again."
        ) from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> IO[bytes]:
    try:
        return archive.open(name)
    except DAMAGE as error:
        raise FormatError(f"`{name}` of {path} cannot be read: {error}. Fetch the file again.") from error
