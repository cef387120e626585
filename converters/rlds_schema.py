"""What a vault is as an RLDS dataset: the feature of each leaf, column and attribute; `features.json`.

TFDS stores numbers as int64 and float32; what would lose by that is stored as its bytes, which TFDS unpacks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np

from .rlds_features import STEPS, TEXT, Feature
from .rlds_plan import METADATA
from .rlds_scan import FLAGS
from .standard import Standard, is_needed

PACKED = METADATA + "attributes"
IMAGES = ("png", "zlib")

_CLASS = "tensorflow_datasets.core.features."
_LARGE = 64  # bytes a row from which on uint8 are stored as zlib has them, and not as a varint each


@dataclass(frozen=True)
class Schema:
    """Where everything goes.

    Attributes:
      leaves: the feature of each leaf that is written, by the step model's name.
      columns: the feature of each column.
      texts: the path of each attribute that is a text in every episode; in the steps it stands in each.
      packed: whether there are other attributes, which stand as JSON in one text.
      notes: what is not written, a sentence each.
    """

    leaves: Mapping[str, Feature]
    columns: Mapping[str, Feature]
    texts: Mapping[str, str]
    packed: bool
    notes: tuple[str, ...]

    def features(self) -> list[Feature]:
        """Returns all features, the flags among them."""
        flags = [Feature(f"{STEPS}/{flag}", np.dtype(np.bool_)) for flag in FLAGS]
        texts = [Feature(path, TEXT) for path in [*self.texts.values(), *([PACKED] if self.packed else [])]]
        return [*self.leaves.values(), *self.columns.values(), *flags, *texts]

    def mark(self, out: Standard, *, final: bool) -> dict[str, Any]:
        """Returns what our reader needs to give everything back its name and dtype.

        Args:
          out: what is written.
          final: last rows are final observations.
        """
        names = {name: feature.name for name, feature in self.leaves.items()}
        return {
            "last_row": "final" if final else "step",
            "finals": [names[name] for name in out.finals if name in names],
            "dtypes": {names[n]: out.example[n].dtype.str for n, f in self.leaves.items() if f.dtype == TEXT},
            "attributes": PACKED if self.packed else None,
            "places": {name: feature.path for name, feature in self.columns.items()} | dict(self.texts),
        }


def schema_of(out: Standard, images: str) -> Schema:
    """Decides where everything goes.

    Args:
      out: what is to be written.
      images: how uint8 leaves of height, width and 1, 3 or 4 channels are stored: `png`, or `zlib`.

    Raises:
      ValueError: for an observation, action or reward of a dtype that TFDS has not, or a leaf whose name it
        cannot have.
    """
    notes: list[str] = []
    leaves: dict[str, Feature] = {}
    for name, row in out.example.items():
        if name in ("terminated", "truncated"):
            continue
        if name in FLAGS:
            notes.append(f"The leaf `{name}` is not written: RLDS has its own flag of that name.")
            continue
        if not _has_feature(row.dtype) and not is_needed(name):
            notes.append(f"The leaf `{name}` is not written: TFDS has no feature for {row.dtype}.")
            continue
        leaves[name] = _feature(name, row.dtype, row.shape, images)
    if not leaves:
        raise ValueError(f"`contents` must have a leaf that TFDS has a feature for: {' '.join(notes)}")
    known = _known_places(out)
    columns: dict[str, Feature] = {}
    for name, dtype in out.contents.schema.columns.items():
        if dtype.kind not in "biuf" or dtype.name not in _PLAIN | _AS_BYTES:
            notes.append(f"The column `{name}` is not written: its dtype is {dtype}.")
            continue
        path = known.get(name, METADATA + name)
        columns[name] = Feature(path, dtype, (), _encoding(dtype, ()))
    taken = {feature.path for feature in [*leaves.values(), *columns.values()]}
    texts, packed = _texts(out, known, taken)
    return Schema(leaves, columns, texts, packed, tuple(notes))


_PLAIN = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32"}
_AS_BYTES = {"float16", "float64", "complex64", "complex128"}


def _has_feature(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "SU" or dtype.name in _PLAIN | _AS_BYTES


def _feature(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], images: str) -> Feature:
    parts = [unquote(part) for part in name.split("/")]
    if any("/" in part or part in ("", "%") for part in parts):
        raise ValueError(f"The leaf `{name}` has a name that no feature can have. Rename it.")
    path = "/".join([STEPS, *parts])
    if dtype.kind in "SU":
        return Feature(path, TEXT, shape)
    if not _has_feature(dtype):
        raise ValueError(
            f"The leaf `{name}` is {dtype}, which TFDS has no feature for. Make a vault without it, or with "
            "it as float32."
        )
    if images == "png" and dtype == np.uint8 and len(shape) == 3 and shape[-1] in (1, 3, 4) and min(shape):
        return Feature(path, dtype, shape, "image")
    return Feature(path, dtype, shape, _encoding(dtype, shape))


def _encoding(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    if dtype.name in _AS_BYTES:
        return "bytes"
    return "zlib" if dtype == np.uint8 and np.prod(shape) >= _LARGE else "none"


def _known_places(out: Standard) -> dict[str, str]:
    """Where the dataset that the vault was made of had its columns and attributes."""
    source = out.contents.card.get("provenance", {}).get("source", {})
    return dict(source.get("places", {})) if isinstance(source.get("places", {}), Mapping) else {}


def _texts(out: Standard, known: Mapping[str, str], taken: set[str]) -> tuple[dict[str, str], bool]:
    """Which attributes are texts everywhere, and whether there are others."""
    table = out.contents.episodes
    every: set[str] | None = None
    some: set[str] = set()
    for row in range(table.num_rows):
        attributes = table.attributes(row)
        whole = {name for name, value in attributes.items() if isinstance(value, str)}
        every = whole if every is None else every & whole
        some |= set(attributes)
    stepless = bool((table["length"] == 0).any())
    texts: dict[str, str] = {}
    for name in sorted(every or ()):
        path = known.get(name, METADATA + name)
        if stepless and path.startswith(STEPS + "/"):
            path = METADATA + name
        around = {path.rsplit("/", depth)[0] for depth in range(1, path.count("/") + 1)}
        if path == PACKED or not re.fullmatch(r"[\w .\-]+(/[\w .\-]+)*", path):
            continue
        if path in taken or around & taken or any(other.startswith(path + "/") for other in taken):
            continue
        texts[name] = path
        taken.add(path)
    return texts, bool(some - set(texts))


def feature_tree(features: Sequence[Feature]) -> dict[str, Any]:
    """Returns `features.json` of a dataset.

    Example:
      >>> tree = feature_tree([Feature("steps/action", np.dtype(np.float32), (2,))])
      >>> tree["featuresDict"]["features"]["steps"]["pythonClassName"]
      'tensorflow_datasets.core.features.dataset_feature.Dataset'
    """
    steps = _dict([(f.name, f) for f in features if f.in_steps])
    rest = _dict([(f.path, f) for f in features if not f.in_steps])
    rest["featuresDict"]["features"][STEPS] = {
        "pythonClassName": _CLASS + "dataset_feature.Dataset",
        "sequence": {"feature": steps, "length": "-1"},
    }
    return rest


def _dict(named: Sequence[tuple[str, Feature]]) -> dict[str, Any]:
    children: dict[str, Any] = {}
    groups: dict[str, list[tuple[str, Feature]]] = {}
    for name, feature in named:
        top, slash, below = name.partition("/")
        if slash:
            groups.setdefault(top, []).append((below, feature))
        else:
            children[top] = _leaf(feature)
    for top, below in groups.items():
        children[top] = _dict(below)
    return {"pythonClassName": _CLASS + "features_dict.FeaturesDict", "featuresDict": {"features": children}}


def _leaf(feature: Feature) -> dict[str, Any]:
    if feature.dtype == TEXT and not feature.shape:
        return {"pythonClassName": _CLASS + "text_feature.Text", "text": {}}
    shape = {"dimensions": [str(size) for size in feature.shape]} if feature.shape else {}
    if feature.encoding == "image":
        content = {"shape": shape, "dtype": feature.dtype.name, "encodingFormat": "png"}
        return {"pythonClassName": _CLASS + "image_feature.Image", "image": content}
    dtype = "string" if feature.dtype == TEXT else feature.dtype.name
    content = {"shape": shape, "dtype": dtype, "encoding": feature.encoding}
    return {"pythonClassName": _CLASS + "tensor_feature.Tensor", "tensor": content}
