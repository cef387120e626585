"""Attached arrays: they come back as they were, also to readers that know only Zarr."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from strongbax.vault.attachments import attach, attached, can_attach
from strongbax.vault.errors import CorruptionError, StorageError
from strongbax.vault.vault import Vault

ARRAYS = {
    "policy/fc0/weight": np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32),
    "policy/fc0/bias": np.arange(5, dtype=">i8"),
    "policy/mask": np.array([True, False]),
    "odd name/../x%y": np.array([np.nan, -0.0]),
    "none": np.zeros((0, 2), np.int8),
}


def test_arrays_come_back_as_they_were(tmp_path: Path):
    """Names, shapes, dtypes and bits survive, in native byte order; no name leaves the folder."""
    attach(tmp_path, ARRAYS)
    found = attached(tmp_path)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        native = array.astype(array.dtype.newbyteorder("="))
        np.testing.assert_array_equal(found[name], native, strict=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["attached"]


def test_zarr_reads_them(tmp_path: Path):
    """zarr-python opens them as groups and arrays, checksums and all."""
    attach(tmp_path, ARRAYS)
    group = zarr.open_group(tmp_path / "attached" / "policy", mode="r")
    assert sorted(group.group_keys()) == ["fc0"]
    for name in ("fc0/weight", "fc0/bias", "mask"):
        np.testing.assert_array_equal(np.asarray(group[name]), ARRAYS[f"policy/{name}"])


def test_a_vault_lives_with_them(tmp_path: Path):
    """A vault verifies and goes on being written with arrays attached to it, and leaves them be."""
    with Vault.create(tmp_path / "v", steps={"reward": np.float32(0)}) as vault:
        vault.extend({"reward": np.ones(3, np.float32)})
    attach(tmp_path / "v", ARRAYS)
    with Vault.open(tmp_path / "v", mode="a") as vault:
        vault.extend({"reward": np.ones(2, np.float32)})
        report = vault.verify()
    assert report.ok
    assert report.checked["attached"] == len(ARRAYS)
    with Vault.open(tmp_path / "v") as vault:
        assert vault.length == 5
    assert set(attached(tmp_path / "v")) == set(ARRAYS)


def test_damage_is_found(tmp_path: Path):
    """A flipped bit is an error and never a wrong number."""
    attach(tmp_path, {"bias": np.ones(4)})
    chunk = tmp_path / "attached" / "bias" / "c.0"
    data = bytearray(chunk.read_bytes())
    data[3] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(CorruptionError, match="attached/bias' is damaged: its checksum is wrong"):
        attached(tmp_path)


@pytest.mark.parametrize("damage", [lambda chunk: chunk.unlink(), lambda chunk: chunk.write_bytes(b"zero")])
def test_verify_names_a_damaged_one(tmp_path: Path, damage: Callable[[Path], object]):
    """An attached array that is cut short or gone is a problem of the vault, and named."""
    with Vault.create(tmp_path / "v", steps={"reward": np.float32(0)}) as vault:
        vault.extend({"reward": np.ones(3, np.float32)})
    attach(tmp_path / "v", ARRAYS)
    damage(tmp_path / "v" / "attached" / "policy" / "fc0" / "bias" / "c.0")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.verify(deep=False).ok
        [problem] = vault.verify().problems
        assert "attached/policy/fc0/bias" in problem


def test_nothing_attached_is_nothing(tmp_path: Path):
    """A vault without attached arrays has none, and a disk that refuses says so."""
    attach(tmp_path, {})
    assert attached(tmp_path) == {}
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Could not attach arrays to"):
        attach(tmp_path / "file", {"a": np.ones(1)})


def test_only_what_zarr_knows_can_be_attached():
    """Texts and structures have no place in Zarr's core, numbers have."""
    assert can_attach(np.dtype(np.float16))
    assert not can_attach(np.dtype("S3"))
    assert not can_attach(np.dtype("M8[s]"))
