"""A file seen as an array, by a map that needs no descriptor.

Python's own `mmap` keeps a descriptor open as long as the map is there, so a vault of some hundred shards
would use up all that a process may have open. The kernel wants it only while the map is made.
"""

import ctypes
import functools
import mmap
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from .dtypes import NpArray

_FAILED = ctypes.c_void_p(-1).value


def map_file(path: Path) -> NpArray:
    """Gives a file's bytes, uint8 `[size]`, read-only; pages are read when they are first looked at.

    The map goes when nobody has the array or a view of it any more.

    Raises:
      FileNotFoundError: if there is no file.
      ValueError: if it is empty.
      OSError: if the system cannot map it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        if size == 0:
            raise ValueError(f"The file {str(path)!r} is empty: there is nothing to map.")
        address = _libc().mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        if address == _FAILED:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)
    memory: Any = (ctypes.c_uint8 * size).from_address(address)
    # At the interpreter's end the system takes the maps; a thread may still be reading one.
    weakref.finalize(memory, _libc().munmap, address, size).atexit = False
    values: NpArray = np.frombuffer(memory, np.uint8)
    values.flags.writeable = False
    return values


@functools.cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    ]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc
