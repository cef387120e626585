"""Gymnasium's spaces as Minari writes them, JSON texts: read without Gymnasium, and made for new datasets.

```
# {"type": "Dict", "subspaces": {"pos": {"type": "Box", "dtype": "float32", "shape": [3], ...}}}
```
A space says what the bytes do not: which groups are tuples, which rows are JPEG, what shape a flat list has.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..vault.errors import FormatError

Space = Mapping[str, Any]
IMAGE_SIDE = 32  # Minari keeps smaller pictures as they are


def parse_space(text: Any, what: str) -> Space | None:
    """Returns a space from its JSON text; None stays None.

    Args:
      text: as it stands in the metadata; Minari's `Infinity` is read too.
      what: to call it in a message.

    Raises:
      FormatError: if the text is no space.

    Example:
      >>> parse_space('{"type": "Discrete", "n": 2, "start": 0}', "`action_space`")["n"]
      2
    """
    if text is None:
        return None
    try:
        space = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        raise FormatError(f"{what} must be the JSON text of a space: {error}. Got {text[:80]!r}.") from error
    if not isinstance(space, dict) or "type" not in space:
        raise FormatError(f"{what} must be the JSON text of a space with a `type`: got {str(text)[:80]!r}.")
    return space


def child(space: Space | None, key: str) -> Space | None:
    """Returns the space below a Dict's or a Tuple's, or None where it is not said.

    Example:
      >>> child({"type": "Tuple", "subspaces": [{"type": "MultiBinary", "n": 3}]}, "0")["n"]
      3
    """
    below: Any = (space or {}).get("subspaces")
    if isinstance(below, dict):
        return below.get(key)
    if isinstance(below, list) and key.isdecimal() and int(key) < len(below):
        return below[int(key)]
    return None


def shape_of(space: Space) -> tuple[int, ...]:
    """Returns the shape of one value.

    Example:
      >>> shape_of({"type": "MultiDiscrete", "nvec": [3, 4]}), shape_of({"type": "MultiBinary", "n": 5})
      ((2,), (5,))
    """
    if space["type"] == "Box":
        return tuple(space["shape"])
    if space["type"] == "MultiDiscrete":
        return np.shape(space["nvec"])
    if space["type"] == "MultiBinary":
        return tuple(space["n"]) if isinstance(space["n"], list) else (int(space["n"]),)
    return ()


def is_image(space: Space | None) -> bool:
    """Says whether Minari keeps values of a space as JPEG, unless it was told not to.

    Example:
      >>> is_image({"type": "Box", "dtype": "uint8", "shape": [8, 8, 3], "low": 0, "high": 255})
      False
    """
    if space is None or space["type"] != "Box" or space["dtype"] != "uint8":
        return False
    shape = shape_of(space)
    large = len(shape) in (2, 3) and min(shape[:2]) >= IMAGE_SIDE
    return large and bool(np.all(np.asarray(space["low"]) == 0) and np.all(np.asarray(space["high"]) == 255))


def space_for(leaf: Any, values: tuple[int, int] | None = None, characters: str = "") -> Space:
    """Makes the space of a leaf, as wide as its dtype.

    Args:
      leaf: an array `[...]`, one value.
      values: smallest and largest of a whole number without axes, where it is one of a few: Discrete.
      characters: that occur, of a text.

    Example:
      >>> space_for(np.zeros((), np.int64), (0, 1))
      {'type': 'Discrete', 'dtype': 'int64', 'start': 0, 'n': 2}
      >>> space_for(np.zeros(2, np.float32))["low"]
      [-inf, -inf]
    """
    if leaf.dtype.kind == "U":
        width = leaf.dtype.itemsize // 4
        return {"type": "Text", "max_length": width, "min_length": 0, "charset": characters or "a"}
    if values is not None:
        low, high = values
        return {"type": "Discrete", "dtype": "int64", "start": low, "n": high - low + 1}
    if leaf.dtype.kind in "iu":
        bounds: Sequence[Any] = (int(np.iinfo(leaf.dtype).min), int(np.iinfo(leaf.dtype).max))
    else:
        bounds = (0, 1) if leaf.dtype.kind == "b" else (float("-inf"), float("inf"))
    low, high = (np.full(leaf.shape, bound, leaf.dtype).tolist() for bound in bounds)
    return {
        "type": "Box",
        "dtype": leaf.dtype.name,
        "shape": list(leaf.shape),
        "low": low,
        "high": high,
    }
