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

from .arrays import ArraySpec
from .checksum import crc32c
from .counting import Told, counted
from .errors import CorruptionError, FormatError, StrongbaxError
from .flips import flipped_bit
from .roles import find_roles
from .root import FILE, Root, read_root
from .running import begin
from .salvage_table import Notes
from .schema import COLUMNS, Leaf, Schema
from .schema_copy import GROUP, read_schema
from .tree import Tree

_STORED = re.compile(rb'"crc32c": "([0-9a-f]{8})"')
_DAMAGED = re.compile(rb'"crc32c": "(.{8})"', re.DOTALL)
_BLANK = b'"crc32c": "00000000"'


def any_root(path: Path, notes: Notes) -> Told:
    """Gives a vault's root, as it stands or made anew.

    Args:
      path: folder of the vault.
      notes: grows.

    Raises:
      FormatError: if it is a whole root of a version that is not known, or of something that is no vault.
      CorruptionError: if nothing tells what the vault holds.
    """
    try:
        return Told(read_root(path))
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
        return Told(turned)
    schema, attributes, sure = _schema(path, damage)
    notes.mended.append("The root zarr.json is lost; it was made anew from shards, log and other documents.")
    notes.lost.append("The card, and where gaps are, stood in the root only.")
    if not sure:
        notes.lost.append("Containers of a step, attributes, and roles of unusual names stood there only.")
    root = Root(schema, begin(schema), attributes=attributes)
    return counted(path, root, notes, sure=sure)


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
