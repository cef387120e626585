"""What users hold, states, samples and buffers, as records: frozen dataclasses that are also mappings.

Flashbax's are chex dataclasses, which unpack as `{**state}` and have `.replace`; so do records. They are
pytrees whose leaves come in the alphabetical order of the fields, as chex has it, and are taken apart by
JAX's own code, which is three times faster and felt in every call from Python.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar, dataclass_transform

import jax

Class = TypeVar("Class", bound=type)


class Record(Mapping[str, Any]):
    """The base of every record: a mapping of its fields.

    Example:
      >>> @record
      ... class Pair(Record):
      ...     first: int
      ...     second: int = 2
      >>> {**Pair(first=1).replace(second=3)}
      {'first': 1, 'second': 3}
    """

    def __getitem__(self, key: str) -> Any:
        return self.__dict__[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def replace(self, **changes: Any) -> Self:
        """Returns the record with some fields changed.

        Args:
          **changes: new values by the names of their fields.

        Raises:
          TypeError: if there is no such field.
        """
        record: Any = self
        return dataclasses.replace(record, **changes)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(cls: Class) -> Class:
    """Returns the class as a frozen dataclass whose arguments are keywords, registered as a pytree.

    Keyword-only fields let a subclass add fields without defaults.

    Args:
      cls: a class on `Record`; its annotated names become the fields. Those made by
        `dataclasses.field(metadata={"static": True})` are no leaves, but part of the structure.

    Example:
      >>> @record
      ... class Point(Record):
      ...     y: int
      ...     x: int
      >>> jax.tree.leaves(Point(y=1, x=2))
      [2, 1]
    """
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    fields = sorted(dataclasses.fields(made), key=lambda field: field.name)
    static = [field.name for field in fields if field.metadata.get("static")]
    leaves = [field.name for field in fields if field.name not in static]
    return jax.tree_util.register_dataclass(made, data_fields=leaves, meta_fields=static)
