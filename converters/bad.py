"""What of a source cannot be read, noted while a reader looks at it: an error, or left out.

```
# units :  |<- 0 ->|<- 1 ->|<- 2 ->|<- 3 ->|     of them one cannot be read
# each  :   0               2       3            yields the others, with their numbers
# Bad   :  {1: "why"}
```
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..vault.errors import CorruptionError, FormatError

UNREADABLE = (FormatError, CorruptionError)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Bad:
    """What cannot be read, filled while a source is looked at.

    Attributes:
      allowed: whether anything may be left out; else the first is an error.
      units: why, by the unit that is left out.
      files: why, by the name of a file that none of the units is from.
    """

    allowed: bool = False
    units: dict[int, str] = field(default_factory=dict[int, str])
    files: dict[str, str] = field(default_factory=dict[str, str])

    def note(self, what: int | str, error: Exception) -> None:
        """Notes that a unit, or a file by its name, cannot be read.

        Raises:
          Exception: the error itself, where nothing may be left out.

        Example:
          >>> bad = Bad(allowed=True)
          >>> bad.note(3, FormatError("Episode 3 is torn."))
          >>> bad.units
          {3: 'Episode 3 is torn.'}
        """
        if not self.allowed:
            raise error
        if isinstance(what, str):
            self.files[what] = str(error)
        else:
            self.units[what] = str(error)

    def tried(self, what: int | str, read: Callable[[], Item], otherwise: Item) -> Item:
        """Returns what is read, or something else where it cannot be, and notes that.

        Example:
          >>> bad = Bad(allowed=True, units={0: "torn"})
          >>> bad.tried(0, lambda: 5, otherwise=-1), bad.tried(1, lambda: 5, otherwise=-1)
          (-1, 5)
        """
        if what in self.units:
            return otherwise
        try:
            return read()
        except UNREADABLE as error:
            self.note(what, error)
            return otherwise

    def first(self, units: Iterable[int], read: Callable[[int], Item]) -> Item:
        """Returns what is read of the first unit of which it can be; the others before it are noted.

        Args:
          units: at least one.
          read: reads a unit.

        Raises:
          FormatError: if there is none.

        Example:
          >>> Bad(allowed=True, units={0: "torn"}).first(range(3), lambda unit: 10 * unit)
          10
        """
        for unit in units:
            found = self.tried(unit, lambda unit=unit: [read(unit)], otherwise=[])
            if found:
                return found[0]
        raise FormatError(f"Nothing can be read: {next(iter(self.units.values()))}")

    def each(self, count: int, read: Callable[[int], Iterator[Item]]) -> Iterator[tuple[int, Item]]:
        """Yields the units that can be read, with their numbers.

        Args:
          count: of the units.
          read: reads the units from one on; after one that cannot be read it is called again.

        Example:
          >>> list(Bad(units={1: "torn"}).each(3, lambda start: iter("abc"[start:])))
          [(0, 'a'), (2, 'c')]
        """
        unit = 0
        while unit < count:
            if unit in self.units:
                unit += 1
                continue
            try:
                for item in read(unit):
                    yield unit, item
                    unit += 1
                    if unit in self.units:
                        break
                else:
                    return
            except UNREADABLE as error:
                self.note(unit, error)

    def to_list(self) -> list[dict[str, Any]]:
        """Returns what was left out as JSON, files first; units in a row for one reason are one entry.

        Example:
          >>> Bad(units={4: "torn", 5: "torn"}, files={"a.npz": "empty"}).to_list()
          [{'file': 'a.npz', 'why': 'empty'}, {'unit': 4, 'count': 2, 'why': 'torn'}]
        """
        found: list[dict[str, Any]] = [{"file": name, "why": why} for name, why in self.files.items()]
        runs = itertools.groupby(enumerate(sorted(self.units)), lambda at: (at[1] - at[0], self.units[at[1]]))
        for (_, why), run in runs:
            units = [unit for _, unit in run]
            found.append({"unit": units[0], "count": len(units), "why": why})
        return found
