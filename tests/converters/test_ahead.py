"""Reading ahead: the same items in the same order, errors in their turn, one item ahead."""

import threading
from collections.abc import Iterator

import pytest
from strongbax.converters.ahead import ahead


def test_items_come_in_order_and_are_made_elsewhere():
    """Every item comes once, in order, made by another thread."""
    makers: set[int] = set()

    def items() -> Iterator[int]:
        for item in range(5):
            makers.add(threading.get_ident())
            yield item

    assert list(ahead(items())) == [0, 1, 2, 3, 4]
    assert makers
    assert threading.get_ident() not in makers
    assert list(ahead(iter(()))) == []


def test_an_error_comes_after_the_items_before_it():
    """What the source raises is raised to the reader, not before the good items were had."""

    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    reading = ahead(items())
    assert next(reading) == 1
    with pytest.raises(ValueError, match="broken"):
        next(reading)


def test_no_more_than_one_item_is_made_ahead():
    """Memory is bounded: the third item is not begun while the first is in use."""
    made: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10):
            made.append(item)
            yield item

    reading = ahead(items())
    next(reading)
    reading.close()
    assert made == [0, 1]
