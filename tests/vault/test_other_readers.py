"""Other people's libraries read a vault: zarr-python, TensorStore and xarray give the same arrays."""

import json
import threading
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorstore
import zarr
from strongbax.vault import Episode, Vault
from vault_rings import same

STEP = {
    "observation": {"frame": np.zeros((32, 32), np.uint8), "p": np.zeros(3, np.float32)},
    "half": np.zeros(2, ml_dtypes.bfloat16),
    "fp8": np.zeros(2, ml_dtypes.float8_e4m3fn),
    "when": np.zeros((), "M8[ns]"),
    "text": np.zeros((), "U4"),
    "longer": np.zeros((), "U6"),
    "lz4": np.zeros(2, np.float64),
    "blosc": np.zeros(2, np.int32),
    "gzip": np.zeros(2, np.complex64),
    "a b.c/d": np.zeros((), np.int64),
    "reward": np.zeros((), np.float32),
    "terminated": np.zeros((), np.bool_),
}
CODECS = {"lz4": "lz4", "blosc": "blosc", "gzip": "gzip"}
PLAIN = {"half": ("uint16", "bfloat16"), "fp8": ("uint8", "float8_e4m3fn"), "when": ("int64", "<M8[ns]")}


def episode(length: int, number: int) -> Episode:
    random = np.random.default_rng(number)

    def values(leaf: Any) -> np.ndarray:
        return random.integers(0, 100, (length, *leaf.shape)).astype(leaf.dtype)

    steps = {name: values(leaf) for name, leaf in STEP.items() if name != "observation"}
    steps["observation"] = {name: values(leaf) for name, leaf in STEP["observation"].items()}
    steps["terminated"] = np.arange(length) == length - 1
    final = {"observation": {name: leaf[0] for name, leaf in steps["observation"].items()}}
    return Episode(steps, final, columns={"task": f"t{number}"}, attributes={"number": number})


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    """A closed vault of every kind of leaf, several shards long."""
    path = tmp_path_factory.mktemp("other") / "a.vault"
    with Vault.create(path, steps=STEP, codec=CODECS, columns={"task": "U8"}, block=8) as vault:
        for number, length in enumerate((5, 12, 1, 7)):
            vault.append(episode(length, number))
    return Vault.open(path)


def stored(values: np.ndarray) -> np.ndarray:
    """What a reader that does not know the dtype is given."""
    if values.dtype.name in {"bfloat16", "float8_e4m3fn"}:
        return values.view(f"u{values.dtype.itemsize}")
    if values.dtype.kind == "M":
        return values.view(np.int64)
    if values.dtype.kind == "U":
        return np.ascontiguousarray(values)[..., None].view(np.uint32)
    return values


def arrays(vault: Vault) -> dict[str, np.ndarray]:
    """Every array of a closed vault, as it must be found."""
    found = {f"steps/{name}": vault.read_numpy(leaves=[name])[name] for name in vault.leaves}
    found |= {f"final/{name}": vault.finals(name) for name in vault.schema.finals}
    table = vault.episodes
    found |= {f"episodes/{name}": table[name] for name in table.columns if name != "id"}
    return {name: stored(values) for name, values in found.items()}


@pytest.mark.filterwarnings("ignore:Object at (log|writer.lock) is not recognized")
@pytest.mark.parametrize("consolidated", [True, False])
def test_zarr_reads_a_closed_vault(vault, consolidated):
    """zarr-python opens the group, with and without consolidated metadata, and every array is equal."""
    group = zarr.open_group(vault.path, mode="r", use_consolidated=consolidated)
    for name, values in arrays(vault).items():
        assert same(group[name][...], values), name
    texts, stops = group["episodes/attributes"][...].tobytes(), group["episodes/attributes_stop"][...]
    assert json.loads(texts[stops[0] : stops[1]]) == {"number": 1}
    members = dict(group.members(max_depth=None))
    assert {name for name, node in members.items() if isinstance(node, zarr.Array)} == {
        *arrays(vault),
        "episodes/attributes",
        "episodes/attributes_stop",
    }


def test_dtypes_that_zarr_lacks_have_their_names(vault):
    """bfloat16 comes as uint16, with its own name in the array's attributes."""
    group = zarr.open_group(vault.path, mode="r")
    for leaf, (base, name) in PLAIN.items():
        array = group[f"steps/{leaf}"]
        assert array.dtype == base
        assert array.attrs["strongbax_dtype"] == name
        dtype = getattr(ml_dtypes, name, name)
        assert same(array[...].view(dtype), vault.read_numpy(leaves=[leaf])[leaf])
    assert dict(group["steps/reward"].attrs) == {}


def test_tensorstore_reads_each_array(vault):
    """TensorStore opens each array by its own zarr.json, without knowing of a vault."""
    for name, values in arrays(vault).items():
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(vault.path / name)}}
        assert same(tensorstore.open(spec, read=True).result().read().result(), values), name


def test_xarray_reads_a_closed_vault(vault):
    """xarray opens steps, finals and episodes as data sets with named dimensions."""
    xarray = pytest.importorskip("xarray")
    for group in ("steps", "steps/observation", "final/observation", "episodes"):
        data = xarray.open_zarr(vault.path, group=group, consolidated=False)
        for name, values in arrays(vault).items():
            folder, _, leaf = name.rpartition("/")
            if folder == group:
                assert same(np.asarray(data[leaf]), values), name
    assert data["length"].dims == ("episode",)


def test_dimension_names_have_one_size_each(vault):
    """In one group no dimension name stands for two sizes, or xarray would refuse the group."""
    sizes: dict[str, dict[str, int]] = {}
    for name, array in zarr.open_group(vault.path, mode="r").members(max_depth=None):
        if isinstance(array, zarr.Array):
            known = sizes.setdefault(name.rpartition("/")[0], {})
            for dimension, size in zip(array.metadata.dimension_names, array.shape, strict=True):
                assert known.setdefault(dimension, size) == size, (name, dimension)


def lengths(path: Path) -> tuple[int, ...]:
    group = zarr.open_group(path, mode="r")
    return tuple(group[f"steps/{name}"].shape[1] for name in ("reward", "half", "observation/frame"))


def test_zarr_sees_a_sealed_prefix_beside_a_writer(tmp_path):
    """While a vault is written, zarr-python sees arrays of one length, a prefix of what was flushed."""
    path, told = tmp_path / "a.vault", [0]
    with Vault.create(path, steps=STEP, codec=CODECS, columns={"task": "U8"}, block=8) as vault:
        whole = episode(90, 0)
        frames = whole.steps["observation"]["frame"]

        def write() -> None:
            for start in range(0, 90, 5):
                part = {n: v[start : start + 5] for n, v in whole.steps.items() if n != "observation"}
                observation = {n: v[start : start + 5] for n, v in whole.steps["observation"].items()}
                told[0] += 5
                vault.extend(part | {"observation": observation})

        writer = threading.Thread(target=write)
        writer.start()
        try:
            seen = [0]
            while writer.is_alive() or len(seen) == 1:
                group = zarr.open_group(path, mode="r")
                found = group["steps/observation/frame"][...]
                assert {group["steps/reward"].shape[1], group["steps/half"].shape[1]} == {found.shape[1]}
                assert seen[-1] <= found.shape[1] <= told[0]
                assert found.shape[1] % 8 == 0
                assert same(found[0], frames[: found.shape[1]])
                seen.append(found.shape[1])
        finally:
            writer.join()
        assert len(set(lengths(path))) == 1
        vault.seal()
        assert lengths(path) == (90, 90, 90)
    assert lengths(path) == (90, 90, 90)
