"""What of a source cannot be read, and the source without it: the rest of a damaged dataset.

```
# units  :  |<- 0 ->|<- 1 ->|<- 2 ->|<- 3 ->|     one of them cannot be read
# bad    :             why
# without:  |<- 0 ->        |<- 2 ->|<- 3 ->|     a source of its own, units 0 to 2
```
A reader notes what it cannot even look at in a `Bad`; what shows only while it is read is found by `probe`,
which reads all of it once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .bad import UNREADABLE, Bad
from .source import Block, Source


def readable(read: Callable[[Bad], Source], block_bytes: int) -> tuple[Source, Bad]:
    """Opens a source without what cannot be read of it, having read it once.

    Where most units seem bad, what they are compared with, the first one, may be: then they are compared
    with the next one.

    Args:
      read: opens the source; what it cannot look at it notes, and what is noted already it passes over.
      block_bytes: to read at a time, about.

    Raises:
      FormatError: if nothing can be read.
      ReadAgain: if the source is to be read otherwise.
    """
    source, bad = _probed(read, Bad(allowed=True), block_bytes)
    if 2 * len(bad.units) > source.num_units > 2:
        first = min(_kept(source, bad.units).tolist(), default=0)
        odd = Bad(allowed=True, units={first: f"Unit {first} of the source is not what the others are."})
        again, other = _probed(read, odd, block_bytes)
        source, bad = (again, other) if len(other.units) < len(bad.units) else (source, bad)
    if len(bad.units) == source.num_units:
        raise FormatError(
            f"`skip_bad` leaves out what cannot be read, and nothing can: {bad.to_list()[0]['why']}"
        )
    return without(source, bad.units), bad


def _probed(read: Callable[[Bad], Source], bad: Bad, block_bytes: int) -> tuple[Source, Bad]:
    source = read(bad)
    step_bytes = sum(leaf.nbytes for leaf in source.example.values())
    probe(source, bad, max(1, block_bytes // max(1, step_bytes)))
    return source, bad


def probe(source: Source, bad: Bad, rows: int) -> None:
    """Reads a source to its end, noting the units that cannot be read.

    Args:
      source: to be read.
      bad: units that are known already are not read.
      rows: steps to read at a time.
    """
    stops = np.cumsum(source.lengths)
    for start, stop in _runs(_kept(source, bad.units)):
        unit = start
        while unit < stop:
            unit = _read_on(source, stops, rows, unit, stop, bad)


def _read_on(source: Source, stops: NpArray, rows: int, start: int, stop: int, bad: Bad) -> int:
    """Reads on to a run's end or past the first bad unit; returns the unit to go on with."""
    done = int(stops[start - 1]) if start else 0
    try:
        for block in source.blocks(rows, start, stop):
            done += block.num_steps
    except UNREADABLE:
        pass
    else:
        return stop
    # A block holds many units: which of them is bad shows when they are read one by one.
    unit = max(start, int(np.searchsorted(stops[:stop], done)))
    while unit < stop:
        try:
            for _ in source.blocks(rows, unit, unit + 1):
                pass
        except UNREADABLE as error:
            bad.note(unit, error)
            return unit + 1
        unit += 1
    return stop


def without(source: Source, units: Mapping[int, str]) -> Source:
    """Returns a source without some of its units.

    Example:
      >>> from .recorded import Recorded, blocks_of
      >>> three = [Recorded({"reward": np.full(2, n)}, True, False) for n in range(3)]
      >>> step = {"reward": np.zeros((), np.int64)}
      >>> blocks = blocks_of(lambda start, stop: iter(three[start:stop]), 3, step)
      >>> source = without(Source(step, np.array([2, 2, 2]), (), blocks, {}), {1: "torn"})
      >>> [block.steps["reward"].tolist() for block in source.blocks(9)], source.num_steps
      ([[0, 0], [2, 2]], 4)
    """
    if not units:
        return source
    kept = _kept(source, units)
    return replace(source, lengths=source.lengths[kept], blocks=partial(_blocks, source, kept))


def _kept(source: Source, units: Mapping[int, str]) -> NpArray:
    return np.setdiff1d(np.arange(source.num_units), np.fromiter(units, np.int64))


def _blocks(
    source: Source, kept: NpArray, num_steps: int, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    for first, last in _runs(kept[start:stop]):
        yield from source.blocks(num_steps, first, last)


def _runs(kept: NpArray) -> list[tuple[int, int]]:
    """Units that follow one another, `[start, stop)` each."""
    if not len(kept):
        return []
    breaks = np.flatnonzero(np.diff(kept) > 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(kept, breaks)]
