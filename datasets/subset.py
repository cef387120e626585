"""A part of a publication: some leaves of its steps as a vault of their own, or its card alone.

The vault of some leaves has all episodes and all steps. Leaves that say what a step earned and where episodes
end come along: they are small, and without them a table of episodes could not be checked.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..vault.errors import FormatError
from ..vault.files import replace as replace_file
from ..vault.manifest import check_manifest, write_manifest
from ..vault.roles import Roles
from ..vault.root import FILE, Root, document, group_paths
from ..vault.schema import Schema
from ..vault.schema_copy import GROUP, with_schema
from ..vault.tree import Tree, matches
from .episode_sheet import FILE as SHEET
from .manifest import Entry, Manifest

CARD = ("README.md", SHEET)

_LARGE_ROLES = ("next_observation",)  # may be as large as the observation


def card_entries(manifest: Manifest) -> list[Entry]:
    """Gives the files that tell of a dataset: they are no vault."""
    return [entry for entry in manifest.files if entry.path in CARD]


def subset_root(root: Root, patterns: Sequence[str]) -> Root:
    """Gives the root of a vault that has some of the leaves.

    Args:
      root: of the whole.
      patterns: names of leaves, or of groups of leaves.

    Raises:
      ValueError: if one fits no leaf.
    """
    schema = root.schema
    for pattern in patterns:
        if not any(matches(pattern, name) for name in schema.names):
            raise ValueError(f"`leaves` names {pattern!r}, which is none of the leaves {list(schema.names)}.")
    roles = {role: name for role, name in vars(schema.roles).items() if name and role not in _LARGE_ROLES}
    wanted = {*roles.values(), *(n for n in schema.names if any(matches(p, n) for p in patterns))}
    return replace(root, schema=_subset_schema(schema, [n for n in schema.names if n in wanted], roles))


def subset_entries(manifest: Manifest, root: Root) -> list[Entry]:
    """Gives the files of the whole that a vault of this root has, all but its two documents.

    Raises:
      FormatError: if the publication has parts, as it was not packed.
    """
    if any(entry.path.startswith("parts/") for entry in manifest.files):
        raise FormatError("Leaves can be taken of a packed vault only: this one has parts. Fetch all of it.")
    arrays = [array.path for array in root.arrays()]
    folders = {*arrays, *group_paths(arrays)}
    kept = [
        entry for entry in manifest.files if entry.path.rpartition("/")[0] in folders and "/" in entry.path
    ]
    return [entry for entry in kept if entry.path != f"{GROUP}/{FILE}"] + card_entries(manifest)


def finish_vault(folder: Path, root: Root, whole: Manifest) -> None:
    """Writes the two documents of a vault of some leaves, and its manifest."""
    replace_file(folder / GROUP / FILE, document(with_schema(root)))
    replace_file(folder / FILE, root.encode())
    write_subset_manifest(folder, whole, root.schema.names)


def write_subset_manifest(folder: Path, whole: Manifest, leaves: Iterable[str]) -> None:
    """Writes the manifest of a part, which says of what it is one."""
    facts = {"dataset_id": whole.dataset_id, "of": whole.revision, "leaves": [*leaves]}
    write_manifest(folder, facts=facts)


def is_subset_there(place: Path, whole: Manifest, leaves: Iterable[str]) -> bool:
    """Tells whether the same part of the same publication stands at a place, by the sizes of its files."""
    try:
        found: Any = json.loads((place / "manifest.json").read_bytes())
        same = (found.get("of"), found.get("leaves")) == (whole.revision, [*leaves])
    except (OSError, ValueError, AttributeError):
        return False
    return same and not check_manifest(place, deep=False)


def _subset_schema(schema: Schema, names: list[str], roles: dict[str, Any]) -> Schema:
    numbers = {schema.names.index(name): number for number, name in enumerate(names)}
    return replace(
        schema,
        leaves=tuple(schema.leaf(name) for name in names),
        tree=Tree(tuple(names), _prune(schema.tree.shape, numbers)),
        roles=Roles(**roles),
        finals=tuple(name for name in schema.finals if name in names),
    )


def _prune(shape: Any, numbers: dict[int, int]) -> Any:
    """Gives the containers without leaves that are not taken, None if none is."""
    if isinstance(shape, int):
        return numbers.get(shape)
    pairs = [[key, _prune(child, numbers)] for key, child in shape["children"]]
    left = [pair for pair in pairs if pair[1] is not None]
    if not left:
        return None
    # A list that lacks an item keeps the others' numbers, as a dict.
    kind = "dict" if len(left) < len(pairs) and shape["kind"] in ("list", "tuple") else shape["kind"]
    return {**shape, "kind": kind, "children": left}
