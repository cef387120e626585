"""A root document that is damaged or gone, made anew from what else the vault says of itself.

One flipped bit is found by the root's own checksum. Else the schema stands a second time, with a checksum, in
the document of the group `steps`; how much there is, shards and log tell. In a vault that an older version
made there is no such copy: then names, dtypes and shapes come from the arrays' own documents.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from .arrays import ArraySpec
from .checksum import crc32c
from .dtypes import NpArray
from .errors import CorruptionError, FormatError, StrongbaxError
from .flips import flipped_bit
from .log import DIRECTORY, file_numbers
from .log_scan import Found, scan_log
from .roles import find_roles
from .root import FILE, Root, read_root
from .running import begin
from .salvage_table import Notes, read_array
from .schema import ATTRIBUTES, ATTRIBUTES_STOP, COLUMNS, Leaf, Schema
from .schema_copy import GROUP, read_schema
from .tree import Tree

_STORED = re.compile(rb'"crc32c": "([0-9a-f]{8})"')
_DAMAGED = re.compile(rb'"crc32c": "(.{8})"', re.DOTALL)
_BLANK = b'"crc32c": "00000000"'


def any_root(path: Path, notes: Notes) -> tuple[Root, bool]:
    """Gives a vault's root, as it stands or made anew, and whether it was made anew from other files.

    Args:
      path: folder of the vault.
      notes: grows.

    Raises:
      FormatError: if it is a whole root of a version that is not known, or of something that is no vault.
      CorruptionError: if nothing tells what the vault holds.
    """
    try:
        return read_root(path), False
    except FormatError as error:
        if not (path / GROUP).is_dir() or _is_whole(path):
            raise
        damage: StrongbaxError = error
    except StrongbaxError as error:
        if not (path / GROUP).is_dir():
            raise
        damage = error
    turned = _turned_back(path)
    if turned is not None:
        notes.mended.append("The root zarr.json had one flipped bit; its checksum tells which.")
        return turned, False
    schema, attributes, sure = _schema(path, damage)
    notes.mended.append("The root zarr.json is lost; it was made anew from shards, log and other documents.")
    notes.lost.append("The card, and where gaps are, stood in the root only.")
    if not sure:
        notes.lost.append("Containers of a step, attributes, and roles of unusual names stood there only.")
    root = Root(schema, begin(schema), attributes=attributes)
    return _counted(path, root, notes, sure=sure), True


def _is_whole(path: Path) -> bool:
    """Says whether the root is a document that somebody meant so, of another format or of no vault."""
    try:
        found = json.loads((path / FILE).read_bytes())
        own = found["attributes"].get("strongbax")
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return False
    return own is None or _crc_holds((path / FILE).read_bytes())


def _crc_holds(data: bytes) -> bool:
    found = _STORED.search(data)
    return found is not None and int(found[1], 16) == crc32c(_STORED.sub(_BLANK, data, count=1))


def _turned_back(path: Path) -> Root | None:
    """Finds the one bit whose flip makes the root's checksum hold, if there is one."""
    try:
        data = (path / FILE).read_bytes()
    except OSError:
        return None
    found = _DAMAGED.search(data)
    if found is None:
        return None
    blank = bytearray(data[: found.start()] + _BLANK + data[found.end() :])
    digits = f"{crc32c(bytes(blank)):08x}".encode()
    if sum(a != b for a, b in zip(digits, found[1], strict=True)) == 1:  # the flip is in the checksum
        return _decoded(bytes(blank), digits, path)
    if _STORED.search(data) is None:
        return None
    wanted = int(digits, 16) ^ int(found[1], 16)
    place = flipped_bit(wanted, len(blank))
    if place is None:
        return None
    blank[place[0]] ^= 1 << place[1]
    return _decoded(bytes(blank), found[1], path)


def _decoded(blank: bytes, digits: bytes, path: Path) -> Root | None:
    try:
        return Root.decode(blank.replace(_BLANK, b'"crc32c": "' + digits + b'"', 1), path)
    except (StrongbaxError, ValueError, LookupError, TypeError):
        return None


def _schema(path: Path, damage: StrongbaxError) -> tuple[Schema, Mapping[str, Any], bool]:
    """Gives schema and attributes, and whether they are surely those of the vault."""
    copy = read_schema(path)
    if copy is not None:
        return *copy, True
    try:
        return _from_documents(path), {}, False
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CorruptionError(
            f"The root of {str(path)!r} is damaged, and nothing else tells what the vault holds ({error}). "
            "Restore zarr.json from a copy of the vault."
        ) from damage


def _from_documents(path: Path) -> Schema:
    """Makes a schema of the arrays' own documents.

    Raises:
      OSError, ValueError, LookupError: if one is damaged, or they are not those that a schema gives.
    """
    specs = {group: _documents(path, group) for group in ("steps", "final", "episodes")}
    steps = specs["steps"]
    names = tuple(sorted(steps, key=lambda name: [unquote(part) for part in name.split("/")]))
    leaves = tuple(Leaf(name, steps[name].dtype, steps[name].shape[2:], steps[name].codec) for name in names)
    first = steps[names[0]]
    extra = {n: s.dtype for n, s in specs["episodes"].items() if n not in COLUMNS and "attributes" not in n}
    schema = Schema(
        streams=first.shape[0],
        leaves=leaves,
        tree=Tree(names, _nested(names)),
        roles=find_roles(names),
        finals=tuple(name for name in names if name in specs["final"]),
        columns=extra,
        block=first.rows,
    )
    for compressed in (True, False):
        for packed in (False, True):
            tried = replace(schema, finals_compressed=compressed, packed=packed)
            if all(_fits(spec, specs[spec.path.split("/", 1)[0]]) for spec in tried.arrays()):
                return tried
    raise ValueError("the arrays' documents do not fit together")


def _fits(spec: ArraySpec, specs: Mapping[str, ArraySpec]) -> bool:
    found = specs.get(spec.path.split("/", 1)[1])
    return found is not None and found.grown(0) == spec.grown(0)


def _documents(path: Path, group: str) -> dict[str, ArraySpec]:
    found: dict[str, ArraySpec] = {}
    for file in sorted((path / group).rglob(FILE)):
        document = json.loads(file.read_bytes())
        if document["node_type"] == "array":
            name = file.parent.relative_to(path).as_posix()
            found[name.split("/", 1)[1]] = ArraySpec.from_dict(name, document)
    return found


def _nested(names: tuple[str, ...]) -> Any:
    """Gives the containers of leaves as nested dicts, which is what their names tell."""
    if names == ("value",):
        return 0
    nested: dict[str, Any] = {}
    for place, name in enumerate(names):
        *groups, last = (unquote(part) if part != "%" else "" for part in name.split("/"))
        into = nested
        for group in groups:
            into = into.setdefault(group, {})
        into[last] = place

    def shape(node: Any) -> Any:
        if isinstance(node, int):
            return node
        return {"kind": "dict", "children": [[key, shape(child)] for key, child in node.items()]}

    return shape(nested)


def _counted(path: Path, root: Root, notes: Notes, *, sure: bool) -> Root:
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
        length = max(length, log.records[0].row)
    else:
        length = max(length, root.schema.block * (_blocks(path, root.schema) - 1))
    table = _Sealed(path, root)
    if not log.records:
        length = max(length, table.stop(root.schema.block * _blocks(path, root.schema)))
    episodes, size = table.count(length, episodes)
    return replace(
        root,
        length=length,
        committed=max([length, *(record.stop for record in log.records[-1:])]),
        episodes=episodes,
        attribute_bytes=size,
        log=0 if log.records else 1 + max([-1, *numbers]),
        sequence=log.records[0].sequence if log.records else 0,
    )


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

    No text of attributes is empty, so where the texts end rises; what was never written is zeros.
    """

    def __init__(self, path: Path, root: Root) -> None:
        arrays = root.schema.column_arrays()
        shards = len(list((path / "episodes" / ATTRIBUTES_STOP).glob("c.*")))
        self._most = shards * arrays[ATTRIBUTES_STOP].rows

        def column(name: str) -> tuple[NpArray, NpArray]:
            return read_array(path, arrays[name].grown(self._most), Notes())

        (start, _), (length, _) = column("start"), column("length")
        self._text_stops, self._known = column(ATTRIBUTES_STOP)
        self._stops = start + length
        self._rises = self._known & (np.diff(self._text_stops, prepend=0) > 0)

    def stop(self, most: int) -> int:
        """Gives where the last episode ends, of those that end at `most` or before."""
        held = self._stops[: _true(self._rises & (self._stops <= most))]
        return int(held.max(initial=0))

    def count(self, length: int, closed: int) -> tuple[int, int]:
        """Gives the episodes of `length` steps, `closed` at least, and the bytes of their attributes."""
        count = max(_true(self._rises & (self._stops <= length)), min(closed, self._most))
        return count, int(self._text_stops[:count].max(initial=0))


def _true(mask: NpArray) -> int:
    """Counts how many are true before the first that is not."""
    return len(mask) if mask.all() else int(np.argmin(mask))
