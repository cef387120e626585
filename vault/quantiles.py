"""Quantiles of a stream of numbers, in bounded memory.

Small integers are counted, so their quantiles are exact. Of other numbers up to 8192 are kept, exactly. When
there are more, they are sorted and every other one goes, alternately the even and the odd ones; each that
stays then counts twice, on the level above, where the same happens (Munro and Paterson 1980, section 2). One
such step moves the rank of a number by at most what a number weighed before, and that sum is kept.
For a million numbers it is at most 0.1 % of the count, for a billion 0.25 %, mostly far less.

References:
  Munro and Paterson 1980, Selection and sorting with limited storage, https://doi.org/10.1016/0304-3975(80)90061-4
"""

from typing import Any

import numpy as np

from .dtypes import NpArray

_KEPT = 8192  # numbers a level


class Quantiles:
    """Numbers that were added, as far as they are kept.

    Args:
      dtype: of the numbers.

    Example:
      >>> quantiles = Quantiles(np.dtype(np.float32))
      >>> quantiles.add(np.arange(101, dtype=np.float32))
      >>> quantiles.at(0.25), quantiles.rank_error
      (25.0, 0.0)
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        small = dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize == 1)
        self._base = -128 if small and dtype.kind == "i" else 0
        self._counts = np.zeros(256, np.int64) if small else None
        self._levels: list[list[NpArray]] = []
        self._odd: list[bool] = []
        self._moved = 0  # what ranks may be off by
        self._count = 0

    @property
    def rank_error(self) -> float:
        """By how much, at most, the rank of a quantile is off, as a fraction of all numbers."""
        return self._moved / max(1, self._count)

    def add(self, values: NpArray) -> None:
        """Adds numbers `[n]`, none of them NaN."""
        self._count += len(values)
        if self._counts is not None:
            self._counts += np.bincount(values.astype(np.int64) - self._base, minlength=256)
            return
        for start in range(0, len(values), _KEPT):
            self._put(0, np.array(values[start : start + _KEPT]))

    def at(self, q: float) -> float:
        """Gives a quantile, interpolated linearly; NaN where there are no numbers."""
        if not self._count:
            return float("nan")
        values, ranks = self._sorted()
        place = q * (self._count - 1)
        low = int(np.floor(place))
        below = float(values[np.searchsorted(ranks, low, side="right")])
        if place == low:
            return below
        above = float(values[np.searchsorted(ranks, low + 1, side="right")])
        return below if below == above else below + (above - below) * (place - low)

    def _put(self, level: int, values: NpArray) -> None:
        """Adds numbers to a level, and halves it where there are too many."""
        if level == len(self._levels):
            self._levels.append([])
            self._odd.append(False)
        held = self._levels[level]
        held.append(values)
        if sum(map(len, held)) <= _KEPT:
            return
        ordered = np.sort(np.concatenate(held))
        spare = ordered[len(ordered) - len(ordered) % 2 :]  # one that has no partner stays, at its weight
        pairs = ordered[: len(ordered) - len(spare)]
        self._levels[level] = [spare] if len(spare) else []
        self._moved += 1 << level
        self._put(level + 1, pairs[int(self._odd[level]) :: 2])
        self._odd[level] = not self._odd[level]

    def _sorted(self) -> tuple[NpArray, NpArray]:
        """Gives the numbers in order, and how many numbers each and all before it stand for."""
        if self._counts is not None:
            held = np.flatnonzero(self._counts)
            return held + self._base, np.cumsum(self._counts[held])
        parts = [(part, 1 << level) for level, parts in enumerate(self._levels) for part in parts]
        values = np.concatenate([part for part, _ in parts])
        weights = np.concatenate([np.full(len(part), weight) for part, weight in parts])
        order = np.argsort(values, kind="stable")
        return values[order], np.cumsum(weights[order])
