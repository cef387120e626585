"""What each format is read with when nothing is kept: its library reads everything into NumPy arrays."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def _hdf5(path: Path) -> list[Any]:
    found: list[Any] = []
    for file in [path] if path.is_file() else path.rglob("*.hdf5"):
        with h5py.File(file) as opened:
            opened.visititems(
                lambda _, node: found.append(node[()]) if isinstance(node, h5py.Dataset) else None
            )
    return found


def _npz(path: Path) -> dict[str, Any]:
    with np.load(path) as opened:
        return {name: opened[name] for name in opened}


def _memmaps(path: Path) -> list[Any]:
    return [np.fromfile(file, np.uint8) for file in path.rglob("*.memmap")]


def _parquet(path: Path) -> list[Any]:
    from pyarrow import parquet

    tables = [parquet.read_table(file) for file in sorted((path / "data").rglob("*.parquet"))]
    columns = [column.combine_chunks() for table in tables for column in table.columns]
    return [(c.flatten() if hasattr(c, "flatten") else c).to_numpy(zero_copy_only=False) for c in columns]


def _records(path: Path) -> list[Any]:
    """Parses every record by Protocol Buffers' own parser and makes arrays of its lists."""
    example = _example_class()
    return [
        {name: _array(feature) for name, feature in example.FromString(record).features.feature.items()}
        for file in path.glob("*.tfrecord-*")
        for record in _bodies(file.read_bytes())
    ]


def _array(feature: Any) -> Any:
    kind = feature.WhichOneof("kind")
    values = getattr(feature, kind).value if kind else ()
    return list(values) if kind == "bytes_list" else np.array(values)


def _bodies(data: bytes) -> Iterator[bytes]:
    """Cuts a TFRecord file: length, its checksum, the record, its checksum."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        yield data[at + 12 : at + 12 + size]
        at += size + 16


@functools.cache
def _example_class() -> Any:
    """tf.train.Example, of its published description."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="plain", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto

    def message(name: str, *fields: tuple[str, int, int, str, int], parent: Any = None) -> Any:
        made = (parent.nested_type if parent is not None else file.message_type).add(name=name)
        for title, number, kind, of, label in fields:
            made.field.add(
                name=title, number=number, type=kind, label=label, **({"type_name": of} if of else {})
            )
        return made

    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    for name, kind in (
        ("BytesList", field.TYPE_BYTES),
        ("FloatList", field.TYPE_FLOAT),
        ("Int64List", field.TYPE_INT64),
    ):
        message(name, ("value", 1, kind, "", many))
    lists = (
        ("bytes_list", ".plain.BytesList"),
        ("float_list", ".plain.FloatList"),
        ("int64_list", ".plain.Int64List"),
    )
    feature = message(
        "Feature", *((n, at, field.TYPE_MESSAGE, of, one) for at, (n, of) in enumerate(lists, 1))
    )
    feature.oneof_decl.add(name="kind")
    for each in feature.field:
        each.oneof_index = 0
    features = message("Features", ("feature", 1, field.TYPE_MESSAGE, ".plain.Features.FeatureEntry", many))
    entry = message(
        "FeatureEntry",
        ("key", 1, field.TYPE_STRING, "", one),
        ("value", 2, field.TYPE_MESSAGE, ".plain.Feature", one),
        parent=features,
    )
    entry.options.map_entry = True
    message("Example", ("features", 1, field.TYPE_MESSAGE, ".plain.Features", one))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("plain.Example"))


def _flashbax(path: Path) -> list[Any]:
    import tensorstore as ts
    from strongbax.vault.flashbax_files import open_flashbax

    files = open_flashbax(path)
    names = [f"{name.replace('/', '.')}." for name in files.leaves]
    kvstore = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{path.resolve()}/"}}
    stores = [ts.open({"driver": "zarr", "kvstore": kvstore | {"path": name}}).result() for name in names]
    return [store[0, : files.length].read().result() for store in stores]


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "d4rl": ("h5py", _hdf5),
    "minari": ("h5py", _hdf5),
    "robomimic": ("h5py", _hdf5),
    "d3rlpy": ("h5py", _hdf5),
    "ogbench": ("numpy.load", _npz),
    "npz": ("numpy.load", _npz),
    "torchrl": ("np.fromfile", _memmaps),
    "rlds": ("protobuf", _records),
    "lerobot": ("pyarrow", _parquet),
    "flashbax": ("tensorstore", _flashbax),
}
