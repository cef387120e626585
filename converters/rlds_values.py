"""The values of one record of TFDS: flat lists in, arrays of their dtype and shape out, and back."""

import io
import zlib
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .extra import extra
from .rlds_features import TEXT, Feature
from .tf_example import Values, kind_of

Example = Mapping[str, Values]

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def read_feature(feature: Feature, example: Example, *, images: bool = True) -> NpArray | None:
    """Returns a feature's values `[T, ...]`, or `[...]` where it is the record's and not its steps'.

    Args:
      feature: to read.
      example: the record's lists by key.
      images: decode them; else only their number counts: ones `[T]`.

    Returns:
      An array of the feature's dtype, objects for bytes; None where the record lacks an optional one.

    Raises:
      FormatError: if the record does not hold what the feature says.
      MissingExtraError: for images without Pillow.

    Example:
      >>> action = Feature("steps/action", np.dtype(np.float32), (2,))
      >>> read_feature(action, {"steps/action": np.arange(4, dtype=np.float32)})
      array([[0., 1.],
             [2., 3.]], dtype=float32)
    """
    steps = 1 if feature.in_steps else 0
    if feature.sequences + steps > 1:
        return _read_ragged(feature, example)
    if feature.shape.count(None) > 1 and feature.encoding in ("bytes", "zlib"):
        return _read_shaped(feature, example)
    values = example.get(feature.path)
    if values is None and feature.optional:
        return None
    if values is None:
        raise FormatError(f"it has no `{feature.path}`; it has {', '.join(sorted(example))}")
    if feature.encoding != "none":
        encoded = _bytes_of(feature, values)
        if feature.encoding == "image" and not images:
            return np.ones(len(encoded), feature.dtype)
        return _stack(feature, [_decode(feature, one, feature.shape) for one in encoded])
    return _shaped(feature, _typed(feature, values), feature.shape)


def _read_ragged(feature: Feature, example: Example) -> NpArray:
    """Sequences within sequences: one flat list, and the lengths of the rows of each further axis."""
    flat = Feature(f"{feature.path}/ragged_flat_values", feature.dtype, feature.shape, feature.encoding)
    if flat.path not in example:
        raise FormatError(f"it has no `{flat.path}`; it has {', '.join(sorted(example))}")
    inner = feature.shape[feature.sequences :]
    axes = feature.sequences + (1 if feature.in_steps else 0) - 1
    lengths = [_row_lengths(feature, example, axis) for axis in range(axes)]
    outer = (len(lengths[0]), *(_one_length(feature, axis, rows) for axis, rows in enumerate(lengths)))
    values = example[flat.path]
    if feature.encoding != "none":
        found = _stack(feature, [_decode(feature, one, inner) for one in _bytes_of(feature, values)])
        return _reshape(feature, found, (*outer, *found.shape[1:]))
    return _reshape(feature, _typed(feature, values), (*outer, *(size or 0 for size in inner)))


def _row_lengths(feature: Feature, example: Example, axis: int) -> NpArray:
    found = example.get(f"{feature.path}/ragged_row_lengths_{axis}")
    return np.asarray(found if found is not None and len(found) else np.zeros(0, np.int64))


def _one_length(feature: Feature, axis: int, lengths: NpArray) -> int:
    if not len(lengths):
        return int(feature.shape[axis] or 0)
    if (lengths != lengths[0]).any():
        raise FormatError(
            f"`{feature.path}` has rows of different lengths, {lengths.min()} to {lengths.max()}; "
            f"{_skip(feature)}"
        )
    return int(lengths[0])


def _read_shaped(feature: Feature, example: Example) -> NpArray:
    """Arrays of more than one open axis, each with its shape beside it."""
    values, shapes = example.get(f"{feature.path}/value"), example.get(f"{feature.path}/shape")
    if values is None or shapes is None:
        raise FormatError(
            f"it has no `{feature.path}/value` and `/shape`; it has {', '.join(sorted(example))}"
        )
    rows = np.asarray(shapes).reshape(-1, len(feature.shape)).tolist()
    encoded = _bytes_of(feature, values)
    if len(rows) != len(encoded):
        raise FormatError(f"`{feature.path}` has {len(encoded)} values and {len(rows)} shapes")
    return _stack(
        feature, [_decode(feature, one, tuple(row)) for one, row in zip(encoded, rows, strict=True)]
    )


def _bytes_of(feature: Feature, values: Values) -> list[bytes]:
    if isinstance(values, list):
        return values
    raise FormatError(f"`{feature.path}` is a {kind_of(values)} where encoded bytes are wanted")


def _typed(feature: Feature, values: Values) -> NpArray:
    """A flat list as the feature's dtype."""
    kind, wanted = kind_of(values), _kind_for(feature.dtype)
    if kind != wanted and len(values):
        raise FormatError(f"`{feature.path}` is a {kind} where {feature.dtype} wants a {wanted}")
    if feature.dtype == TEXT:
        found = np.empty(len(values), object)
        found[:] = values
        return found
    flat = np.asarray(values if len(values) else np.zeros(0, np.int64))
    if feature.dtype == np.uint64:
        return flat.astype(np.int64).view(np.uint64)
    with np.errstate(over="ignore", invalid="ignore"):
        typed = flat.astype(feature.dtype)
    if wanted == "int64_list" and (typed.astype(np.int64) != flat).any():
        bad = flat[(typed.astype(np.int64) != flat).argmax()]
        raise FormatError(f"`{feature.path}` holds {bad}, which no {feature.dtype} is")
    return typed


def _kind_for(dtype: np.dtype[Any]) -> str:
    if dtype == TEXT:
        return "bytes_list"
    return "int64_list" if dtype.kind in "biu" else "float_list"


def _shaped(feature: Feature, flat: NpArray, shape: tuple[int | None, ...]) -> NpArray:
    if feature.in_steps:
        if None in shape:
            raise FormatError(f"`{feature.path}` has an axis of no fixed length; {_skip(feature)}")
        fixed = tuple(size for size in shape if size is not None)
        rows = len(flat) // prod(fixed) if prod(fixed) else 0
        return _reshape(feature, flat, (rows, *fixed))
    return _reshape(feature, flat, tuple(-1 if size is None else size for size in shape))


def _reshape(feature: Feature, flat: NpArray, shape: tuple[int, ...]) -> NpArray:
    try:
        return flat.reshape(shape)
    except ValueError:
        raise FormatError(
            f"`{feature.path}` has {flat.size} numbers, which are no rows of the shape {list(feature.shape)}"
        ) from None


def _decode(feature: Feature, data: bytes, shape: tuple[int | None, ...]) -> NpArray:
    if feature.encoding == "image":
        return _image(feature, data)
    try:
        raw = zlib.decompress(data) if feature.encoding == "zlib" else data
        flat = np.frombuffer(raw, feature.dtype.newbyteorder("<")).astype(feature.dtype)
        return flat.reshape([-1 if size is None else size for size in shape])
    except (zlib.error, ValueError) as error:
        raise FormatError(
            f"`{feature.path}` does not unpack to {feature.dtype} {list(shape)}: {error}"
        ) from error


def _image(feature: Feature, data: bytes) -> NpArray:
    image = extra("PIL.Image", "images", "Decoding JPEG and PNG")
    channels = feature.shape[-1] or 3
    if feature.dtype == np.float32:
        channels = 4  # TFDS keeps a float as the four bytes of a pixel
    try:
        with image.open(io.BytesIO(data)) as opened:
            mode = "I;16" if feature.dtype == np.uint16 else _MODES[channels]
            pixels = np.asarray(opened if opened.mode == mode else opened.convert(mode))
    except (OSError, ValueError, KeyError, SyntaxError) as error:
        raise FormatError(f"`{feature.path}` is no image that can be decoded: {error}") from error
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if feature.dtype == np.float32:
        pixels = np.ascontiguousarray(pixels).view("<f4")
    wanted = feature.shape[-3:]
    if any(size not in (None, found) for size, found in zip(wanted, pixels.shape, strict=True)):
        raise FormatError(
            f"`{feature.path}` is an image of {list(pixels.shape)} where {list(wanted)} is wanted"
        )
    return pixels.astype(feature.dtype)


def _stack(feature: Feature, values: list[NpArray]) -> NpArray:
    """Encoded values, one after the other: `[T, ...]`, or the one value of a record."""
    if not values:
        return np.zeros((0, *(size or 0 for size in feature.shape)), feature.dtype)
    if len({value.shape for value in values}) > 1:
        shapes = sorted({value.shape for value in values})
        raise FormatError(
            f"`{feature.path}` has different shapes, {shapes[0]} and {shapes[-1]}; {_skip(feature)}"
        )
    single = not feature.in_steps and not feature.sequences
    return values[0] if single else np.stack(values)


def _skip(feature: Feature) -> str:
    return f"a leaf's rows have one shape; `skip=({feature.name!r},)` leaves it out"
