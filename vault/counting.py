"""How much a vault holds, found out without its root: from shards, log and the documents of arrays."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .arrays import ArraySpec
from .dtypes import NpArray
from .errors import StrongbaxError
from .log import DIRECTORY, file_numbers
from .log_scan import Found, scan_log
from .root import FILE, Root
from .salvage_table import Notes, read_array
from .schema import ATTRIBUTES, ATTRIBUTES_STOP, Schema
from .shards import ShardReader


@dataclass(frozen=True)
class Told:
    """A root, and what is known of it.

    Attributes:
      root: as it stands, or made anew.
      anew: whether it was made of other files, so that it does not know what runs.
      ends: whether it has every episode that ended in its shards.
    """

    root: Root
    anew: bool = False
    ends: bool = True


def counted(path: Path, root: Root, notes: Notes, *, sure: bool) -> Told:
    """Finds out how much the shards hold.

    Where the log has records they begin at most where the shards end. Else the arrays' documents say what was
    there when the vault was last closed; behind that, a block that another follows is full, and of the last
    one as much counts as episodes say.
    """
    log, numbers = scan_log(path, root.schema, 0), file_numbers(path / DIRECTORY)
    if not sure and (log.records or log.broken):
        notes.lost.append("The log's records cannot be told apart without the root.")
        log = Found((), ())
    length, episodes = _closed(path, root.schema)
    if log.records:
        length = max(length, _filled(path, root.schema, log.records[0].row))
    else:
        length = max(length, root.schema.block * (_blocks(path, root.schema) - 1))
    table = _Sealed(path, root)
    if not log.records:
        length = max(length, table.stop(root.schema.block * _blocks(path, root.schema)))
    episodes, size, all_of_them = table.count(length, episodes)
    if not all_of_them:
        notes.lost.append(f"How many episodes ended after episode {episodes - 1} is lost.")
    root = replace(
        root,
        length=length,
        committed=max([length, *(record.stop for record in log.records[-1:])]),
        episodes=episodes,
        attribute_bytes=size,
        log=0 if log.records else 1 + max([-1, *numbers]),
        sequence=log.records[0].sequence if log.records else 0,
    )
    return Told(root, anew=True, ends=all_of_them)


def _closed(path: Path, schema: Schema) -> tuple[int, int]:
    """Gives the steps and episodes that were there when the vault was last closed."""
    found: dict[int, list[int]] = {0: [], 1: []}
    for array in schema.arrays():
        try:
            document = json.loads((path / array.path / FILE).read_bytes())
            spec = ArraySpec.from_dict(array.path, document)
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if spec.grown(0) == array and array.path != f"episodes/{ATTRIBUTES}":
            found[array.axis].append(spec.shape[array.axis])
    return min(found[1], default=0), min(found[0], default=0)


def _filled(path: Path, schema: Schema, length: int) -> int:
    """Gives where the steps before `length` end: in a block that was not full, zeros follow them.

    Steps that are zeros in all leaves are taken for such; so some may be lost, and none is made up.
    """
    start = (length - 1) // schema.block * schema.block if length else 0
    filled = np.zeros(length - start, np.bool_)
    for leaf in schema.leaves:
        out = np.empty((schema.streams, length - start, *leaf.shape), leaf.dtype)
        try:
            ShardReader(path, schema.step_array(leaf, length), checked=True).read(start, length, out)
        except StrongbaxError:
            return length  # whoever looks at the shards finds them lost
        for row in np.flatnonzero(~filled).tolist():
            filled[row] = any(out[:, row].tobytes())
    return start + int(np.flatnonzero(filled)[-1]) + 1 if filled.any() else start


def _blocks(path: Path, schema: Schema) -> int:
    """Counts the blocks of which every leaf has a shard, from the first on."""
    arrays = [schema.step_array(leaf) for leaf in schema.leaves]
    arrays = [array for array in arrays if 0 not in (*array.shape[:1], *array.tail)]
    block = 0
    while arrays and all((path / array.path / array.key(block)).exists() for array in arrays):
        block += 1
    return block


class _Sealed:
    """The sealed episode table without knowing how many rows count.

    No text of attributes is empty, so where the texts end rises; what was never written is zeros. Where that
    is lost, an episode that ends anywhere was written too.
    """

    def __init__(self, path: Path, root: Root) -> None:
        arrays = root.schema.column_arrays()
        names = ("start", "length", ATTRIBUTES_STOP)
        shards = [len(list((path / "episodes" / name).glob("c.*"))) for name in names]
        self._most = max(shards) * arrays["start"].rows
        self._any = any((path / "episodes").glob("*/c.*"))

        def column(name: str) -> tuple[NpArray, NpArray]:
            return read_array(path, arrays[name].grown(self._most), Notes())

        (start, known_start), (length, known_length) = column("start"), column("length")
        self._text_stops, known_text = column(ATTRIBUTES_STOP)
        self._stops, placed = start + length, known_start & known_length
        self._written = known_text & (np.diff(self._text_stops, prepend=0) > 0)
        self._written |= ~known_text & placed & (self._stops > 0)
        self._told = known_text | placed

    def stop(self, most: int) -> int:
        """Gives where the last episode ends, of those that end at `most` or before."""
        held = self._stops[: _true(self._written & (self._stops <= most))]
        return int(held.max(initial=0))

    def count(self, length: int, closed: int) -> tuple[int, int, bool]:
        """Counts the episodes of `length` steps, `closed` at least.

        Returns:
          Their number, the bytes of their attributes, and whether there were surely no more.
        """
        count = _true(self._written & (self._stops <= length))
        told = bool(self._told[count]) if count < self._most else count > 0 or not self._any
        sure = told and closed <= count
        count = max(count, min(closed, self._most))
        return count, int(self._text_stops[:count].max(initial=0)), sure


def _true(mask: NpArray) -> int:
    """Counts how many are true before the first that is not."""
    return len(mask) if mask.all() else int(np.argmin(mask))
