"""A root that is damaged or gone is made anew from what the arrays and the log tell."""

import shutil
from pathlib import Path

import pytest
from strongbax.vault import Vault
from strongbax.vault.repairing import repair
from vault_damage import build, copy, cut, flip, records
from vault_repairs import repaired, same_as_built
from vault_rings import same

GOLDEN = Path(__file__).parents[1] / "golden"


def damage_root(path, how):
    root = path / "zarr.json"
    if how == "bit":
        flip(root, 700, 1 << 3)
    elif how == "checksum":
        at = root.read_bytes().index(b'"crc32c": "') + 12
        flip(root, at)
    elif how == "missing":
        root.unlink()
    elif how == "empty":
        cut(root, 0)
    else:
        cut(root, root.stat().st_size // 2)


@pytest.mark.parametrize("how", ["bit", "checksum", "missing", "empty", "cut"])
@pytest.mark.parametrize("name", ["closed", "log", "long", "both"])
def test_a_damaged_root_is_made_anew(case, name, how):
    """Whatever befalls the root, every step and episode is there afterwards, with roles and containers."""
    path, contents = case(name)
    with Vault.open(path) as vault:
        roles, tree, attributes = vault.roles, vault.schema.tree, vault.attributes
    damage_root(path, how)
    report = repaired(path, contents, range(len(contents.table["length"])), dropped=[])
    with Vault.open(path) as vault:
        assert vault.length == contents.commits[-1][0] + vault[0].length  # one was appended again
        assert (vault.roles, vault.schema.tree, vault.attributes) == (roles, tree, attributes)
    assert not report.one_stream
    assert bool(report.lost) == (how in ("missing", "empty", "cut"))


def test_a_root_and_the_ends_of_texts_lost(case):
    """Where the root and a column are lost together, other columns tell which episodes there were."""
    path, contents = case("closed")
    (path / "zarr.json").unlink()
    shutil.rmtree(path / "episodes/attributes_stop")
    repair(path)
    vault = Vault.open(path)
    assert vault.verify().problems == []
    same_as_built(vault, contents, range(5), finals=False)


def test_a_root_and_the_episodes_lost(case):
    """Where nothing tells where episodes ended, none is made up of steps of several."""
    path, _ = case("closed")
    (path / "zarr.json").unlink()
    for column in ("start", "length", "attributes_stop"):
        shutil.rmtree(path / "episodes" / column)
    report = repair(path)
    assert any("episodes ended" in lost for lost in report.lost)
    vault = Vault.open(path)
    assert vault.verify().problems == []
    assert (len(vault), len(vault.open_episodes)) == (0, 0)


def test_a_root_and_a_record_lost(tmp_path):
    """Where the root and the log's first record are lost, what no shard holds is not taken for steps."""
    contents = build(tmp_path / "a", (5, 6, 1, 1, 2), close=False, seal_after=1)
    (log,) = (log for log in (tmp_path / "a/log").glob("*.log") if log.stat().st_size)
    assert len(records(log)) == 3
    log.write_bytes(log.read_bytes()[records(log)[1][0] :])
    (tmp_path / "a/zarr.json").unlink()
    report = repair(tmp_path / "a")
    assert "Steps 11 to 11 of each stream, which the log held, are lost." in report.lost
    vault = Vault.open(tmp_path / "a")
    assert vault.verify().problems == []
    same_as_built(vault, contents, [0, 1, 3, 4])


@pytest.mark.parametrize("name", ["episodes", "streams"])
def test_an_old_vault_without_a_copy_of_its_schema(tmp_path, name):
    """Of a vault that an older version made the arrays' documents tell what the shards hold."""
    path = copy(GOLDEN / f"format1-0.1.0/{name}.vault", tmp_path / "a")
    whole = Vault.open(path)
    steps = {leaf: whole.read_numpy(leaves=[leaf])[leaf] for leaf in whole.leaves}
    (path / "zarr.json").unlink()
    report = repair(path)
    vault = Vault.open(path)
    assert vault.verify().problems == []
    assert any("stood there only" in lost for lost in report.lost)
    assert vault.length == (35 if name == "episodes" else 23)  # a last block may not be full
    for leaf, values in steps.items():
        assert same(vault.read_numpy(leaves=[leaf])[leaf], values[:, : vault.length]), leaf
    count = vault.num_episodes
    assert count == (6 if name == "episodes" else count)
    for column in ("length", "return", "terminated", "truncated"):
        assert same(vault.episodes[column], whole.episodes[column][:count])


def test_documents_of_arrays_are_written_anew(case):
    """A damaged or missing zarr.json of an array is written anew, and nothing else changes."""
    path, contents = case("closed")
    (path / "steps/reward/zarr.json").unlink()
    cut(path / "episodes/length/zarr.json", 10)
    repaired(path, contents, range(5), lost=[], dropped=[], one_stream=False)
