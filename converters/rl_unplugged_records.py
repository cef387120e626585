"""The records of RL Unplugged's files: lists in, rows of leaves out, parted into episodes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .pictures import is_picture, pixels_of
from .rl_unplugged_kinds import COLUMNS, LAST, SCALARS, TRANSITIONS, Kind
from .tf_example import Values, kind_of, parse_example

SHARD = re.compile(r"(?P<prefix>.*?)-?(?P<number>\d{5})-of-(?P<count>\d{5})")
CAMERA = (64, 64, 3)  # DeepMind's locomotion tasks; their pixels stand in the records without a shape
_PIXELS = "egocentric_camera"
_STACKS = ("o_t", "o_tp1")


@dataclass(frozen=True)
class Plan:
    """How the records are read.

    Attributes:
      kind: of the records.
      skip: leaves that are left out.
      shapes: of a row of leaves, where the user gave them.
      like: a record that all have the leaves and columns of; None before one is read.
    """

    kind: Kind
    skip: frozenset[str] = frozenset()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    like: "Record | None" = None


@dataclass(frozen=True)
class Part:
    """Rows of a record that are one episode.

    Attributes:
      start: the first row.
      stop: the row after the last step.
      final: the row that the last action led to, or None.
    """

    start: int
    stop: int
    final: int | None


@dataclass(frozen=True)
class Record:
    """A record's rows.

    Attributes:
      rows: leaves `[T, ...]`.
      columns: numbers of the record.
      parts: the episodes in it.
      length: rows.
    """

    rows: Mapping[str, NpArray]
    columns: Mapping[str, Any]
    parts: Sequence[Part]
    length: int


def shards_of(path: Path, prefix: str | None = None) -> list[Path]:
    """Returns a dataset's files in their order: a file itself, or a folder's.

    Args:
      path: of a file, or of a folder with files `<prefix>-00000-of-00100`.
      prefix: of the files, where a folder has several.

    Raises:
      FormatError: if there are several prefixes and none is given.
      ValueError: if there are no such files.
    """
    if path.is_file():
        return [path]
    found: dict[str, list[Path]] = {}
    for file in sorted(path.iterdir()):
        match = SHARD.fullmatch(file.name)
        if match and file.is_file():
            found.setdefault(match["prefix"], []).append(file)
    if prefix is None and len(found) > 1:
        raise FormatError(
            f"{path} has files of several datasets, {', '.join(found)}. Say which with `prefix=`."
        )
    chosen = next(iter(found), "") if prefix is None else prefix
    if chosen not in found:
        raise ValueError(
            f"`prefix` must be that of files in {path}: got {prefix!r}. It has {', '.join(found) or 'none'}."
        )
    return found[chosen]


def record_of(plan: Plan, file: Path, number: int, data: bytes, *, pictures: bool = True) -> Record:
    """Returns the rows of a file's record.

    Args:
      plan: how.
      file: that it is from.
      number: of the record in it.
      data: the record.
      pictures: as for `read_record`.

    Raises:
      FormatError: naming the file, the record, and what is wrong with it.
    """
    try:
        return read_record(plan, parse_example(data), pictures=pictures)
    except FormatError as error:
        raise FormatError(f"Record {number} of {file}: {str(error).removesuffix('.')}.") from error


def read_record(plan: Plan, example: Mapping[str, Values], *, pictures: bool = True) -> Record:
    """Returns a record's rows.

    Args:
      plan: how.
      example: the record.
      pictures: decode them; else they are ones `[T]`.

    Raises:
      FormatError: saying what is wrong with it.
      MissingExtraError: for pictures, without Pillow.

    Example:
      >>> from .rl_unplugged_kinds import find_kind
      >>> made = {"action": np.arange(4.0, dtype=np.float32), "reward": np.ones(2, np.float32)}
      >>> made |= {"discount": np.ones(2, np.float32)}
      >>> record = read_record(Plan(find_kind(made)), made)
      >>> record.rows["action"].tolist(), record.parts
      ([[0.0, 1.0], [2.0, 3.0]], [Part(start=0, stop=2, final=None)])
    """
    kind = plan.kind
    missing = sorted(key for key in kind.needs - {":"} if key not in example)
    if missing:
        raise FormatError(f"it has no `{missing[0]}`, which all records of {kind.name} have")
    record = (_transition if kind.name == TRANSITIONS else _sequence)(plan, example, pictures=pictures)
    like = plan.like or record
    for found, first in ((record.rows, like.rows), (record.columns, like.columns)):
        if found.keys() != first.keys():
            raise FormatError(f"it has {', '.join(sorted(found))}; the first has {', '.join(sorted(first))}")
    return record


def _sequence(plan: Plan, example: Mapping[str, Values], *, pictures: bool) -> Record:
    kind = plan.kind
    length = len(next(values for key, values in example.items() if kind.leaf(key) == "discount"))
    rows: dict[str, NpArray] = {}
    for key, values in example.items():
        leaf = kind.leaf(key)
        if key not in COLUMNS and leaf not in plan.skip:
            rows[leaf] = _rows(plan, key, leaf, values, length, pictures=pictures)
    return Record(rows, _columns(example), _parts(kind, rows, length), length)


def _transition(plan: Plan, example: Mapping[str, Values], *, pictures: bool) -> Record:
    """One step, its observation a stack of frames: row 0 is what stands before it, row 1 after it."""
    rows: dict[str, NpArray] = {}
    for key, values in example.items():
        leaf = plan.kind.leaf(key)
        if key in _STACKS and pictures:
            frames = _rows(plan, key, leaf, values, len(values), pictures=True)
            rows[leaf] = np.concatenate(list(frames), axis=-1)[None]
        elif key not in COLUMNS and leaf not in plan.skip:
            rows[leaf] = _rows(plan, key, leaf, values, 1, pictures=pictures)
    rows["observation"] = np.concatenate([rows["observation"], rows.pop("o_tp1")])
    return Record(rows, _columns(example), [Part(0, 1, 1)], 1)


def _columns(example: Mapping[str, Values]) -> dict[str, Any]:
    return {COLUMNS[key]: _number(key, values) for key, values in example.items() if key in COLUMNS}


def _number(key: str, values: Values) -> Any:
    if isinstance(values, list) or len(values) != 1:
        raise FormatError(f"`{key}` must be one number; it is {len(values)} in a {kind_of(values)}")
    # Ids are 64 bits without a sign, which the protocol has not.
    return values.view(np.uint64)[0] if key == "episode_id" else values[0]


def _rows(plan: Plan, key: str, leaf: str, values: Values, length: int, *, pictures: bool) -> NpArray:
    if isinstance(values, list) and leaf in SCALARS:
        raise FormatError(f"`{key}` is a {kind_of(values)} where numbers are wanted")
    if isinstance(values, list):
        if not pictures:
            return np.ones(length, np.uint8)
        if len(values) == length and all(is_picture(one) for one in values):
            decoded = [pixels_of(one)[..., :: -1 if plan.kind.swapped else 1] for one in values]
            if len({one.shape for one in decoded}) > 1:
                raise FormatError(f"the pictures of `{key}` have different sizes")
            return np.stack(decoded)
        flat = np.frombuffer(b"".join(values), np.uint8)
    else:
        flat = values
    if length == 0 or len(flat) % length:
        raise FormatError(f"`{key}` has {len(flat)} values, which are no {length} rows")
    size = len(flat) // length
    shape = plan.shapes.get(leaf) or _shape(leaf, flat, size)
    try:
        return flat.reshape(length, *shape)
    except ValueError:
        raise FormatError(f"`{key}` has {size} values a row, which are no {list(shape)}") from None


def _shape(leaf: str, flat: NpArray, size: int) -> tuple[int, ...]:
    if leaf.endswith(_PIXELS) and flat.dtype == np.uint8:
        return CAMERA
    scalar = leaf in SCALARS or flat.dtype == np.int64
    return () if scalar and size == 1 else (size,)


def _parts(kind: Kind, rows: Mapping[str, NpArray], length: int) -> list[Part]:
    if kind.final:
        return [Part(0, length - 1, length - 1)]
    lasts = np.flatnonzero(rows["step_type"] == LAST).tolist() if "step_type" in rows else []
    parts: list[Part] = []
    start = 0
    for last in lasts:
        parts.append(Part(start, last, last))
        start = last + 1
    padding = bool(lasts) and not any(
        values[start:].any() for values in rows.values() if values.dtype.kind != "u"
    )
    if start < length and not padding:
        parts.append(Part(start, length, None))
    return parts
