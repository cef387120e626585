"""How a dtype stands in Zarr, so that every dtype comes back as it was and every Zarr reader can open it.

Zarr v3's core data types are stored as they are. Others (bfloat16, float8, int4, datetimes, fixed-width
strings) are stored as unsigned integers of the same bytes, with their own name in the array's attributes.
"""

import functools
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

NpArray: TypeAlias = np.ndarray[Any, Any]

CORE = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """The stored form of a dtype.

    Attributes:
      dtype: NumPy dtype in memory.
      base: NumPy dtype on disk.
      trailing: axes that the stored form has beyond the value's own, `()` or `(units,)`.
    """

    dtype: np.dtype[Any]
    base: np.dtype[Any]
    trailing: tuple[int, ...] = ()

    def to_disk(self, values: NpArray) -> NpArray:
        """Reinterprets `[...]` values as their stored form `[..., *trailing]`, without a copy."""
        if self.base == self.dtype:
            return values
        values = np.ascontiguousarray(values)
        if not self.trailing:
            return values.view(self.base)
        return values[..., None].view(self.base)

    def from_disk(self, stored: NpArray) -> NpArray:
        """Reinterprets stored `[..., *trailing]` as values `[...]`, without a copy."""
        if self.base == self.dtype:
            return stored
        values = np.ascontiguousarray(stored).view(self.dtype)
        return values[..., 0] if self.trailing else values


@functools.cache
def stored_form(dtype: np.dtype[Any]) -> Stored:
    """Gives the stored form of a dtype.

    Raises:
      TypeError: for dtypes without fixed bytes or meaning elsewhere: object, structured, longdouble.
    """
    dtype = dtype.newbyteorder("=")
    if dtype.name in CORE:
        return Stored(dtype, dtype)
    if dtype.kind in "SU" and dtype.itemsize:
        base = np.dtype(np.uint8 if dtype.kind == "S" else np.uint32)
        return Stored(dtype, base, (dtype.itemsize // base.itemsize,))
    if dtype.kind in "mM":
        return Stored(dtype, np.dtype(np.int64))
    if dtype.kind == "V" and dtype.names is None and _is_extension(dtype):
        return Stored(dtype, np.dtype(f"uint{8 * dtype.itemsize}"))
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return Stored(dtype, np.dtype(f"uint{8 * dtype.itemsize}"))
    raise TypeError(
        f"A leaf of dtype {dtype} cannot be stored: wanted numbers, booleans, datetimes or fixed-width "
        "strings. Turn objects into arrays, or keep them in an episode's attributes."
    )


def _is_extension(dtype: np.dtype[Any]) -> bool:
    return type(dtype).__name__ != "VoidDType" and dtype.itemsize in (1, 2, 4, 8)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Names a dtype so that `parse_dtype` gives it back."""
    return dtype.str if dtype.kind in "SUmM" else dtype.name


def parse_dtype(name: str) -> np.dtype[Any]:
    """Gives the dtype of a name, the ones of `ml_dtypes` included.

    Raises:
      ValueError: if no such dtype is known.
    """
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        extension = getattr(ml_dtypes, name, None)
        if extension is None:
            raise ValueError(
                f"`dtype` must be a NumPy or ml_dtypes name: got {name!r}. A newer ml_dtypes may know it."
            ) from None
        return np.dtype(extension)


def native(dtype: Any) -> np.dtype[Any]:
    """Gives the dtype in the machine's byte order."""
    return np.dtype(dtype).newbyteorder("=")


def as_contiguous(values: NpArray) -> NpArray:
    """Gives the same values in C order and in the machine's byte order, copying only where needed."""
    if values.flags.c_contiguous and values.dtype.isnative:
        return values
    return np.ascontiguousarray(values, dtype=native(values.dtype)).reshape(values.shape)
