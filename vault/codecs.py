"""What happens to a leaf's bytes on their way to disk: nothing but a checksum, or a compressor and one.

Floating point from simulators gains 5 to 12 % by zstd and loses memory mapping, so the default leaves it
alone; frames shrink 40 to 200 times when 32 of them are compressed together.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from .dtypes import NpArray, stored_form
from .errors import FormatError

NONE = "none"
FRAME_BYTES = 1024  # a uint8 leaf of this size a step is taken for pixels
FRAMES_A_CHUNK = 32  # measured best for zstd-1 on seven Atari games

_GZIP = 31  # zlib's window of 15 bits, with gzip's header
_BLOSC = {"typesize": 1, "blocksize": 0}
_COMPRESSORS: dict[str, dict[str, Any]] = {
    "zstd": {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
    "gzip": {"name": "gzip", "configuration": {"level": 5}},
    "lz4": {
        "name": "blosc",
        "configuration": {**_BLOSC, "cname": "lz4", "clevel": 5, "shuffle": "noshuffle"},
    },
    "blosc": {
        "name": "blosc",
        "configuration": {**_BLOSC, "cname": "zstd", "clevel": 1, "shuffle": "shuffle"},
    },
}
NAMES = (NONE, *_COMPRESSORS)


def default_codec(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    """Chooses a codec for a leaf with `shape` a step: zstd for frames, none for the rest."""
    frame = dtype == np.uint8 and int(np.prod(shape)) >= FRAME_BYTES
    return "zstd" if frame else NONE


def choose_codecs(
    codec: str | Mapping[str, str] | None,
    leaves: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
) -> dict[str, str]:
    """Gives every leaf its codec.

    Args:
      codec: one name for all leaves, names by leaf, or None for the defaults.
      leaves: dtype and shape a step, by leaf name.

    Raises:
      ValueError: for a codec or a leaf that is not known.
    """
    asked = {} if codec is None else {"": codec} if isinstance(codec, str) else dict(codec)
    for leaf, name in asked.items():
        if leaf and leaf not in leaves:
            raise ValueError(f"`codec` names the leaf {leaf!r}: the leaves are {sorted(leaves)}.")
        if name not in NAMES:
            raise ValueError(f"`codec` must be one of {list(NAMES)}: got {name!r}.")
    return {
        leaf: asked.get(leaf, asked.get("", default_codec(dtype, shape)))
        for leaf, (dtype, shape) in leaves.items()
    }


def zarr_codecs(codec: str, dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    """Gives the Zarr v3 codec chain of an inner chunk; a crc32c closes every chain."""
    itemsize = stored_form(dtype).base.itemsize
    serialise: dict[str, Any] = {"name": "bytes"}
    if itemsize > 1:
        serialise["configuration"] = {"endian": "little"}
    chain = [serialise]
    if codec != NONE:
        compressor = dict(_COMPRESSORS[codec])
        if compressor["name"] == "blosc":
            compressor["configuration"] = {**compressor["configuration"], "typesize": itemsize}
        chain.append(compressor)
    return [*chain, {"name": "crc32c"}]


def parse_codec(chain: list[Any]) -> str:
    """Reads the codec's name from an inner chunk's chain.

    Raises:
      FormatError: if the chain is none that this version writes.
    """
    names = [item["name"] for item in chain]
    if names == ["bytes", "crc32c"]:
        return NONE
    if len(names) == len(("bytes", "compressor", "crc32c")):
        if names[1] == "blosc":
            return "lz4" if chain[1]["configuration"]["cname"] == "lz4" else "blosc"
        if names[1] in _COMPRESSORS:
            return str(names[1])
    raise FormatError(f"`codecs` must be bytes, at most one of {list(_COMPRESSORS)}, crc32c: got {names}.")


def encode(values: NpArray, codec: str) -> bytes:
    """Compresses an inner chunk as `zarr_codecs` says; the checksum is the caller's.

    Args:
      values: stored form, C order.
      codec: name of the compressor.
    """
    data = values.reshape(-1).view(np.uint8)
    if codec == NONE:
        return data.tobytes()
    if codec == "zstd":
        return compress(data)
    if codec == "gzip":
        # No time in the header, so that equal values are equal bytes; as TensorStore, with zlib's own level.
        deflate = zlib.compressobj(5, wbits=_GZIP)
        return deflate.compress(data.tobytes()) + deflate.flush()
    from numcodecs.blosc import compress as blosc

    form = _COMPRESSORS[codec]["configuration"]
    shuffle = 0 if form["shuffle"] == "noshuffle" else 1
    return bytes(
        blosc(data, form["cname"].encode(), form["clevel"], shuffle, 0, typesize=values.dtype.itemsize)
    )


def compress(values: NpArray) -> bytes:
    """Compresses a log record's part with zstd-1."""
    from numcodecs.zstd import compress as zstd

    return zstd(values.reshape(-1).view(np.uint8), 1)


def decompress(data: bytes | memoryview) -> bytes:
    """Decompresses what `compress` made."""
    from numcodecs.zstd import decompress as unzstd

    return unzstd(data)
