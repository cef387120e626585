"""Arrays as JSON, without loss: for the few small ones that belong to a dataset, not to its steps.

A number or a text becomes just that; everything else an object of dtype, shape and the bytes in
base64, so that NaN, dtype and bit pattern come back as they were.
"""

import base64
import math
from typing import Any, cast

import numpy as np

from ..vault.dtypes import NpArray


def to_json(array: NpArray) -> Any:
    """Returns an array as a JSON value.

    Example:
      >>> to_json(np.array(b"SAC")), to_json(np.int32(90))
      ('SAC', 90)
      >>> to_json(np.array([1.0, 2.0], np.float32))
      {'dtype': '<f4', 'shape': [2], 'base64': 'AACAPwAAAEA='}
    """
    array = np.asarray(array)
    if array.ndim == 0:
        scalar = _scalar(array.item())
        if scalar is not None:
            return scalar
    little = array.astype(array.dtype.newbyteorder("<"))
    text = base64.b64encode(little.tobytes()).decode("ascii")
    return {"dtype": little.dtype.str, "shape": list(array.shape), "base64": text}


def exact_json(array: NpArray) -> Any:
    """Returns an array as a JSON value that `from_json` gives back with its dtype, numbers too.

    Example:
      >>> exact_json(np.array(2.5)), exact_json(np.array(3, np.int8))
      (2.5, {'dtype': '|i1', 'shape': [], 'base64': 'Aw=='})
    """
    array = np.asarray(array)
    value = to_json(array)
    if from_json(value).dtype == array.dtype or array.dtype.kind == "U":
        return value
    return {**to_json(array.reshape(-1)), "shape": list(array.shape)}


def from_json(value: Any) -> NpArray:
    """Returns the array of a value that `to_json` made.

    A number or a text gives an array without axes in NumPy's default dtype for it.

    Example:
      >>> from_json(to_json(np.array([1.0, 2.0], np.float32)))
      array([1., 2.], dtype=float32)
      >>> from_json("SAC")
      array('SAC', dtype='<U3')
    """
    if not isinstance(value, dict):
        return np.asarray(value)
    record = cast("dict[str, Any]", value)
    flat = np.frombuffer(base64.b64decode(record["base64"]), np.dtype(record["dtype"]))
    return flat.reshape(record["shape"])


def _scalar(value: object) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str) else None
