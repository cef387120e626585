"""One array in a stream, as NumPy's `.npy` has it: a header, then the rows; never a pickle."""

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from ..vault.dtypes import NpArray, native
from ..vault.errors import FormatError

# What unpacking damaged bytes raises.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)

_HEADERS: Mapping[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Column:
    """A key of a file, as its header has it.

    Attributes:
      key: its name.
      dtype: in the machine's byte order.
      stored: in the file's.
      shape: of the whole array.
      fortran: its first axis runs fastest, so it can only be read whole.
    """

    key: str
    dtype: np.dtype[Any]
    stored: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool

    @property
    def is_pickle(self) -> bool:
        """Whether its values are Python objects, which are never loaded."""
        return self.dtype.hasobject

    def to_dict(self) -> dict[str, Any]:
        """Gives dtype and shape as JSON."""
        return {"dtype": self.stored.str, "shape": list(self.shape)}


def read_header(member: IO[bytes] | io.BufferedIOBase, key: str, path: object) -> Column:
    """Reads the header of an array; the stream then stands at its first row.

    Args:
      member: a stream of bytes.
      key: the array's name, for the error.
      path: of the file, for the error.

    Raises:
      FormatError: if there is none.

    Example:
      >>> import io
      >>> file = io.BytesIO()
      >>> np.save(file, np.ones((2, 3)))
      >>> _ = file.seek(0)
      >>> read_header(file, "rewards", "a.npy").shape
      (2, 3)
    """
    try:
        version = np.lib.format.read_magic(member)
        shape, fortran, dtype = _HEADERS[version](member)
    except (ValueError, KeyError, *DAMAGE) as error:
        raise FormatError(
            f"`{key}` of {path} is no array as NumPy saves them: {error}. Fetch or copy the file again."
        ) from error
    return Column(key, native(dtype) if not dtype.hasobject else dtype, dtype, shape, fortran)


def fill(member: IO[bytes] | io.BufferedIOBase, values: NpArray, key: str, path: object) -> None:
    """Reads into an array; into an empty one, the end, where checksums are verified.

    Args:
      member: a stream of bytes.
      values: in C order.
      key: the array's name, for the error.
      path: of the file, for the error.

    Raises:
      FormatError: if there are too few bytes or too many, or they cannot be unpacked.

    Example:
      >>> import io
      >>> values = np.zeros(2, np.uint8)
      >>> fill(io.BytesIO(bytes([1, 2])), values, "rewards", "a.npy")
      >>> values
      array([1, 2], dtype=uint8)
    """
    view = values.reshape(-1).view(np.uint8).data
    done = 0
    try:
        while done < len(view):
            got = member.readinto(view[done:])  # pyright: ignore[reportAttributeAccessIssue] - Zip's have it
            if not got:
                raise EOFError(f"{len(view) - done} bytes are missing")
            done += got
        if not view and member.read(1):
            raise EOFError("there are more bytes than its shape has")
    except DAMAGE as error:
        raise FormatError(
            f"`{key}` of {path} cannot be read: {error}. Fetch or copy the file again."
        ) from error
