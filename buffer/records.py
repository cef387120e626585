"""What users hold, states, samples and buffers, as records: frozen, keyword-only, mappable.

A record is a chex dataclass, as Flashbax's are: a pytree, a mapping of its fields, with `.replace`.
"""

from typing import TYPE_CHECKING, Any, Self, TypeVar, dataclass_transform

import chex

Class = TypeVar("Class", bound=type)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    class Record(Mapping[str, Any]):
        """What chex adds to a record, for type checkers to see."""

        def __getitem__(self, key: str) -> Any: ...
        def __iter__(self) -> Iterator[str]: ...
        def __len__(self) -> int: ...
        def replace(self, **changes: Any) -> Self:
            """Returns the record with these fields changed."""
            ...
else:

    class Record:
        """The base of every record; chex adds the methods when the class is made one."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: Class) -> Class:
    """Returns the class as a frozen chex dataclass whose arguments are keywords.

    Keyword-only fields let a subclass add fields without defaults.

    Args:
      cls: the class; its annotated names become the fields.

    Returns:
      The class, registered as a pytree.

    Example:
      >>> @record
      ... class Pair(Record):
      ...     first: int
      ...     second: int = 2
      >>> {**Pair(first=1).replace(second=3)}
      {'first': 1, 'second': 3}
    """
    made: Any = chex.dataclass(cls, frozen=True, kw_only=True)
    return made
