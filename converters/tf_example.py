"""`tf.train.Example`, the message in a TFRecord of TFDS, without TensorFlow and without protobuf.

```
# Example  { Features features = 1 }          Features { map<string, Feature> feature = 1 }
# Feature  { BytesList = 1 | FloatList = 2 | Int64List = 3 }, each { repeated value = 1 }
```
A value is thus a flat list of bytes, float32 or int64; shapes and other dtypes stand elsewhere.
"""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError

Values: TypeAlias = "list[bytes] | NpArray"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3


def parse_example(record: bytes) -> dict[str, Values]:
    """Returns the features of an example: lists of bytes, float32 arrays, int64 arrays.

    Raises:
      FormatError: if the bytes are no example.

    Example:
      >>> parse_example(example_bytes({"a": np.array([1, -1]), "b": [b"x"]}))
      {'a': array([ 1, -1]), 'b': [b'x']}
    """
    view = memoryview(record)
    try:
        return dict(_entries(view))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise FormatError(f"The record is no tf.train.Example: {error}.") from error


def example_bytes(features: Mapping[str, Values]) -> bytes:
    """Returns an example as bytes; the inverse of `parse_example`, keys sorted.

    Example:
      >>> example_bytes({"a": np.array([0.5], np.float32)}).hex(" ")
      '0a 0f 0a 0d 0a 01 61 12 08 12 06 0a 04 00 00 00 3f'
    """
    entries: list[bytes] = []
    for key in sorted(features):
        entry = _field(1, key.encode()) + _field(2, _feature(features[key]))
        entries.append(_field(1, entry))
    return _field(1, b"".join(entries))


def _entries(record: memoryview) -> Iterator[tuple[str, Values]]:
    for number, features in _messages(record):
        if number == 2:
            raise ValueError("it has feature lists: a SequenceExample, which TFDS does not write")
        if number != 1:
            continue
        for _, entry in _messages(features):
            parts = dict(_messages(entry))
            yield bytes(parts.get(1, b"")).decode(), _values(parts.get(2, memoryview(b"")))


def _values(feature: memoryview) -> Values:
    kind, body = next(iter(_messages(feature)), (_BYTES_LIST, memoryview(b"")))
    if kind == _BYTES_LIST:
        return [bytes(value) for _, value in _messages(body)]
    if kind == _FLOAT_LIST:
        return np.frombuffer(_packed(body), "<f4").astype(np.float32)
    return _varints(np.frombuffer(_packed(body), np.uint8))


def _packed(body: memoryview) -> bytes:
    """The bytes of a repeated number, whether it was packed or not."""
    return b"".join(value for _, value in _messages(body, raw=True))


def _messages(data: memoryview, *, raw: bool = False) -> Iterator[tuple[int, memoryview]]:
    """Yields field numbers and contents; `raw` takes single numbers too, as their bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire == _VARINT and raw:
            length = _varint(data, at)[1] - at
        elif wire in (_FIXED32, _FIXED64) and raw:
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"field {key >> 3} has the wire type {wire} at byte {at}")
        if at + length > len(data):
            raise ValueError(f"field {key >> 3} is cut off at byte {at}")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError(f"a number at byte {at} has no end")


def _varints(data: NpArray) -> NpArray:
    """Reads numbers of 7 bits a byte, the lowest first; the last byte of each has its high bit clear."""
    last = data < 0x80
    if last.all():
        return data.astype(np.int64)
    if not last[-1]:
        raise ValueError("a list of numbers is cut off")
    stops = np.flatnonzero(last) + 1
    starts = np.concatenate([[0], stops[:-1]])
    lengths = stops - starts
    if lengths.max() > 10:
        raise ValueError("a number has more than 64 bits")
    shifts = (7 * (np.arange(len(data)) - np.repeat(starts, lengths))).astype(np.uint64)
    parts = (data & 0x7F).astype(np.uint64) << shifts
    return np.bitwise_or.reduceat(parts, starts).view(np.int64)


def _feature(values: Values) -> bytes:
    if isinstance(values, list):
        return _field(_BYTES_LIST, b"".join(_field(1, value) for value in values))
    if values.dtype == np.float32:
        return _field(_FLOAT_LIST, _field(1, values.astype("<f4").tobytes()))
    return _field(_INT64_LIST, _field(1, _write_varints(values.astype(np.int64).view(np.uint64))))


def _write_varints(values: NpArray) -> bytes:
    if not len(values) or values.max() < 0x80:
        return values.astype(np.uint8).tobytes()
    groups = values[:, None] >> np.arange(0, 70, 7, dtype=np.uint64)[None, :]
    more = np.zeros(groups.shape, np.bool_)
    more[:, :-1] = groups[:, 1:] != 0
    kept = np.ones(groups.shape, np.bool_)
    kept[:, 1:] = groups[:, 1:] != 0
    return ((groups & np.uint64(0x7F)).astype(np.uint8) | more.astype(np.uint8) << 7)[kept].tobytes()


def _field(number: int, content: bytes) -> bytes:
    length = _write_varints(np.array([len(content)], np.uint64))
    return b"".join([bytes([number << 3 | _BYTES]), length, content])


def kind_of(values: Values) -> str:
    """Names a list's kind as the protocol does."""
    if isinstance(values, np.ndarray):
        return "float_list" if values.dtype == np.float32 else "int64_list"
    return "bytes_list"
