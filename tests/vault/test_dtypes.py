"""Every dtype comes back as it was, byte for byte: from the log, from shards, and after reopening."""

from types import SimpleNamespace
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from strongbax.buffer.trajectory_buffer import TrajectoryBufferState
from strongbax.vault import Vault
from vault_rings import same

CORE = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
EXTENSIONS = sorted(
    name
    for name in dir(ml_dtypes)
    if name.startswith(("bfloat", "float", "int", "uint")) and isinstance(getattr(ml_dtypes, name), type)
)
OTHERS = ["<M8[ns]", "<M8[D]", "<m8[us]", "<m8", "S5", "<U3", "S1"]
FOREIGN = [">i2", ">f4", ">f8", ">c16", ">U3", ">M8[s]"]
CODECS = ["none", "zstd", "lz4", "blosc", "gzip"]
SHAPES = [(), (1,), (3,), (2, 3), (0,), (2, 0, 3)]


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


def values_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Gives values of any bytes that the dtype can have: NaN with payloads, negative zeros, NaT."""
    count = int(np.prod(shape, dtype=int))
    raw = np.random.default_rng(count + dtype.itemsize).integers(0, 256, count * dtype.itemsize, np.uint8)
    if dtype.kind == "b":
        raw %= 2
    if "int4" in dtype.name or "int2" in dtype.name:
        raw %= 2
    if dtype.kind == "U":
        return np.array(["aé→", "\U0001f600", ""] * count, dtype)[:count].reshape(shape)
    return raw.view(dtype).reshape(shape)


def check(vault: Vault, values: np.ndarray) -> None:
    found = vault.read_numpy()["x"]
    native = values.astype(values.dtype.newbyteorder("="))
    assert found.dtype == native.dtype
    assert same(found[0], native)
    some = vault.read_numpy(2, 9, leaves=["x"])["x"]
    assert same(some[0], native[2:9])


@pytest.mark.parametrize("name", CORE + EXTENSIONS + OTHERS + FOREIGN)
def test_dtypes_come_back(tmp_path, name):
    """A leaf of every dtype of NumPy and ml_dtypes is read as it was written, wherever it lies."""
    dtype, path = dtype_of(name), tmp_path / "a.vault"
    values = values_of(dtype, (11, 3))
    example = {"x": np.zeros(3, dtype), "z": np.zeros(3, dtype)}
    with Vault.create(path, steps=example, codec={"z": "zstd"}, block=4) as vault:
        vault.extend({"x": values[:3], "z": values[:3]})  # in the log
        check_part(vault, values[:3])
        vault.extend({"x": values[3:], "z": values[3:]})  # across blocks, straight to shards
        check(vault, values)
        check(Vault.open(path), values)
    vault = Vault.open(path)
    check(vault, values)
    both = vault.read_numpy()
    assert same(both["x"], both["z"])
    assert vault.verify().problems == []


def check_part(vault: Vault, values: np.ndarray) -> None:
    native = values.astype(values.dtype.newbyteorder("="))
    assert same(vault.read_numpy()["x"][0], native)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("codec", CODECS)
def test_shapes_and_codecs(tmp_path, shape, codec):
    """Scalars, axes of one, of zero, and several axes come back under every codec, alone and mixed."""
    dtypes = ["uint8", "float32", "float64", "bfloat16", "U2", "bool"]
    example = {name: np.zeros(shape, dtype_of(name)) for name in dtypes} | {"plain": np.zeros(shape, "i2")}
    codecs = dict.fromkeys(dtypes, codec)
    steps = {name: values_of(leaf.dtype, (19, *shape)) for name, leaf in example.items()}
    path = tmp_path / "a.vault"
    with Vault.create(path, steps=example, codec=codecs, block=8) as vault:
        for start, stop in ((0, 3), (3, 4), (4, 15), (15, 19)):
            vault.extend({name: values[start:stop] for name, values in steps.items()})
        compare(vault, steps)
        compare(Vault.open(path), steps)
    vault = Vault.open(path)
    compare(vault, steps)
    assert vault.verify().problems == []


def compare(vault: Vault, steps: dict[str, np.ndarray]) -> None:
    found, some = vault.read_numpy(), vault.read_numpy(1, 3)
    for name, values in steps.items():
        assert same(found[name][0], values), name
        assert same(some[name][0], values[1:3]), name


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_prng_keys_come_back(tmp_path, impl):
    """Keys are stored as their data and read as keys of the same implementation."""
    keys = jax.random.split(jax.random.key(0, impl=impl), 6)[None]
    state = TrajectoryBufferState(
        experience={"key": keys, "x": np.arange(6, dtype=np.float32)[None]},
        current_index=np.int32(0),
        is_full=np.bool_(True),
        laps=np.int32(1),
    )
    path = tmp_path / "a.vault"
    with Vault.create(path, like=state, block=4) as vault:
        vault.write(state)
        assert vault.write(state) == 0
    with Vault.open(path) as vault:
        assert same(vault.read_numpy()["key"], np.asarray(jax.random.key_data(keys)))
        found = vault.read().experience["key"]
        assert found.dtype == keys.dtype
        assert same(jax.random.key_data(found), jax.random.key_data(keys))


@pytest.mark.parametrize("dtype", ["O", "i4,f4", "V3", "longdouble", "clongdouble"])
def test_dtypes_without_meaning_are_refused(tmp_path, dtype):
    """What has no fixed bytes, or none that others know, is refused with the mend, and nothing is left."""
    with pytest.raises(TypeError, match=r"dtype|objects") as caught:
        Vault.create(tmp_path / "a.vault", steps={"x": np.zeros(2, dtype)})
    assert "'x'" in str(caught.value) or "dtype" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["int64", "float64", "uint64"])
def test_64_bits_are_kept(tmp_path, name):
    """NumPy reads 64 bits as they were; JAX without x64 narrows aloud, and refuses what does not fit."""
    dtype, path = np.dtype(name), tmp_path / "a.vault"
    with Vault.create(path, steps={"x": np.zeros((), dtype)}, block=4) as vault:
        vault.extend({"x": np.arange(5, dtype=dtype)})
        with pytest.warns(UserWarning, match=r"The leaves \['x'\] have 64 bits"):
            assert vault.read().experience["x"].dtype.itemsize == 4
        vault.extend({"x": np.full(1, 2**40, dtype)})
        assert vault.read_numpy(leaves=["x"])["x"][0, -1] == 2**40
        if dtype.kind in "iu":
            with pytest.raises(ValueError, match=r"'x' is u?int64 and does not fit the 32 bits") as caught:
                vault.read()
            assert "jax_enable_x64" in str(caught.value)


def test_jax_is_not_given_strings(tmp_path):
    """Loading strings or datetimes names the leaves and the mend; the others are loaded without them."""
    example = {"d": np.zeros((), "M8[s]"), "s": np.zeros((), "U3"), "x": np.float32(0)}
    with Vault.create(tmp_path / "a.vault", steps=example, block=4) as vault:
        vault.extend({name: np.zeros(5, leaf.dtype) for name, leaf in example.items()})
        with pytest.raises(TypeError, match=r"JAX cannot hold the leaves \['d', 's'\]") as caught:
            vault.read()
        assert "Leave them out with `leaves=`" in str(caught.value)
        assert list(vault.read(leaves=["x"]).experience) == ["x"]


def test_the_dtype_of_a_flush_must_be_the_vaults(tmp_path):
    """Steps of another dtype are refused, naming leaf, wanted and given; nothing is converted silently."""
    with Vault.create(tmp_path / "a.vault", steps={"x": np.zeros(2, np.float32)}, block=4) as vault:
        with pytest.raises(ValueError, match=r"'x' of `steps` must be float32 \[2\] a step") as caught:
            vault.extend({"x": np.zeros((3, 2), np.float64)})
        assert "got float64 [2]" in str(caught.value)
        state = SimpleNamespace(
            experience={"x": np.zeros((1, 3, 2), np.float16)},
            current_index=np.int32(3),
            is_full=np.bool_(False),
        )
        with pytest.raises(ValueError, match=r"'x' of the state must be float32 \[2\] a step"):
            vault.write(state)
        assert vault.num_steps == 0
