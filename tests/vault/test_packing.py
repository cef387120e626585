"""A packed vault is the same episodes in few large files, the same bytes whenever it is packed."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zarr
from strongbax.vault import Vault
from strongbax.vault.block import PACKED_BLOCK_BYTES, choose_packed_block
from strongbax.vault.manifest import check_manifest, read_manifest
from strongbax.vault.schema import CHUNK_BYTES, Leaf
from test_saving import same_episodes
from vault_damage import build, files, flip
from vault_rings import same
from view_model import make

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("format1-0.1.0/*.vault"))
LENGTHS = (5, 9, 0, 1, 17, 3)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@pytest.mark.parametrize("codec", ["zstd", "none", "gzip", "lz4", "blosc"])
def test_packing_keeps_everything(tmp_path, path, codec):
    """Every dtype, codec and layout comes through packing as it was, for us and for zarr-python."""
    vault = Vault.open(path)
    packed = Vault.open(vault.pack(tmp_path / "a", codec=codec))
    assert packed.verify().problems == []
    assert {leaf.codec for leaf in packed.schema.leaves} == {codec}
    assert (packed.streams, packed.num_steps) == (1, vault.num_steps)
    same_episodes(packed.select(slice(0, vault.num_episodes)), vault.select(slice(None)))
    group = zarr.open_group(packed.path, mode="r")
    for name, values in packed.read_numpy(leaves=list(packed.leaves)).items():
        assert group[f"steps/{name}"][...].tobytes() == values.tobytes(), name


@pytest.mark.parametrize("streams", [1, 3])
def test_packing_twice_gives_the_same_bytes(tmp_path, streams):
    """Packing a vault again, or its packed copy, gives the same files with the same bytes."""
    vault, _ = make(tmp_path / "a", LENGTHS, streams=streams, tail=3)
    first, again = vault.pack(tmp_path / "b"), vault.pack(tmp_path / "c")
    second = Vault.open(first).pack(tmp_path / "d")
    assert files(first) == files(again) == files(second)


def test_the_manifest_names_every_file(tmp_path):
    """`manifest.json` has path, size and hash of every file; `verify` misses none and finds another one."""
    vault, _ = make(tmp_path / "a", LENGTHS)
    path = vault.pack(tmp_path / "b")
    there = {str(f.relative_to(path)) for f in path.rglob("*") if f.is_file()} - {"manifest.json"}
    assert {file["path"] for file in read_manifest(path)["files"]} == there
    assert check_manifest(path, deep=True) == []
    flip(path / "steps/reward/zarr.json", 30)
    assert check_manifest(path, deep=False) == []
    (said,) = check_manifest(path, deep=True)
    assert "steps/reward/zarr.json" in said
    (path / "steps/reward/zarr.json").unlink()
    assert "it is missing" in check_manifest(path, deep=False)[0]
    assert any("manifest" in problem for problem in Vault.open(path).verify().problems)
    (path / "manifest.json").write_text('{"files": 3}')
    assert "is damaged" in check_manifest(path, deep=True)[0]


def test_a_writer_goes_on_with_a_packed_vault(tmp_path):
    """A packed vault can be appended to; its manifest goes, since it would not hold any more."""
    vault, _ = make(tmp_path / "a", LENGTHS)
    path = vault.pack(tmp_path / "b")
    before = Vault.open(path).read_numpy(leaves=["reward"])["reward"]
    with Vault.open(path, mode="a") as packed:
        packed.append([vault[0], vault[4]])
    again = Vault.open(path)
    assert again.verify().problems == []
    assert read_manifest(path) is None
    assert same(again.read_numpy(leaves=["reward"])["reward"][:, : before.shape[1]], before)
    assert again.episodes["length"][-2:].tolist() == [5, 17]


@pytest.mark.parametrize("row_bytes", [1, 4, 65, 7056, 28224, 1 << 20])
def test_shards_and_chunks_are_of_a_good_size(row_bytes):
    """A full shard of the largest leaf is 256 to 512 MiB, its inner chunks about 256 KiB or 32 rows."""
    leaf = Leaf("x", np.dtype(np.uint8), (row_bytes,), "zstd")
    block = choose_packed_block(1 << 40, (leaf,))
    assert PACKED_BLOCK_BYTES // 2 <= block * row_bytes <= PACKED_BLOCK_BYTES
    assert choose_packed_block(100, (leaf,)) == min(128, block)
    example = {"x": np.zeros(row_bytes, np.uint8)}
    from strongbax.vault.describe import describe
    from strongbax.vault.rewrite import Layout

    schema = describe(example, 1, roles=None, finals=None, codec=None, columns={}, block=None)
    array = Layout("zstd", packed=True).schema(schema, 1 << 40).step_array(leaf)
    rows = array.chunk[1]
    assert rows == 32 or CHUNK_BYTES * 0.7 <= rows * row_bytes <= CHUNK_BYTES * 1.5


def test_memory_does_not_grow_with_a_shard(tmp_path):
    """Packing 64 MB into one shard takes a fraction of that."""
    count = 1 << 16
    step = {"x": np.zeros(128, np.float64), "reward": np.float32(0), "terminated": np.bool_(0)}
    with Vault.create(tmp_path / "a", steps=step) as vault:
        for seed in range(8):
            block = np.random.default_rng(seed).normal(size=(count // 8, 128))
            ends = np.arange(count // 8) == count // 8 - 1
            vault.extend({"x": block, "reward": np.ones(count // 8, np.float32), "terminated": ends})
    vault = Vault.open(tmp_path / "a")
    tracemalloc.start()
    path = vault.pack(tmp_path / "b", codec="none")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (path / "steps/x/c.0.0.0").stat().st_size > count * 1024
    assert peak < 40e6


def test_packed_vaults_verify_deep_and_quick(tmp_path):
    """A flipped byte in a packed vault is found by a deep look, and named."""
    build(tmp_path / "a", (5, 9), close=True)
    path = Vault.open(tmp_path / "a").pack(tmp_path / "b")
    assert json.loads((path / "zarr.json").read_bytes())["attributes"]["strongbax"]["schema"]["packed"]
    flip(path / "steps/frame/c.0.0.0", 5)
    problems = Vault.open(path).verify().problems
    assert any("steps/frame" in problem for problem in problems)
