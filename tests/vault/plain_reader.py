"""A reader of format 1, written from docs/format.md alone: it knows nothing of the library."""

import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import google_crc32c
import ml_dtypes
import numpy as np
from numcodecs import blosc, zstd

HEADER = struct.Struct("<4sIQQQQQII8x")
OWN_COLUMNS = {
    "stream": "int32",
    "start": "int64",
    "length": "int64",
    "return": "float64",
    "terminated": "bool",
    "truncated": "bool",
    "final_known": "bool",
}
DECODERS = {
    "zstd": zstd.decompress,
    "gzip": lambda data: zlib.decompress(data, wbits=31),
    "blosc": blosc.decompress,
}


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


def checked(data: bytes) -> bytes:
    """Takes the checksum off the end of bytes that it must fit."""
    assert google_crc32c.value(data[:-4]) == int.from_bytes(data[-4:], "little"), "wrong checksum"
    return data[:-4]


def read_root(path: Path) -> dict[str, Any]:
    return parse_root((path / "zarr.json").read_bytes())


def parse_root(data: bytes) -> dict[str, Any]:
    document = json.loads(data)
    assert document["attributes"]["strongbax"]["format"] == 1
    found = re.search(rb'"crc32c": "([0-9a-f]{8})"', data)
    assert found is not None
    blank = data[: found.start(1)] + b"00000000" + data[found.end(1) :]
    assert google_crc32c.value(blank) == int(found[1], 16)
    return document


def read_array(folder: Path, meta: dict[str, Any]) -> np.ndarray:
    """Reads the sealed part of an array."""
    shape, grid = meta["shape"], meta["chunk_grid"]["configuration"]["chunk_shape"]
    sharding = meta["codecs"][0]["configuration"]
    inner, chain = sharding["chunk_shape"], [codec["name"] for codec in sharding["codecs"]]
    places = [outer // chunk for outer, chunk in zip(grid, inner, strict=True)]
    whole = np.zeros([-(-n // g) * g for n, g in zip(shape, grid, strict=True)], meta["data_type"])
    for shard in np.ndindex(*(-(-n // g) for n, g in zip(shape, grid, strict=True))):
        data = (folder / ".".join(["c", *map(str, shard)])).read_bytes()
        index_bytes = 16 * int(np.prod(places)) + 4
        index = np.frombuffer(checked(data[-index_bytes:]), "<u8").reshape(*places, 2)
        for place in np.ndindex(*places):
            offset, size = (int(number) for number in index[place])
            if offset == 2**64 - 1:
                continue
            raw = checked(data[offset : offset + size])
            for codec in chain[1:-1]:
                raw = DECODERS[codec](raw)
            corner = [s * g + p * i for s, g, p, i in zip(shard, grid, place, inner, strict=True)]
            box = tuple(slice(low, low + extent) for low, extent in zip(corner, inner, strict=True))
            whole[box] = np.frombuffer(raw, meta["data_type"]).reshape(inner)
    values = np.ascontiguousarray(whole[tuple(slice(n) for n in shape)])
    name = meta["attributes"].get("strongbax_dtype")
    if name is None:
        return values
    dtype = dtype_of(name)
    return values.view(dtype)[..., 0] if dtype.kind in "SU" else values.view(dtype)


class Payload:
    """Takes a record's payload apart, from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def bytes(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def array(self, dtype: Any, *shape: int) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.frombuffer(self.bytes(size), dtype).reshape(shape)


def read_records(path: Path, own: dict[str, Any], return_shape: list[int]) -> list[dict[str, Any]]:
    """Reads the records that count."""
    schema, found = own["schema"], []
    streams, leaves = schema["streams"], {leaf["name"]: leaf for leaf in schema["leaves"]}
    columns = OWN_COLUMNS | schema["columns"]
    for file in sorted(path.glob("log/*.log")):
        data, at = file.read_bytes() if int(file.stem) >= own["log"] else b"", 0
        while at + 64 <= len(data):
            magic, head, sequence, row, steps, episode, size, ended, crc = HEADER.unpack_from(data, at)
            payload = Payload(data[at + 64 : at + 64 + size])
            whole = magic == b"SBXR" and head == google_crc32c.value(data[at + 8 : at + 64])
            if not whole or google_crc32c.value(payload.data) != crc:
                return found
            at += 64 + size
            last = found[-1]["sequence"] + 1 if found else sequence
            assert sequence <= last if found else row <= own["length"] and sequence <= own["sequence"]
            if sequence < last:
                break
            meta = json.loads(payload.bytes(int(payload.array("<u4"))))
            record = {"sequence": sequence, "row": row, "steps": steps, "episode": episode, **meta}
            record["start"] = payload.array("<i8", streams)
            record["total"] = payload.array("<f8", streams, *return_shape)
            record["columns"], record["finals"], record["texts"] = {}, {}, []
            if ended:
                for name, dtype in columns.items():
                    tail = return_shape if name == "return" else []
                    record["columns"][name] = payload.array(dtype_of(dtype), ended, *tail)
                for name in schema["finals"]:
                    leaf = leaves[name]
                    record["finals"][name] = payload.array(dtype_of(leaf["dtype"]), ended, *leaf["shape"])
                record["texts"] = [payload.bytes(int(n)) for n in payload.array("<i8", ended)]
            record["leaves"] = {}
            for leaf, size in zip(schema["leaves"], meta["leaves"], strict=True):
                raw = payload.bytes(size)
                raw = zstd.decompress(raw) if leaf["codec"] != "none" and size else raw
                shape = (streams, steps, *leaf["shape"])
                record["leaves"][leaf["name"]] = np.frombuffer(raw, dtype_of(leaf["dtype"])).reshape(shape)
            found.append(record)
    return found


def read_vault(path: Path) -> dict[str, Any]:
    """Reads everything that is committed, anew where a writer sealed meanwhile."""
    while True:
        data = (path / "zarr.json").read_bytes()
        try:
            found = read_once(path, parse_root(data))
        except (FileNotFoundError, AssertionError):
            if data == (path / "zarr.json").read_bytes():
                raise
            continue
        if data == (path / "zarr.json").read_bytes():
            return found


def read_once(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Gives steps, episodes, finals, attributes, gaps, and what runs."""
    own, nodes = document["attributes"]["strongbax"], document["consolidated_metadata"]["metadata"]
    arrays = {
        name: read_array(path / name, node) for name, node in nodes.items() if node["node_type"] == "array"
    }
    records = read_records(path, own, list(arrays["episodes/return"].shape[1:]))
    length, episodes = own["length"], own["episodes"]
    assert max([length, *(record["row"] + record["steps"] for record in records[-1:])]) >= own["committed"]
    text, stops = arrays["episodes/attributes"].tobytes(), arrays["episodes/attributes_stop"].tolist()
    texts = [text[low:high] for low, high in zip([0, *stops][:-1], stops, strict=True)]
    gaps = list(own["gaps"])
    for record in records:
        for name, values in record["leaves"].items():
            new = values[:, max(0, length - record["row"]) :]
            arrays[f"steps/{name}"] = np.concatenate([arrays[f"steps/{name}"], new], axis=1)
        known = max(0, episodes - record["episode"])
        tables = {"episodes": record["columns"], "final": record["finals"]}
        for group, rows in tables.items():
            for name, values in rows.items():
                place = f"{group}/{name}"
                arrays[place] = np.concatenate([arrays[place], values[known:]])
        texts += record["texts"][known:]
        gaps += [gap for gap in record.get("gaps", []) if gap not in gaps]
    running = own["running"]
    start, total = np.array(running["start"]), np.frombuffer(bytes.fromhex(running["total"]), "<f8")
    if records and records[-1]["sequence"] >= own["sequence"] - 1:
        start, total = records[-1]["start"], records[-1]["total"].reshape(-1)
    return {"arrays": arrays, "texts": texts, "gaps": gaps, "start": start, "total": total, "root": own}
