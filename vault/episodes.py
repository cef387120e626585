"""Episodes: the rows that end them, the table of them, and one of them with its steps.

```
#                 |<---- episode 0 ---->|<- episode 1 ...
# observation   : [o0, o1, o2,            o0, o1, ...]    one row a step
# final         :             [o3]                        one row an episode, where known
```
A row is written when its episode ends and never changes. The id is the place in that order.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .dtypes import NpArray
from .errors import MissingExtraError


@dataclass(frozen=True)
class Episode:
    """One episode, to append or as read.

    Attributes:
      steps: pytree, leaves `[T, ...]`.
      final: pytree (or `{leaf name: row}`) of the leaves that have final rows, or None where unknown.
      terminated: the MDP ended. None when appending: taken from the last step's flags.
      truncated: somebody stopped it. None when appending: taken from the last step's flags.
      columns: the user columns' values.
      attributes: JSON object: strings, nested facts, a seed, a task text.
      id: place in the episode table; -1 when it has none.
      stream: the stream that it ran in.
      start: time of its first step.
      return_: sum of its rewards; NaN without a reward.
    """

    steps: Any
    final: Any = None
    terminated: bool | None = None
    truncated: bool | None = None
    columns: Mapping[str, Any] = field(default_factory=dict[str, Any])
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: int = -1
    stream: int = 0
    start: int = 0
    return_: Any = float("nan")

    @property
    def length(self) -> int:
        """The number of steps."""
        import jax

        return len(jax.tree_util.tree_leaves(self.steps)[0])

    def __len__(self) -> int:
        return self.length


@dataclass(frozen=True)
class Ends:
    """Where episodes end in a block of steps of one stream, in the order of `stop`.

    Attributes:
      stop: int64 [E], within the block: row `stop - 1` is the episode's last step.
      terminated: bool [E]. Where `truncated` is false too, the episode was cut.
      truncated: bool [E].
      final: rows `[E, ...]` by leaf name, or None where none is known.
      final_known: bool [E], or None: all known if `final` is given.
      columns: values `[E]` of the user columns by name.
      attributes: a JSON object an episode, or nothing.
    """

    stop: NpArray
    terminated: NpArray
    truncated: NpArray
    final: Mapping[str, NpArray] | None = None
    final_known: NpArray | None = None
    columns: Mapping[str, NpArray] = field(default_factory=dict[str, NpArray])
    attributes: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Rows:
    """Rows of the episode table, in memory.

    Attributes:
      columns: `[E, ...]` by name, the stored ones.
      finals: `[E, ...]` by leaf name.
      attributes: a JSON text an episode.
    """

    columns: Mapping[str, NpArray]
    finals: Mapping[str, NpArray]
    attributes: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.attributes)

    def stops(self) -> NpArray:
        """Time after each episode's last step, int64 [E]."""
        return self.columns["start"] + self.columns["length"]

    def part(self, start: int, stop: int) -> "Rows":
        """Gives some of the rows."""
        return Rows(
            {name: column[start:stop] for name, column in self.columns.items()},
            {name: final[start:stop] for name, final in self.finals.items()},
            self.attributes[start:stop],
        )

    def take(self, order: NpArray) -> "Rows":
        """Gives the rows in another order."""
        return Rows(
            {name: column[order] for name, column in self.columns.items()},
            {name: final[order] for name, final in self.finals.items()},
            [self.attributes[place] for place in order.tolist()],
        )


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Joins rows end to end; there is at least one part."""
    if len(parts) == 1:
        return parts[0]
    return Rows(
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
        {name: np.concatenate([part.finals[name] for part in parts]) for name in parts[0].finals},
        [text for part in parts for text in part.attributes],
    )


class EpisodeTable(Mapping[str, NpArray]):
    """Columns of episodes, NumPy arrays `[E]`; `len` is the number of episodes, as for a data frame.

    Columns: id, stream, start, length (in steps), return, terminated, truncated, final_known, and the
    user's.

    Example:
      >>> table = EpisodeTable({"id": np.arange(3), "return": np.array([1.0, 5.0, 3.0])})
      >>> table.filter(table["return"] > 2).sort("return", descending=True)["id"]
      array([1, 2])
    """

    def __init__(self, columns: Mapping[str, NpArray], attributes: Sequence[bytes] | None = None) -> None:
        self._columns = dict(columns)
        self._attributes = attributes

    def __getitem__(self, name: str) -> NpArray:
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"There is no column {name!r}: the columns are {self.columns}.") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return self.num_rows

    def __bool__(self) -> bool:
        return self.num_rows > 0

    def __repr__(self) -> str:
        return f"EpisodeTable({self.num_rows} episodes: {', '.join(self.columns)})"

    @property
    def num_rows(self) -> int:
        """The number of episodes."""
        return len(next(iter(self._columns.values()))) if self._columns else 0

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        return list(self._columns)

    def attributes(self, row: int) -> dict[str, Any]:
        """Gives the JSON attributes of a row."""
        return json.loads(self._attributes[row]) if self._attributes is not None else {}

    def filter(self, mask: NpArray) -> "EpisodeTable":
        """Keeps the rows where `mask`, bool [E], is true."""
        if mask.shape != (self.num_rows,) or mask.dtype != np.bool_:
            raise ValueError(
                f"`mask` must be bool [{self.num_rows}]: got {mask.dtype} {list(mask.shape)}. "
                "Compare a column: table.filter(table['return'] > 0)."
            )
        return self.take(np.flatnonzero(mask))

    def sort(self, by: str, *, descending: bool = False) -> "EpisodeTable":
        """Sorts by a column; ties stay in their order, NaN comes last."""
        return self.take(order_of(self[by], descending=descending))

    def only(self, names: Sequence[str]) -> "EpisodeTable":
        """Keeps some columns."""
        return EpisodeTable({name: self[name] for name in names}, self._attributes)

    def replace(self, **columns: NpArray) -> "EpisodeTable":
        """Gives the table with other values in some columns."""
        return EpisodeTable(self._columns | columns, self._attributes)

    def to_pandas(self) -> Any:
        """Gives a pandas DataFrame, one row an episode."""
        return _extra("pandas").DataFrame(self._columns)

    def to_arrow(self) -> Any:
        """Gives a pyarrow Table, one row an episode."""
        return _extra("pyarrow").table(self._columns)

    def take(self, rows: NpArray) -> "EpisodeTable":
        """Gives some rows, int64, in their order."""
        texts = self._attributes
        taken = None if texts is None else [texts[row] for row in rows.tolist()]
        return EpisodeTable({name: column[rows] for name, column in self._columns.items()}, taken)

    def texts(self) -> Sequence[bytes]:
        """Gives the JSON attributes of all rows, as they are stored."""
        return self._attributes if self._attributes is not None else [b"{}"] * self.num_rows


def join_tables(tables: Sequence[EpisodeTable]) -> EpisodeTable:
    """Joins tables of the same columns end to end; there is at least one."""
    if len(tables) == 1:
        return tables[0]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0].columns}
    return EpisodeTable(columns, [text for table in tables for text in table.texts()])


def order_of(column: NpArray, *, descending: bool = False) -> NpArray:
    """Gives the rows in the order of a column, int64 [E]; ties stay in their order, NaN comes last.

    Raises:
      ValueError: if the column holds more than one value an episode.

    Example:
      >>> order_of(np.array([1.0, np.nan, 3.0, 3.0]), descending=True)
      array([2, 3, 0, 1])
    """
    if column.ndim != 1:
        raise ValueError(
            f"The column to sort by must hold one value an episode: got {list(column.shape[1:])} values. "
            "Reduce it first: view.select(np.argsort(table['return'].sum(axis=1)))."
        )
    order = np.argsort(column, kind="stable")
    if not descending:
        return order
    back = len(column) - 1 - np.argsort(column[::-1], kind="stable")[::-1]
    unknown = np.isnan(column[back]) if column.dtype.kind == "f" else np.zeros(len(back), np.bool_)
    return np.concatenate([back[~unknown], order[len(back) - int(unknown.sum()) :]])


def _extra(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(f"This needs {name}: `pip install {name}`.") from None


def encode_attributes(attributes: Mapping[str, Any]) -> bytes:
    """Gives an episode's attributes as JSON text.

    Raises:
      ValueError: if JSON cannot hold them.
    """
    try:
        return json.dumps(dict(attributes), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`attributes` must be what JSON can hold: {error}. Turn arrays into lists, NaN into None."
        ) from None
