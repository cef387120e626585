"""Minari's Arrow and Parquet storages: a folder an episode, one row an observation.

```
# data/0/part-0.parquet    observations, rewards, ...: [o0 .. oT]   T + 1 rows
#                          actions, rewards and flags have a row of padding at their end
# data/0/metadata.json     id, total_steps, seed, options, rewards_sum, ...
```
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from ..vault.tree import component
from .extra import extra
from .minari_raw import COUNTS, FLAGS, Raw, Scan, flags, pictures, skipped, texts
from .minari_spaces import Space, child, shape_of

METADATA = "metadata.json"
BATCH = 1 << 15  # rows that Minari writes at a time
_PARTS = {"observations": "observation", "actions": "action", "infos": "infos"}


@dataclass(frozen=True)
class ArrowStorage:
    """The folders.

    Attributes:
      path: of the folder that holds them.
      form: `arrow` or `parquet`.
      count: episodes that the metadata speaks of.
      spaces: of observation and action, by these names.
      skip: leaves, or groups of them, to leave out.
    """

    path: Path
    form: str
    count: int
    spaces: dict[str, Space | None]
    skip: Sequence[str] = ()

    def more(self) -> int:
        """Counts the episodes that the metadata does not speak of."""
        return max(0, sum(folder.name.isdecimal() for folder in self.path.iterdir()) - self.count)

    def scan(self, start: int = 0) -> Iterator[Scan]:
        """Yields what each episode is like, from one on."""
        for raw in self._some(start, self.count, whole=False):
            widths = {n: v.dtype.itemsize // 4 for n, v in raw.leaves.items() if v.dtype.kind == "U"}
            rewards = raw.leaves["reward"]
            nans = int(np.isnan(rewards).sum()) if rewards.dtype.kind == "f" else 0
            yield Scan(len(rewards), nans, widths)

    def episodes(self, start: int, stop: int) -> Iterator[Raw]:
        """Yields the episodes `[start, stop)`."""
        return self._some(start, stop, whole=True)

    def _some(self, start: int, stop: int, *, whole: bool) -> Iterator[Raw]:
        for number in range(start, stop):
            folder = self.path / str(number)
            table = self._table(folder)
            for key in ("observations", "actions", "rewards", *FLAGS):
                if key not in table.column_names:
                    raise FormatError(f"{folder} has no column `{key}`; it has {table.column_names}.")
            if table.num_rows == 0:
                raise FormatError(f"{folder} has no rows: an episode has one observation at least.")
            yield _raw(table, folder, self.spaces, self.skip, whole=whole)

    def _table(self, folder: Path) -> Any:
        parts = sorted(folder.glob(f"part-*.{self.form}"), key=lambda part: (len(part.name), part.name))
        if not parts:
            raise FormatError(
                f"{folder} has no `part-0.{self.form}`: the metadata speaks of {self.count} episodes, 0 to "
                f"{self.count - 1}. Fetch or copy the dataset again."
            )
        arrow = extra("pyarrow", "arrow", f"Reading {self.form.title()}")
        tables: list[Any] = []
        for part in parts:
            try:
                table, sizes = _open(part, self.form)
            except (arrow.ArrowException, OSError) as error:
                raise FormatError(
                    f"{part} cannot be read as {self.form}: {error}. It is damaged; fetch or copy it again."
                ) from error
            _check_order(part, sizes)
            tables.append(table)
        return arrow.concat_tables(tables).combine_chunks()


def _open(part: Path, form: str) -> tuple[Any, list[int]]:
    """Returns a file's table, and how many rows each of its batches has."""
    if form == "parquet":
        module = extra("pyarrow.parquet", "arrow", "Reading Parquet")
        file = module.ParquetFile(part, page_checksum_verification=True)
        return file.read(), [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
    file = extra("pyarrow.ipc", "arrow", "Reading Arrow").open_file(part.read_bytes())
    return file.read_all(), [file.get_batch(at).num_rows for at in range(file.num_record_batches)]


def _check_order(part: Path, sizes: Sequence[int]) -> None:
    """Refuses a file whose batches show that they were written out of order, as Minari writes long episodes.

    Its writer hands an episode to threads in batches of 32,768 rows, and only the last may have fewer.
    """
    odd = [size for size in sizes if size != BATCH]
    if len(odd) == 1 and odd[0] < BATCH == sizes[-1]:
        raise FormatError(
            f"The rows of {part} are out of order: its batches have {list(sizes)} rows, where only the last "
            f"may have fewer than {BATCH}. Minari's writer does so to long episodes (its issue 351); what "
            "came first is lost. Write the dataset again with data_format='hdf5', or pass skip_bad=True."
        )


def _raw(
    table: Any, folder: Path, spaces: dict[str, Space | None], skip: Sequence[str], *, whole: bool
) -> Raw:
    leaves: dict[str, NpArray] = {}
    jpeg: list[str] = []
    for key in table.column_names:
        name = _PARTS.get(key)
        if name is None or skipped(name, skip):
            continue
        node = _Node(_column(table, key), spaces.get(name), name, None, f"`{key}` of {folder}")
        for leaf in node.leaves(skip):
            if not whole and not leaf.is_text:
                continue
            leaves[leaf.name] = leaf.values(key == "actions")
            jpeg += [leaf.name] if leaf.is_jpeg else []
    leaves["reward"] = _numbers(_column(table, "rewards"))[:-1]
    for key, name in FLAGS.items():
        values = _numbers(_column(table, key))[:-1]
        leaves[name] = flags(values, f"`{key}` of {folder}")
    return Raw(leaves, _facts(folder) if whole else {}, tuple(jpeg))


def _column(table: Any, key: str) -> Any:
    column = table.column(key)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


@dataclass(frozen=True)
class _Node:
    """A column, or a field of one."""

    array: Any
    space: Space | None
    name: str
    shape: tuple[int, ...] | None
    where: str

    def leaves(self, skip: Sequence[str]) -> Iterator["_Node"]:
        kind = self.array.type
        if not _is(kind, "struct"):
            yield self
            return
        for index, field in enumerate(kind):
            name = f"{self.name}/{component(field.name)}"
            below = child(self.space, field.name)
            text = (field.metadata or {}).get(b"shape")
            shape = None if text is None else tuple(int(n) for n in text.decode().split(",") if n)
            if not skipped(name, skip):
                yield from _Node(self.array.field(index), below, name, shape, self.where).leaves(skip)

    @property
    def is_text(self) -> bool:
        return _is(self.array.type, "string") or _is(self.array.type, "large_string")

    @property
    def is_jpeg(self) -> bool:
        return _is(self.array.type, "binary") or _is(self.array.type, "large_binary")

    def values(self, padded: bool) -> NpArray:
        array = self.array[:-1] if padded else self.array
        where = f"`{self.name}`, {self.where}"
        if array.null_count:
            raise FormatError(f"{where} must have a value in every row: {array.null_count} have none.")
        if self.is_text:
            return texts(array.to_pylist(), where)
        if self.is_jpeg and self.space is not None:
            return pictures(array.to_pylist(), shape_of(self.space), where)
        if _is(array.type, "fixed_size_list"):
            flat = _numbers(array.flatten())
            shape = shape_of(self.space) if self.space is not None else self.shape
            shape = (array.type.list_size,) if shape is None else shape
            if int(np.prod(shape)) != array.type.list_size:
                raise FormatError(
                    f"{where} has {array.type.list_size} numbers a row; its shape shall be {list(shape)}."
                )
            return flat.reshape(len(array), *shape)
        if _is(array.type, "list") or _is(array.type, "struct") or self.is_jpeg:
            raise FormatError(
                f"{where} must hold numbers, texts or lists of one length; its type is {array.type}. Leave "
                f"it out with `skip=({self.name!r},)`."
            )
        return _numbers(array)


def _numbers(array: Any) -> NpArray:
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _is(kind: Any, name: str) -> bool:
    return bool(getattr(extra("pyarrow.types", "arrow", "Reading Arrow"), f"is_{name}")(kind))


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / METADATA
    if not path.exists():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} must be JSON: {error}. Fetch or copy it again.") from error
    return {key: value for key, value in facts.items() if key not in COUNTS}
