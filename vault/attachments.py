"""Attached arrays: what a dataset holds beside its steps, such as the policy that collected it.

They stand as plain Zarr arrays under `attached/` in the vault's group, one chunk each, with a
checksum. The vault's root says nothing of them, so that it stays small; `verify` checks what is there.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from .checksum import crc32c
from .dtypes import CORE, NpArray
from .errors import CorruptionError
from .files import storage_errors, sync_directory, write_new
from .location import Location, location_of
from .root import FILE, group_document
from .tree import component

FOLDER = "attached"
_SUM = "strongbax_crc32c"  # the attribute with the checksum of an array's document
_CRC_BYTES = 4


def can_attach(dtype: np.dtype[Any]) -> bool:
    """Says whether arrays of a dtype can be attached: those that Zarr's core has.

    Example:
      >>> can_attach(np.dtype(np.float32)), can_attach(np.dtype("S3"))
      (True, False)
    """
    return dtype.name in CORE


def attach(path: Path, arrays: Mapping[str, NpArray]) -> None:
    """Writes arrays beside the steps of a vault, durably.

    Args:
      path: of the vault, or of any folder.
      arrays: with at least one axis each, by name; a `/` in a name makes a group.

    Raises:
      StorageError: if the disk refuses.

    Example:
      >>> attach(Path(), {"policy/bias": np.array([1.0, 2.0])})
      >>> attached(Path())
      {'policy/bias': array([1., 2.])}
    """
    with storage_errors(path, "attach arrays to"):
        for name, array in arrays.items():
            folder = _make_groups(path, [FOLDER, *map(component, name.split("/"))])
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            data = little.tobytes()
            write_new(folder / FILE, _encode(_array_document(little)))
            write_new(folder / _chunk(little.ndim), data + _crc(data))
            sync_directory(folder)


def attached(path: str | Path, storage: Mapping[str, Any] | None = None) -> dict[str, NpArray]:
    """Returns the arrays that are attached to a vault, by name.

    Args:
      path: of the vault.
      storage: how to reach an object store, as in `Vault.open`.

    Raises:
      CorruptionError: if an array's bytes are not those that were written.
    """
    return {name: read_attached(folder) for name, folder in attached_folders(location_of(path, storage))}


def attached_folders(path: Location) -> Iterator[tuple[str, Location]]:
    """Yields name and folder of every array that is attached to a vault, damaged ones too."""
    top = path / FOLDER
    folders = {file.parent for file in top.rglob(FILE) if _is_array(file)}
    if isinstance(top, Path):
        folders |= {file.parent for file in top.rglob("c.*")}  # its document may be gone
    for folder in sorted(folders):
        yield unquote(folder.as_posix().removeprefix(f"{top.as_posix()}/")), folder


def read_attached(folder: Location) -> NpArray:
    """Reads an attached array.

    Raises:
      CorruptionError: if its bytes are not those that were written.
    """
    try:
        document = _checked(json.loads((folder / FILE).read_bytes()))
        data = (folder / _chunk(len(document["shape"]))).read_bytes()
        dtype, shape = np.dtype(document["data_type"]), tuple(map(int, document["shape"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CorruptionError(f"The attached array {str(folder)!r} is damaged: {error}.") from error
    values, crc = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
    if _crc(values) != crc:
        raise CorruptionError(f"The attached array {str(folder)!r} is damaged: its checksum is wrong.")
    try:
        flat = np.frombuffer(values, dtype.newbyteorder("<"))
        return flat.astype(dtype.newbyteorder("=")).reshape(shape)
    except ValueError as error:
        raise CorruptionError(f"The attached array {str(folder)!r} is damaged: {error}.") from error


def _make_groups(path: Path, parts: list[str]) -> Path:
    """Makes the folders down to an array's, each but the last a Zarr group."""
    for depth, part in enumerate(parts, 1):
        path = path / part
        if not path.exists():
            path.mkdir()
            if depth < len(parts):
                write_new(path / FILE, _encode(group_document()))
            sync_directory(path.parent)
    return path


def _array_document(array: NpArray) -> dict[str, Any]:
    shape = list(array.shape)
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": array.dtype.name,
        # A chunk has no axis of length 0, not even where the array has one.
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [max(1, n) for n in shape]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": False if array.dtype.kind == "b" else 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
    }
    return document | {"attributes": {_SUM: _sum(document)}}


def _sum(document: Mapping[str, Any]) -> str:
    """Sums an array's document but for this sum, whatever the order and the spaces of its text."""
    facts = {name: fact for name, fact in document.items() if name != "attributes"}
    return f"{crc32c(json.dumps(facts, sort_keys=True, separators=(',', ':')).encode()):08x}"


def _checked(document: dict[str, Any]) -> dict[str, Any]:
    """Compares an array's document with its checksum; those of older versions have none."""
    if document["attributes"].get(_SUM, _sum(document)) != _sum(document):
        raise ValueError("The checksum of its zarr.json is wrong.")
    return document


def _is_array(file: Location) -> bool:
    try:
        return json.loads(file.read_bytes())["node_type"] != "group"
    except (ValueError, LookupError, TypeError):
        return True  # a damaged document is named where it is read


def _chunk(ndim: int) -> str:
    return ".".join(["c", *["0"] * ndim])


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()


def _crc(data: bytes) -> bytes:
    return crc32c(data).to_bytes(_CRC_BYTES, "little")
