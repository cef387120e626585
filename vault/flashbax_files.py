"""Vaults that Flashbax wrote, read: a folder with `metadata.json` and one OCDBT database.

Each leaf is a Zarr v2 array `[B, 10**13, ...]` in the database, named by its path with a dot after every key;
`vault_index` beside them says how many steps of a stream there are. Flashbax 0.1 writes versions 1.0 to 1.2.
The folder may stand in a Zip file, as og-marl's do: it is read there, and nothing is unpacked to disk.
"""

import ast
import json
import zipfile
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
      inside: folder of the vault in the Zip file that `path` is, with a slash behind it; empty for a folder.
    """

    path: Path
    metadata: Mapping[str, Json]
    leaves: Mapping[str, FlashbaxLeaf]
    tree: Tree
    length: int
    inside: str = ""

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
        array = _array(self.path, self.leaves[name].array, self.inside)
        try:
            return np.asarray(array[streams, start:stop].read().result())
        except ValueError as error:
            raise CorruptionError(
                f"The leaf {name!r} of {str(self.path)!r} cannot be read: {error}"
            ) from None


def is_flashbax(path: Path) -> bool:
    """Says whether a folder is a vault that Flashbax wrote."""
    return (path / METADATA).is_file() and (path / MANIFEST).is_file()


def zipped_vaults(path: Path) -> dict[str, str]:
    """Returns the folders of Flashbax's vaults in a Zip file, by their last name: the vault's uid.

    Raises:
      FormatError: if it cannot be opened.

    Example:
      >>> with zipfile.ZipFile("3m.zip", "w") as file:
      ...     for name in (METADATA, MANIFEST):
      ...         file.writestr(f"3m.vlt/Good/{name}", b"")
      >>> zipped_vaults(Path("3m.zip"))
      {'Good': '3m.vlt/Good/'}
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = set(file.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise FormatError(f"{path} cannot be opened as a Zip file: {error}. Fetch it again.") from None
    found = sorted(name.removesuffix(MANIFEST) for name in names if name.split("/")[-1] == MANIFEST)
    return {folder.rstrip("/").split("/")[-1]: folder for folder in found if folder + METADATA in names}


def open_flashbax(path: Path, inside: str = "") -> FlashbaxFiles:
    """Opens a vault that Flashbax wrote.

    Args:
      path: of its innermost folder, or of a Zip file.
      inside: the folder in the Zip file, as `zipped_vaults` has it.

    Raises:
      NotFoundError: if there is none.
      FormatError: if it is of a version that is not known.
      CorruptionError: if its metadata or its database is damaged.
    """
    if not inside and not is_flashbax(path):
        raise NotFoundError(
            f"There is no vault of Flashbax at {str(path)!r}: such a folder has {METADATA} and {MANIFEST}. "
            "The innermost folder is meant, which is called by the vault's uid."
        )
    metadata = _metadata(path, inside)
    leaves, tree = _leaves(path, metadata)
    index = _array(path, INDEX, inside).read().result()
    return FlashbaxFiles(path, metadata, leaves, tree, int(index[0]), inside)


def _metadata(path: Path, inside: str) -> dict[str, Json]:
    try:
        metadata = json.loads(_text(path, inside))
        version = float(metadata["version"])
        found = {"structure_shape", "structure_dtype"} <= metadata.keys()
    except (ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise CorruptionError(
            f"{str(path / inside / METADATA)!r} is not what Flashbax writes: {error!r}."
        ) from None
    if not found:
        raise CorruptionError(
            f"{str(path / inside / METADATA)!r} does not describe the leaves, as Flashbax does."
        )
    if int(version) != _MAJOR:
        raise FormatError(
            f"{str(path)!r} is a vault of Flashbax's version {version}: versions {_MAJOR}.x can be read."
        )
    return metadata


def _text(path: Path, inside: str) -> str:
    if not inside:
        return (path / METADATA).read_text("utf-8")
    with zipfile.ZipFile(path) as file:
        return file.read(inside + METADATA).decode("utf-8")


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


def _array(path: Path, name: str, inside: str = "") -> Any:
    """Opens an array of the database, at its newest state."""
    import tensorstore as ts

    place = path.resolve()  # TensorStore takes no `..`
    base: dict[str, Any] = {"driver": "file", "path": f"{place}/"}
    if inside:
        base = {"driver": "zip", "base": {"driver": "file", "path": str(place)}, "path": inside}
    try:
        return ts.open(
            {"driver": "zarr", "kvstore": {"driver": "ocdbt", "base": base, "path": name}}, read=True
        ).result()
    except (ValueError, FileNotFoundError) as error:
        where = str(path / inside)
        raise CorruptionError(f"The database of {where!r} has no readable {name!r}: {error}") from None
