"""What Minari is told of a vault: the metadata, and the spaces of observations and actions."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import numpy as np

from ..vault.dtypes import NpArray
from .json_arrays import from_json
from .minari import NAME, SPACES
from .minari_spaces import Space, child, shape_of, space_for
from .standard import Standard, below

GROUPS = {"observation": "observations", "action": "actions"}
_VERSION = "0.5.4"  # the first whose metadata says that pictures are no JPEG


def spaces_for(out: Standard) -> dict[str, Space]:
    """Returns the spaces of observation and action, by these names: the source's own where they fit.

    Raises:
      ValueError: if a leaf has a dtype that no space has.
    """
    return {part: _space(out, part) for part in GROUPS}


def metadata_for(out: Standard, spaces: Mapping[str, Space], dataset_id: str | None) -> dict[str, Any]:
    """Returns the dataset's metadata: what its source had, and what holds now.

    Args:
      out: what is written.
      spaces: of observation and action.
      dataset_id: None takes the source's or the card's.
    """
    kept: dict[str, Any] = dict(out.contents.attributes.get(NAME) or {})
    card = out.contents.card
    name = dataset_id or kept.get("dataset_id") or card.get("dataset_id") or "strongbax/exported-v0"
    return {
        "minari_version": _VERSION,
        **{key: _as_written(value) for key, value in kept.items()},
        "dataset_id": name,
        "total_episodes": len(out),
        "total_steps": out.num_steps,
        "data_format": "hdf5",
        "jpeg_encoding": False,
        **{SPACES[part]: json.dumps(space) for part, space in spaces.items()},
    }


def _as_written(value: Any) -> Any:
    return from_json(value).item() if isinstance(value, dict) and "base64" in value else value


def _stored_space(out: Standard, part: str) -> Space | None:
    kept: Mapping[str, Any] = out.contents.attributes.get(NAME) or {}
    text = kept.get(SPACES.get(part, ""))
    return json.loads(text) if isinstance(text, str) else None


def _space(out: Standard, part: str) -> Space:
    """The source's own space where it fits, else one made of the leaves."""
    leaves = {name: leaf for name, leaf in out.example.items() if below(name, part)}
    stored = _stored_space(out, part)
    if stored is not None and _fits(stored, part, leaves):
        return stored
    for name, leaf in leaves.items():
        if leaf.dtype.kind not in "biufU":
            raise ValueError(
                f"The leaf {name!r} is {leaf.dtype}, for which Minari has no space. Cast it before."
            )
    ranges, characters = _ranges(out, leaves)
    made: dict[str, Any] = {}
    for name, leaf in leaves.items():
        space = space_for(leaf, ranges.get(name), characters.get(name, ""))
        if name == part:
            return space
        *path, last = [unquote(step) for step in name.split("/")[1:]]
        node = made
        for step in path:
            node = node.setdefault(step, {"type": "Dict", "subspaces": {}})["subspaces"]
        node[last] = space
    return {"type": "Dict", "subspaces": made}


def _fits(space: Space, name: str, leaves: Mapping[str, NpArray]) -> bool:
    below_it: Any = space.get("subspaces")
    if below_it is not None:
        keys = below_it if isinstance(below_it, dict) else map(str, range(len(below_it)))
        return all(_fits(child(space, key) or {}, f"{name}/{key}", leaves) for key in keys)
    leaf = leaves.get(name)
    return leaf is not None and bool(space) and (shape_of(space) == leaf.shape or space["type"] == "Text")


def _ranges(
    out: Standard, leaves: Mapping[str, NpArray]
) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Smallest and largest of the whole numbers, and the characters of the texts."""
    numbers = [name for name, leaf in leaves.items() if leaf.dtype.kind in "iu" and leaf.ndim == 0]
    words = [name for name, leaf in leaves.items() if leaf.dtype.kind == "U"]
    ranges: dict[str, tuple[int, int]] = {}
    characters: dict[str, set[str]] = {name: set() for name in words}
    for episode in out.episodes() if numbers or words else ():
        rows = [episode.steps, {name: np.asarray(row)[None] for name, row in (episode.final or {}).items()}]
        for steps in rows:
            for name in numbers:
                if len(steps.get(name, ())):
                    low, high = ranges.get(name, (int(steps[name][0]),) * 2)
                    ranges[name] = (min(low, int(steps[name].min())), max(high, int(steps[name].max())))
            for name in words:
                characters[name].update("".join(steps.get(name, np.zeros(0, "U1")).tolist()))
    return ranges, {name: "".join(sorted(found)) for name, found in characters.items()}
