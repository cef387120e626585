"""What a vault holds: its leaves, streams, roles and columns, fixed when the vault is made.

The schema decides the Zarr arrays' geometry: how many steps a shard holds (`block`), and how the shard is
cut into inner chunks. Both are powers of two, so that chunks always divide shards.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .arrays import ArraySpec
from .codecs import FRAMES_A_CHUNK, NONE
from .dtypes import dtype_name, parse_dtype, stored_form
from .errors import FormatError
from .roles import Roles
from .tree import Tree, last

CHUNK_BYTES = 256 << 10  # of an inner chunk
TABLE_SHARD_BYTES = 512 << 10  # final rows and episode columns: a partial shard is rewritten by each seal
TABLE_SHARD_ROWS = 8192
TABLE_CHUNKS = 32  # inner chunks of a table's shard: a vault of few episodes stays small
PACKED_TABLE_BYTES = 64 << 20
PACKED_TABLE_ROWS = 1 << 17
PACKED_TABLE_CHUNK_ROWS = 1 << 10
PACKED_TEXT_BYTES = 4 << 20

COLUMNS: dict[str, str] = {
    "stream": "int32",
    "start": "int64",
    "length": "int64",
    "return": "float64",
    "terminated": "bool",
    "truncated": "bool",
    "final_known": "bool",
}
ATTRIBUTES = "attributes"  # JSON texts end to end, uint8 [byte]
ATTRIBUTES_STOP = "attributes_stop"  # where each text ends, int64 [episode]


@dataclass(frozen=True)
class Leaf:
    """One array of a step.

    Attributes:
      name: path in the pytree.
      dtype: dtype in memory (of the key data for PRNG keys).
      shape: shape of one step.
      codec: name of the compressor.
      prng: name of the PRNG implementation if the leaf holds JAX keys, else None.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    codec: str = NONE
    prng: str | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of one step of one stream."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def row_form(self) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Dtype and shape of one step."""
        return self.dtype, self.shape

    def to_dict(self) -> dict[str, Any]:
        """Gives the leaf as JSON."""
        data = {"name": self.name, "dtype": dtype_name(self.dtype), "shape": list(self.shape)}
        return data | {"codec": self.codec} | ({"prng": self.prng} if self.prng else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Leaf":
        """Reads the leaf from JSON."""
        dtype = parse_dtype(data["dtype"])
        stored_form(dtype)
        return cls(data["name"], dtype, tuple(data["shape"]), data["codec"], data.get("prng"))


@dataclass(frozen=True)
class Schema:
    """What a vault holds.

    Attributes:
      streams: `B`, environments side by side.
      leaves: the arrays of a step, in the pytree's order.
      tree: the containers of a step.
      roles: which leaf plays which role.
      finals: names of the leaves that have final rows.
      columns: dtype of each user column of the episode table.
      block: steps a stream of one shard.
      finals_compressed: whether final rows are compressed as their leaf is; in the first vaults they were
        not.
      packed: whether shards are few and large, and inner chunks of compressed leaves too: it is read and
        published, and hardly written on.
    """

    streams: int
    leaves: tuple[Leaf, ...]
    tree: Tree
    roles: Roles
    finals: tuple[str, ...]
    columns: Mapping[str, np.dtype[Any]]
    block: int
    finals_compressed: bool = True
    packed: bool = False

    def leaf(self, name: str) -> Leaf:
        """Finds a leaf by name.

        Raises:
          ValueError: if there is none.
        """
        if name not in self._by_name:
            raise ValueError(f"There is no leaf {name!r}: the leaves are {list(self.names)}.")
        return self._by_name[name]

    @functools.cached_property
    def _by_name(self) -> dict[str, Leaf]:
        return {leaf.name: leaf for leaf in self.leaves}

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the leaves."""
        return tuple(leaf.name for leaf in self.leaves)

    @property
    def step_bytes(self) -> int:
        """Bytes of one step of all streams."""
        return self.streams * sum(leaf.row_bytes for leaf in self.leaves)

    @functools.cached_property
    def column_dtypes(self) -> Mapping[str, np.dtype[Any]]:
        """Dtypes of the stored episode columns, ours first."""
        return {name: np.dtype(dtype) for name, dtype in COLUMNS.items()} | dict(self.columns)

    @functools.cached_property
    def return_shape(self) -> tuple[int, ...]:
        """Shape of an episode's return: `()`, or the reward's own for several agents."""
        if self.roles.reward is None:
            return ()
        shape = self.leaf(self.roles.reward).shape
        return () if math.prod(shape) == 1 else shape

    def to_dict(self) -> dict[str, Any]:
        """Gives the schema as JSON."""
        return {
            "streams": self.streams,
            "block": self.block,
            "leaves": [leaf.to_dict() for leaf in self.leaves],
            "tree": self.tree.to_dict(),
            "roles": self.roles.to_dict(),
            "finals": list(self.finals),
            "finals_compressed": self.finals_compressed,
            "columns": {name: dtype_name(dtype) for name, dtype in self.columns.items()},
        } | ({"packed": True} if self.packed else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Schema":
        """Reads the schema from JSON.

        Raises:
          FormatError: if a field is missing or wrong.
        """
        try:
            return cls(
                streams=int(data["streams"]),
                leaves=tuple(Leaf.from_dict(leaf) for leaf in data["leaves"]),
                tree=Tree.from_dict(data["tree"]),
                roles=Roles(**data["roles"]),
                finals=tuple(data["finals"]),
                columns={name: parse_dtype(dtype) for name, dtype in data["columns"].items()},
                block=int(data["block"]),
                finals_compressed=bool(data.get("finals_compressed", False)),
                packed=bool(data.get("packed", False)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"The vault's schema is not what format 1 writes: {error!r}.") from error

    def step_array(self, leaf: Leaf, length: int = 0) -> ArraySpec:
        """Gives the array of a leaf's steps, `[stream, time, ...]`."""
        group, rows = _cut(self, leaf)
        tail = tuple(max(1, axis) for axis in leaf.shape)
        return ArraySpec(
            path=f"steps/{leaf.name}",
            dtype=leaf.dtype,
            shape=(self.streams, length, *leaf.shape),
            axis=1,
            shard=(self.streams, self.block, *tail),
            chunk=(group, rows, *tail),
            codec=leaf.codec,
            names=("stream", "time", *_axes(leaf)),
        )

    def final_array(self, leaf: Leaf, length: int = 0) -> ArraySpec:
        """Gives the array of a leaf's final rows, `[episode, ...]`."""
        form = (leaf.dtype, leaf.shape)
        names = ("episode", *_axes(leaf))
        table = _table(f"final/{leaf.name}", form, names, length, packed=self.packed)
        return replace(table, codec=leaf.codec) if self.finals_compressed else table

    def column_arrays(self, length: int = 0, attribute_bytes: int = 0) -> dict[str, ArraySpec]:
        """Gives the arrays of the episode table, `[episode]`."""
        shapes = {"return": self.return_shape}
        dtypes = dict(self.column_dtypes) | {ATTRIBUTES_STOP: np.dtype(np.int64)}
        arrays = {
            name: _table(
                f"episodes/{name}",
                (dtype, shapes.get(name, ())),
                _column_axes(shapes, name),
                length,
                packed=self.packed,
            )
            for name, dtype in dtypes.items()
        }
        form = (np.dtype(np.uint8), ())
        text = _table(f"episodes/{ATTRIBUTES}", form, ("byte",), attribute_bytes, packed=self.packed)
        return arrays | {ATTRIBUTES: text}

    def arrays(self, length: int = 0, episodes: int = 0, attribute_bytes: int = 0) -> list[ArraySpec]:
        """Gives every array of the vault with its committed length."""
        steps = [self.step_array(leaf, length) for leaf in self.leaves]
        finals = [self.final_array(self.leaf(name), episodes) for name in self.finals]
        return [*steps, *finals, *self.column_arrays(episodes, attribute_bytes).values()]


def _cut(schema: Schema, leaf: Leaf) -> tuple[int, int]:
    """Cuts a shard into inner chunks: streams a chunk, steps a chunk."""
    streams, block = schema.streams, schema.block
    row_bytes = max(1, leaf.row_bytes)
    rows = int(np.clip(power_of_two(CHUNK_BYTES / row_bytes), 1, block))
    if leaf.codec != NONE:
        return 1, min(block, max(FRAMES_A_CHUNK, rows) if schema.packed else FRAMES_A_CHUNK)
    most = max(1, CHUNK_BYTES // (rows * row_bytes))
    group = max(d for d in range(1, min(streams, most) + 1) if streams % d == 0)
    return group, rows


def _table(
    path: str,
    form: tuple[np.dtype[Any], tuple[int, ...]],
    names: tuple[str, ...],
    length: int,
    *,
    packed: bool,
) -> ArraySpec:
    dtype, shape = form
    tail = tuple(max(1, axis) for axis in shape)
    row_bytes = max(1, int(np.prod(tail, dtype=np.int64)) * dtype.itemsize)
    most = (PACKED_TABLE_BYTES, PACKED_TABLE_ROWS) if packed else (TABLE_SHARD_BYTES, TABLE_SHARD_ROWS)
    rows = int(np.clip(power_of_two(most[0] / row_bytes), 1, most[1]))
    chunk = max(1, rows // TABLE_CHUNKS)
    if packed:
        chunk = int(np.clip(power_of_two(CHUNK_BYTES / row_bytes), 1, min(rows, PACKED_TABLE_CHUNK_ROWS)))
    if names == ("byte",):
        rows = PACKED_TEXT_BYTES if packed else TABLE_SHARD_BYTES
        chunk = TABLE_SHARD_BYTES // TABLE_CHUNKS
    return ArraySpec(path, dtype, (length, *shape), 0, (rows, *tail), (chunk, *tail), NONE, names)


def power_of_two(value: float) -> int:
    """Gives the power of two that is next to a number, 1 at least."""
    return 2 ** max(0, round(math.log2(value))) if value >= 1 else 1


def _axes(leaf: Leaf) -> tuple[str, ...]:
    # xarray wants one size a dimension name, so every leaf's axes have names of their own.
    return tuple(f"{leaf.name.replace('/', '.')}_{axis}" for axis in range(len(leaf.shape)))


def _column_axes(shapes: Mapping[str, tuple[int, ...]], name: str) -> tuple[str, ...]:
    return ("episode", *(f"{last(name)}_{axis}" for axis in range(len(shapes.get(name, ())))))
