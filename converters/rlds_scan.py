"""A first look at all records of an RLDS dataset, for what only the data say.

Nothing but the data say how many steps there are, how wide texts are, and what an episode's last row is:
the final observation, as RLDS has it, or one more step, as many datasets of Open X-Embodiment have it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from math import prod
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .bad import Bad
from .rlds_features import TEXT, Feature
from .rlds_folder import Folder, Shard, read_shard
from .rlds_values import read_feature
from .tf_example import parse_example

FLAGS = ("is_first", "is_last", "is_terminal")


@dataclass
class Scan:
    """What the records amount to.

    Attributes:
      lengths: rows of each episode, its last row included.
      ending: whether the last row of each episode says `is_last`.
      carrying: those of them whose last row has an action or a reward that is not 0.
      firsts: episodes whose first row says `is_first`.
      shapes: of one row of each feature of the steps, by name.
      widths: bytes of the longest text, by name.
      varying: texts that change within an episode.
      nonzero: features whose last row, where it says `is_last`, is not 0 throughout.
      nan_rewards: rewards that are no number.
    """

    lengths: list[int] = field(default_factory=list[int])
    ending: list[bool] = field(default_factory=list[bool])
    carrying: int = 0
    firsts: int = 0
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    widths: dict[str, int] = field(default_factory=dict[str, int])
    varying: set[str] = field(default_factory=set[str])
    nonzero: set[str] = field(default_factory=set[str])
    nan_rewards: int = 0

    @property
    def lasts(self) -> int:
        """Episodes whose last row says `is_last`."""
        return sum(self.ending)

    def skip_to(self, number: int) -> None:
        """Counts records that are left out up to one, as episodes of no rows."""
        left = max(0, number - len(self.lengths))
        self.lengths += [0] * left
        self.ending += [False] * left


@dataclass(frozen=True)
class Record:
    """One episode as it stands in a record.

    Attributes:
      rows: values `[T, ...]` of the features of the steps, by name.
      rest: values of the other features that are there, by path.
      shard: that it is from.
      number: of the record in it.
    """

    rows: dict[str, NpArray]
    rest: dict[str, NpArray]
    shard: Shard
    number: int

    @property
    def length(self) -> int:
        """Rows of the record."""
        return len(next(iter(self.rows.values())))

    @property
    def ends_last(self) -> bool:
        """Whether its last row says `is_last`."""
        return "is_last" in self.rows and bool(self.rows["is_last"][-1:].any())

    def error(self, what: object) -> FormatError:
        """Makes an error that names the record."""
        return FormatError(f"Record {self.number} of {self.shard.path}: {what}.")


def records_of(
    folder: Folder, features: Sequence[Feature], *, images: bool, start: int = 0, stop: int | None = None
) -> Iterator[Record]:
    """Yields records of a dataset, one in memory at a time.

    Args:
      folder: of the dataset.
      features: to read.
      images: decode them; see `read_feature`.
      start: the record to begin with, counted over all shards.
      stop: the record to stop before; None reads to the end.

    Raises:
      FormatError: naming the file and the record.
    """
    before = 0  # records in the shards before
    for shard in folder.shards:
        first, before = min(max(0, start - before), shard.records), before + shard.records
        if start >= before and shard.records:
            continue
        last = shard.records + 1 if stop is None else stop - (before - shard.records)
        if last <= first:
            return
        # Not a record more than is wanted: it may be one that cannot be read.
        for number, data in enumerate(islice(read_shard(shard, first), last - first), first):
            try:
                example = parse_example(data)
                rows = {f.name: read_feature(f, example, images=images) for f in features if f.in_steps}
                rest = {f.path: read_feature(f, example) for f in features if not f.in_steps}
            except FormatError as error:
                raise FormatError(f"Record {number} of {shard.path}: {error}.") from error
            kept = {name: values for name, values in rows.items() if values is not None}
            record = Record(kept, {n: v for n, v in rest.items() if v is not None}, shard, number)
            # Rows of no numbers cannot be counted: they are as many as the others.
            lengths = {name: len(values) for name, values in kept.items() if prod(values.shape[1:])}
            if len(set(lengths.values())) > 1:
                raise record.error(f"the features of its steps have different lengths: {lengths}")
            length = max(lengths.values(), default=0)
            for name in kept.keys() - lengths.keys():
                kept[name] = np.zeros((length, *kept[name].shape[1:]), kept[name].dtype)
            yield record


def scan(folder: Folder, features: Sequence[Feature], bad: Bad) -> Scan:
    """Reads all records once, images not decoded.

    Args:
      folder: of the dataset.
      features: to read.
      bad: takes the records that cannot be read, where they may be left out: these have no rows.

    Raises:
      FormatError: if a record does not hold what the features say.
    """
    found = Scan()
    count = sum(shard.records for shard in folder.shards)
    for number, record in bad.each(
        count, lambda start: records_of(folder, features, images=False, start=start)
    ):
        found.skip_to(number)
        bad.tried(number, partial(_add, found, record), otherwise=None)
    found.skip_to(count)
    if not found.lengths:
        raise FormatError(f"{folder.path} holds no records: there is nothing to convert.")
    return found


def _add(found: Scan, record: Record) -> None:
    _check_flags(record)
    found.firsts += bool("is_first" in record.rows and record.rows["is_first"][:1].any())
    carries = False
    for name, values in record.rows.items():
        if values.dtype == TEXT:
            _add_text(found, record, name, values)
        elif len(values) and found.shapes.setdefault(name, values.shape[1:]) != values.shape[1:]:
            raise record.error(
                f"`{name}` has rows of {list(values.shape[1:])}, in the first record "
                f"{list(found.shapes[name])}; a leaf's rows have one shape. `skip=({name!r},)` leaves it out"
            )
        if record.ends_last and _is_there(values[-1:]):
            found.nonzero.add(name)
            carries |= name.split("/")[0] in ("action", "reward")
        if name == "reward" and values.dtype.kind == "f":
            found.nan_rewards += int(np.isnan(values).sum())
    found.carrying += carries
    found.lengths.append(record.length)
    found.ending.append(record.ends_last)


def _is_there(values: NpArray) -> bool:
    if values.dtype == TEXT:
        return any(bool(text) for text in values.flat)
    return bool(((values != 0) & (values == values)).any()) or not values.size  # noqa: PLR0124 - NaN


def _add_text(found: Scan, record: Record, name: str, values: NpArray) -> None:
    texts: list[Any] = list(values.flat)
    if values[:1].ndim > 1 or len(set(texts)) > 1:
        found.varying.add(name)
    found.shapes.setdefault(name, values.shape[1:])
    found.widths[name] = max(found.widths.get(name, 1), *(len(text) for text in texts), 1)
    if any(text.endswith(b"\0") for text in texts):
        raise record.error(f"`{name}` ends with a zero byte, which texts of fixed width lose; skip it")


def _check_flags(record: Record) -> None:
    for name, place in (
        ("is_first", slice(1, None)),
        ("is_last", slice(None, -1)),
        ("is_terminal", slice(None, -1)),
    ):
        values = record.rows.get(name)
        if values is None or not values[place].any():
            continue
        row = int(np.flatnonzero(values[place].reshape(len(values) - 1, -1).any(axis=1))[0])
        row += place.start or 0
        raise record.error(
            f"`{name}` is set in row {row} of {len(values)}, amidst the record, where a record is an "
            f"episode. `skip=({name!r},)` does without it"
        )
