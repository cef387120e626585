"""One Zarr v3 array of a vault: its place, dtype and geometry, to and from its `zarr.json`.

Shards are the files, inner chunks are what can be read alone. Keys use '.' so that a shard never makes a
directory: a new directory would have to be synced before the shard in it is durable.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .codecs import parse_codec, zarr_codecs
from .dtypes import dtype_name, parse_dtype, stored_form
from .errors import FormatError

DTYPE = "strongbax_dtype"  # the attribute that names a dtype which Zarr's core lacks


@dataclass(frozen=True)
class ArraySpec:
    """What a Zarr array of a vault is.

    Attributes:
      path: place in the group, `steps/observation`.
      dtype: dtype in memory.
      shape: all axes, the growing one with its committed length.
      axis: the axis that grows: 1 (time) in `steps`, 0 elsewhere.
      shard: shape of a shard.
      chunk: shape of an inner chunk; divides the shard.
      codec: name of the compressor.
      names: dimension names, one an axis.
    """

    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    axis: int
    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    codec: str
    names: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows of one shard along the growing axis."""
        return self.shard[self.axis]

    @property
    def tail(self) -> tuple[int, ...]:
        """Shape of one row, without the growing axis and what stands before it."""
        return self.shape[self.axis + 1 :]

    def grown(self, length: int) -> "ArraySpec":
        """Gives the same array with another length."""
        shape = (*self.shape[: self.axis], length, *self.shape[self.axis + 1 :])
        return replace(self, shape=shape)

    def key(self, shard: int) -> str:
        """Gives the file name of a shard, by its number along the growing axis."""
        stored = self.stored_shape()
        place = [0] * len(stored)
        place[self.axis] = shard
        return ".".join(("c", *map(str, place)))

    @functools.cached_property
    def stored(self) -> Any:
        """The stored form of the dtype."""
        return stored_form(self.dtype)

    def _label(self) -> str:
        """Names the array for a dimension that no other array has."""
        return self.path.split("/", 1)[1].replace("/", ".")

    def stored_shape(self) -> tuple[int, ...]:
        """Shape on disk, with the trailing axis of dtypes that need one."""
        return (*self.shape, *self.stored.trailing)

    def to_dict(self) -> dict[str, Any]:
        """Gives the array's `zarr.json`."""
        trailing = self.stored.trailing
        index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        sharding = {
            "chunk_shape": [*self.chunk, *trailing],
            "codecs": zarr_codecs(self.codec, self.dtype),
            "index_codecs": index,
            "index_location": "end",
        }
        own = self.stored.base != self.dtype
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [*self.shape, *trailing],
            "data_type": self.stored.base.name,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [*self.shard, *trailing]},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": _fill(self.stored.base),
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": {DTYPE: dtype_name(self.dtype)} if own else {},
            "dimension_names": [*self.names, *(f"{self._label()}_unit" for _ in trailing)],
        }

    @classmethod
    def from_dict(cls, path: str, data: Mapping[str, Any]) -> "ArraySpec":
        """Reads an array's `zarr.json`.

        Raises:
          FormatError: if a field is missing or none that this version writes.
        """
        try:
            sharding = data["codecs"][0]["configuration"]
            dtype = parse_dtype(data["attributes"].get(DTYPE, data["data_type"]))
            rank = len(data["shape"]) - len(stored_form(dtype).trailing)
            return cls(
                path=path,
                dtype=dtype,
                shape=tuple(data["shape"][:rank]),
                axis=1 if path.startswith("steps/") else 0,
                shard=tuple(data["chunk_grid"]["configuration"]["chunk_shape"][:rank]),
                chunk=tuple(sharding["chunk_shape"][:rank]),
                codec=parse_codec(sharding["codecs"]),
                names=tuple(data["dimension_names"][:rank]),
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise FormatError(
                f"The metadata of the array {path!r} is not what format 1 writes: {error!r}. "
                "Run `strongbax verify` to see what else is wrong."
            ) from error


def _fill(base: np.dtype[Any]) -> Any:
    if base == np.bool_:
        return False
    return [0.0, 0.0] if base.kind == "c" else 0.0 if base.kind == "f" else 0
