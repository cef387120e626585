"""Reading ahead: the next block is read while the last one is being used."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Generator[Item]:
    """Yields the items of an iterator, having the next one made in a thread meanwhile.

    Two items are in memory at a time. What the iterator raises is raised here, in its turn.

    Args:
      items: runs in the thread from now on, and nowhere else.

    Example:
      >>> list(ahead(iter("abc")))
      ['a', 'b', 'c']
    """
    end = object()
    with ThreadPoolExecutor(1, "strongbax-ahead") as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # pyright: ignore[reportReturnType] - it is not `end`
