"""Arrays as JSON: what goes in comes out, bit for bit."""

import json

import numpy as np
import pytest
from strongbax.converters.json_arrays import from_json, to_json


@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32),
        np.array([np.nan, -0.0, np.inf]),
        np.array([[True, False]]),
        np.arange(5, dtype=np.int16),
        np.array([b"relu", b"tanh"]),
        np.zeros((0, 3), np.float64),
        np.array([1.5, 2.5], ">f8"),
        np.array(np.nan),
    ],
)
def test_arrays_come_back_as_they_were(array: np.ndarray):
    """Dtype, shape and every bit survive JSON, in native byte order."""
    text = json.dumps(to_json(array), allow_nan=False)
    back = from_json(json.loads(text))
    native = array.astype(array.dtype.newbyteorder("="))
    np.testing.assert_array_equal(back, native, strict=True)
    assert back.tobytes() == native.tobytes()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(np.bytes_("SAC"), "SAC"), (np.int32(90), 90), (np.float64(0.5), 0.5), (np.bool_(True), True)],
)
def test_scalars_are_plain_json(value: np.generic, expected: object):
    """What a person would write as a word or a number stands as that."""
    assert to_json(np.asarray(value)) == expected
    assert from_json(expected).item() == expected


def test_text_that_is_not_utf8_is_kept_as_bytes():
    """Bytes that are no text keep their bits instead of being guessed at."""
    odd = np.array(b"\xff\xfe")
    assert from_json(to_json(odd)).tobytes() == odd.tobytes()
