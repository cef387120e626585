"""Items of bytes, copied from anywhere in this process's memory: many short reads of many maps in one call.

An array that spans all maps, and what lies between them, has an item beginning at each byte. Of it only those
that are asked for are touched. So NumPy copies windows from any number of shards without an index of their
rows, at the price of two array operations.
"""

import numpy as np

from .dtypes import NpArray

_SPAN = 1 << 62  # bytes that NumPy counts in one array
_PIECE = 1 << 17  # bytes that are copied at a time, so that they are still in the cache when they are placed


def items_of(out: NpArray, size: int) -> NpArray:
    """Sees an array in C order as items of bytes, of `size` bytes each.

    Example:
      >>> items_of(np.zeros((4, 3), np.float32), 24).shape
      (2,)
    """
    return out.reshape(-1).view(np.uint8).view(np.dtype((np.void, size)))


def copy_items(at: NpArray, items: NpArray, places: NpArray) -> None:
    """Copies items from their addresses to `items[places]`.

    The caller holds the memory, and has looked that whole items lie in it.

    Args:
      at: int64 `[N]`, addresses.
      items: void, of the size of an item each.
      places: int64 `[N]`.

    Example:
      >>> source, items = np.arange(9, dtype=np.uint8), np.zeros(2, "V3")
      >>> copy_items(source.ctypes.data + np.array([5, 0]), items, np.array([0, 1]))
      >>> items.view(np.uint8)
      array([5, 6, 7, 0, 1, 2], dtype=uint8)
    """
    few = max(1, _PIECE // items.itemsize)
    for first in range(0, len(at), few):
        items[places[first : first + few]] = _copied(at[first : first + few], items.itemsize)


class _Memory:
    """Memory as overlapping items."""

    def __init__(self, address: int, count: int, size: int) -> None:
        self.__array_interface__ = {
            "version": 3,
            "data": (address, True),
            "shape": (count,),
            "strides": (1,),
            "typestr": f"|V{size}",
        }


def _copied(at: NpArray, size: int) -> NpArray:
    base = int(at.min())
    count = int(at.max()) - base + 1
    if count * size >= _SPAN:  # maps too far apart, or items too large, to be one array
        return np.concatenate([_copied(one, size) for one in at[:, None]])
    return np.asarray(_Memory(base, count, size))[at - base]
