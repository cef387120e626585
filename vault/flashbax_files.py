"""Vaults that Flashbax wrote, read: a folder with `metadata.json` and one OCDBT database.

Each leaf is a Zarr v2 array `[B, 10**13, ...]` in the database, named by its path with a dot after every key;
`vault_index` beside them says how many steps of a stream there are. Flashbax 0.1 writes versions 1.0 to 1.2.
"""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .dtypes import NpArray
from .errors import CorruptionError, FormatError, NotFoundError
from .tree import Json, Tree, flatten, key_of

METADATA, MANIFEST, INDEX = "metadata.json", "manifest.ocdbt", "vault_index"

_MAJOR = 1
_FACTS = ("version", "structure_shape", "structure_dtype", "compression")


@dataclass(frozen=True)
class FlashbaxLeaf:
    """A leaf of such a vault.

    Attributes:
      array: the name of its array in the database.
      streams: `B`.
      shape: of one step.
      dtype: its name.
    """

    array: str
    streams: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class FlashbaxFiles:
    """A vault that Flashbax wrote, open for reading.

    Attributes:
      path: of its folder.
      metadata: `metadata.json`, the user's own facts among Flashbax's.
      leaves: by name, in JAX's flattening order.
      tree: the containers they hang in.
      length: steps of each stream.
    """

    path: Path
    metadata: Mapping[str, Json]
    leaves: Mapping[str, FlashbaxLeaf]
    tree: Tree
    length: int

    @property
    def facts(self) -> dict[str, Json]:
        """The user's own facts."""
        return {name: value for name, value in self.metadata.items() if name not in _FACTS}

    def read(self, name: str, start: int, stop: int, streams: slice = slice(None)) -> NpArray:
        """Reads steps of a leaf, `[B, T, ...]`, without reading any others but those of the same chunks.

        Args:
          name: of the leaf.
          start: first step.
          stop: after the last step.
          streams: a run of streams.

        Raises:
          CorruptionError: if the database is damaged.
        """
        array = _array(self.path, self.leaves[name].array)
        try:
            return np.asarray(array[streams, start:stop].read().result())
        except ValueError as error:
            raise CorruptionError(
                f"The leaf {name!r} of {str(self.path)!r} cannot be read: {error}"
            ) from None


def is_flashbax(path: Path) -> bool:
    """Says whether a folder is a vault that Flashbax wrote."""
    return (path / METADATA).is_file() and (path / MANIFEST).is_file()


def open_flashbax(path: Path) -> FlashbaxFiles:
    """Opens a vault that Flashbax wrote.

    Raises:
      NotFoundError: if there is none.
      FormatError: if it is of a version that is not known.
      CorruptionError: if its metadata or its database is damaged.
    """
    if not is_flashbax(path):
        raise NotFoundError(
            f"There is no vault of Flashbax at {str(path)!r}: such a folder has {METADATA} and {MANIFEST}. "
            "The innermost folder is meant, which is called by the vault's uid."
        )
    metadata = _metadata(path)
    leaves, tree = _leaves(path, metadata)
    index = _array(path, INDEX).read().result()
    return FlashbaxFiles(path, metadata, leaves, tree, int(index[0]))


def _metadata(path: Path) -> dict[str, Json]:
    try:
        metadata = json.loads((path / METADATA).read_text("utf-8"))
        version = float(metadata["version"])
        found = {"structure_shape", "structure_dtype"} <= metadata.keys()
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptionError(f"{str(path / METADATA)!r} is not what Flashbax writes: {error!r}.") from None
    if not found:
        raise CorruptionError(f"{str(path / METADATA)!r} does not describe the leaves, as Flashbax does.")
    if int(version) != _MAJOR:
        raise FormatError(
            f"{str(path)!r} is a vault of Flashbax's version {version}: versions {_MAJOR}.x can be read."
        )
    return metadata


def _leaves(path: Path, metadata: Mapping[str, Json]) -> tuple[dict[str, FlashbaxLeaf], Tree]:
    import jax

    shapes, tree = flatten(metadata["structure_shape"])
    paths = [keys for keys, _ in jax.tree_util.tree_flatten_with_path(metadata["structure_shape"])[0]]
    dtypes = jax.tree_util.tree_leaves(metadata["structure_dtype"])
    leaves: dict[str, FlashbaxLeaf] = {}
    try:
        for name, keys, text, dtype in zip(tree.names, paths, shapes, dtypes, strict=True):
            streams, _, *shape = ast.literal_eval(text)
            array = "".join(("" if hasattr(key, "idx") else str(key_of(key))) + "." for key in keys)
            leaves[name] = FlashbaxLeaf(array, streams, tuple(shape), dtype)
    except (ValueError, TypeError, SyntaxError) as error:
        where = str(path / METADATA)
        raise CorruptionError(f"{where!r} describes no leaves as Flashbax does: {error!r}.") from None
    return leaves, tree


def _array(path: Path, name: str) -> Any:
    """Opens an array of the database, at its newest state."""
    import tensorstore as ts

    base = {"driver": "file", "path": f"{path.resolve()}/"}  # TensorStore takes no `..`
    try:
        return ts.open(
            {"driver": "zarr", "kvstore": {"driver": "ocdbt", "base": base, "path": name}}, read=True
        ).result()
    except (ValueError, FileNotFoundError) as error:
        raise CorruptionError(f"The database of {str(path)!r} has no readable {name!r}: {error}") from None
