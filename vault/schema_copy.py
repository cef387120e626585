"""The schema a second time, in the document of the group of steps: what is left when the root is lost.

It never changes, so it is written once, when the vault is made. No reader of a whole vault looks at it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .checksum import crc32c
from .root import FILE, FORMAT, Root, group_document
from .schema import Schema

GROUP = "steps"
_NAME = "strongbax_schema"


def with_schema(root: Root) -> dict[str, Any]:
    """Gives the document of the group of steps, with a copy of what never changes in the root."""
    copy = {"format": FORMAT, "schema": root.schema.to_dict(), "attributes": dict(root.attributes)}
    return group_document() | {"attributes": {_NAME: copy | {"crc32c": _sum(copy)}}}


def read_schema(path: Path) -> tuple[Schema, Mapping[str, Any]] | None:
    """Reads schema and attributes from the copy, or gives None where there is none or it is damaged."""
    try:
        copy = json.loads((path / GROUP / FILE).read_bytes())["attributes"][_NAME]
        rest = {name: copy[name] for name in ("format", "schema", "attributes")}
        if copy["crc32c"] != _sum(rest) or copy["format"] != FORMAT:
            return None
        return Schema.from_dict(copy["schema"]), copy["attributes"]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _sum(copy: Mapping[str, Any]) -> str:
    """Sums a JSON object, whatever the order and the spaces of its text."""
    return f"{crc32c(json.dumps(copy, sort_keys=True, separators=(',', ':')).encode()):08x}"
