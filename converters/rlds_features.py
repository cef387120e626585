"""What a TFDS dataset's records hold, as its `features.json` says: a flat list of features.

TFDS has written two forms of the file; both are nested by dicts and sequences. A feature's path is that
of its keys in the records: `steps/observation/state`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.dtypes import parse_dtype
from ..vault.errors import FormatError

Shape = tuple[int | None, ...]
STEPS = "steps"
TEXT = np.dtype(object)  # bytes of any length


@dataclass(frozen=True)
class Feature:
    """One array of each record, or of each step of it.

    Attributes:
      path: of its keys.
      dtype: as it is to be; `TEXT` for bytes of any length.
      shape: of one value; None where it is not fixed.
      encoding: `none`, `bytes`, `zlib`, or `image`.
      sequences: how many of the shape's first axes are sequences, stored with their lengths.
      optional: records may lack it.
    """

    path: str
    dtype: np.dtype[Any]
    shape: Shape = ()
    encoding: str = "none"
    sequences: int = 0
    optional: bool = False

    @property
    def in_steps(self) -> bool:
        """Whether each step has one."""
        return self.path.startswith(STEPS + "/")

    @property
    def name(self) -> str:
        """Its path, below the steps where it is there."""
        return self.path.removeprefix(STEPS + "/")


def features_of(tree: Mapping[str, Any], path: Path, skip: Sequence[str] = ()) -> tuple[Feature, ...]:
    """Returns the features that a `features.json` names, by their paths.

    Args:
      tree: what the file holds.
      path: of the file, for messages.
      skip: names of features, or groups of them, to leave out.

    Raises:
      FormatError: if it has no steps, or a feature of a kind that is not known.
      ValueError: if `skip` names nothing.

    Example:
      >>> tensor = {"tensor": {"dtype": "float32", "shape": {"dimensions": ["3"]}, "encoding": "none"}}
      >>> steps = {"sequence": {"feature": {"featuresDict": {"features": {"action": tensor}}}}}
      >>> features_of({"featuresDict": {"features": {"steps": steps}}}, Path("features.json"))
      (Feature(path='steps/action', dtype=dtype('float32'), shape=(3,), encoding='none', ...),)
    """
    left_out: set[str] = set()
    try:
        walked = list(_walk(tree, "", (), skip, left_out))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, FormatError):
            raise FormatError(f"{path}: {error}") from error
        raise FormatError(f"{path} is not laid out as TFDS writes it: {error!r}.") from error
    found = tuple(sorted(walked, key=lambda feature: feature.path))
    for name in skip:
        if name not in left_out:
            names = ", ".join(feature.name for feature in found)
            raise ValueError(f"`skip` must name features of {path}: got {name!r}. It has {names}.")
    if not any(feature.in_steps for feature in found):
        raise FormatError(
            f"{path} names no `steps`: an RLDS record is an episode with its `steps` in it. It has "
            f"{', '.join(feature.path for feature in found) or 'nothing'}."
        )
    return found


def _walk(
    node: Mapping[str, Any], path: str, lengths: Shape, skip: Sequence[str], left_out: set[str]
) -> Iterator[Feature]:
    if path.removeprefix(STEPS + "/") in skip:
        left_out.add(path.removeprefix(STEPS + "/"))
        return
    kind, content = _content(node)
    if kind == "dict":
        for key, child in content.items():
            yield from _walk(child, f"{path}/{key}" if path else key, lengths, skip, left_out)
    elif kind == "sequence":
        length = int(content.get("length") or -1)
        inner = () if path == STEPS else (*lengths, None if length < 0 else length)
        yield from _walk(content["feature"], path, inner, skip, left_out)
    else:
        yield _leaf(kind, content, path, lengths)


def _content(node: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Gives a node's kind and what it says, of either form of the file."""
    if "featuresDict" in node:
        return "dict", node["featuresDict"].get("features", {})
    if "type" in node:
        return _old_content(node)
    kinds = [key for key in node if key not in ("pythonClassName", "description")]
    if len(kinds) != 1:
        raise ValueError(f"one kind is wanted, got {kinds}")
    return kinds[0], node[kinds[0]]


def _old_content(node: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    name = str(node["type"]).rsplit(".", maxsplit=1)[-1]
    kinds = {
        "FeaturesDict": "dict", "Dataset": "sequence", "Sequence": "sequence", "Tensor": "tensor",
        "Scalar": "tensor", "Text": "text", "Image": "image", "ClassLabel": "classLabel",
    }  # fmt: skip
    return kinds.get(name, name), node.get("content") or {}


def _leaf(kind: str, content: Mapping[str, Any], path: str, lengths: Shape) -> Feature:
    depth, optional = len(lengths), bool(content.get("optional"))
    if kind == "text":
        return Feature(path, TEXT, lengths, "none", depth, optional)
    if kind == "classLabel":
        return Feature(path, np.dtype(np.int64), lengths, "none", depth, optional)
    if kind == "boundingBox":
        return Feature(path, np.dtype(np.float32), (*lengths, 4), "none", depth, optional)
    if kind == "image":
        shape = _shape(content.get("shape"), (None, None, 3))
        dtype = np.dtype(content.get("dtype") or "uint8")
        return Feature(path, dtype, (*lengths, *shape), "image", depth, optional)
    if kind != "tensor":
        raise FormatError(
            f"`{path}` is a feature of the kind {kind!r}, which is not read. "
            f"`skip=({path.removeprefix('steps/')!r},)` leaves it out."
        )
    text = content["dtype"] in ("string", "str", "object", "bytes")
    dtype = TEXT if text else parse_dtype(content["dtype"])
    encoding = str(content.get("encoding") or "none").lower()
    return Feature(path, dtype, (*lengths, *_shape(content.get("shape"), ())), encoding, depth, optional)


def _shape(shape: Any, default: Shape) -> Shape:
    if shape is None:
        return default
    dimensions = shape.get("dimensions", []) if isinstance(shape, Mapping) else shape
    return tuple(None if size is None or int(size) < 0 else int(size) for size in dimensions)
