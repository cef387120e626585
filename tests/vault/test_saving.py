"""Episodes written as another vault are what they were, and the vault is there whole or not at all."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import zarr
from strongbax.vault import AlreadyExistsError, CorruptionError, LockedError, Vault, concat
from strongbax.vault.attachments import attach, attached
from vault_damage import build, flip
from vault_death import Death, Killed, dying
from vault_rings import same
from view_model import make

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("format1-0.1.0/*.vault"))
LENGTHS = (5, 9, 0, 1, 17, 3)


def same_episodes(found, wanted, *, but=("id", "stream", "start")) -> None:
    """Two vaults or views hold the same episodes in the same order."""
    table, known = found.episodes, wanted.episodes
    assert table.columns == known.columns
    for name in table.columns:
        if name not in but:
            assert same(table[name], known[name]), name
    assert table.texts() == known.texts()
    for name in found.schema.finals:
        assert same(found.finals(name), wanted.finals(name)), name
    for place in range(len(table)):
        mine, theirs = found[place], wanted[place]
        for name in found.leaves:
            one, other = (episode_leaf(e, found, name) for e in (mine, theirs))
            assert same(one, other), (place, name)


def episode_leaf(episode, vault, name):
    from strongbax.vault.tree import flatten

    values, tree = flatten(episode.steps)
    return np.asarray(values[tree.names.index(name)])


@pytest.mark.parametrize("streams", [1, 3])
def test_a_saved_view_holds_its_episodes(tmp_path, streams):
    """`view.save` writes the episodes of the view in its order: steps, final rows, columns, attributes."""
    vault, _ = make(tmp_path / "a", LENGTHS, streams=streams)
    view = vault.sort("length", descending=True).filter({"length": (1, None)})
    path = view.save(tmp_path / "b")
    saved = Vault.open(path)
    assert saved.verify().problems == []
    assert saved.episodes["start"].tolist() == view.episodes["start"].tolist()
    same_episodes(saved, view, but=())
    for name, values in view.read_numpy(leaves=list(view.leaves)).items():
        assert same(zarr.open_group(path, mode="r")[f"steps/{name}"][...], values), name


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_saved_vault_has_every_step(tmp_path, path):
    """Of a vault nothing is left out: what runs is cut, as the last episodes, with neither flag set."""
    vault = Vault.open(path)
    saved = Vault.open(vault.save(tmp_path / "a"))
    assert saved.verify().problems == []
    assert saved.num_steps == vault.num_steps
    same_episodes(saved.select(slice(0, vault.num_episodes)), vault.select(slice(None)))
    cut, runs = saved.episodes.filter(saved.episodes["id"] >= vault.num_episodes), vault.open_episodes
    for name in ("length", "return", "terminated", "truncated", "final_known"):
        assert same(cut[name], runs[name]), name
    assert not (cut["terminated"] | cut["truncated"] | cut["final_known"]).any()
    assert (saved.attributes, saved.card) == (vault.attributes, vault.card)


def test_facts_of_some_episodes(tmp_path):
    """A part of a vault has its card but for the statistics, and says where it comes from."""
    vault, _ = make(tmp_path / "a", LENGTHS)
    with Vault.open(vault.path, mode="a") as writer:
        writer.write_card({"licence": "CC0-1.0"}, stats=True)
    saved = Vault.open(Vault.open(vault.path).select([1, 4]).save(tmp_path / "b"))
    entry = {"name": "a", "episodes": 2, "steps": 26, "card": {}}
    assert saved.card == {"licence": "CC0-1.0", "vaults": [entry]}
    both = Vault.open(concat([saved, vault]).save(tmp_path / "c"))
    assert [v["name"] for v in both.card["vaults"]] == ["b", "a"]
    assert both.card["vaults"][0]["card"]["vaults"] == [entry]


def test_attached_arrays_come_along(tmp_path):
    """What is attached to a vault is attached to its copy; of several vaults under their names."""
    vault, _ = make(tmp_path / "a", (3, 2))
    attach(vault.path, {"policy/bias": np.arange(3.0)})
    other, _ = make(tmp_path / "b", (3, 2))
    attach(other.path, {"policy/bias": np.arange(4.0)})
    assert attached(vault.save(tmp_path / "c"))["policy/bias"].tolist() == [0, 1, 2]
    both = attached(concat([vault, other]).save(tmp_path / "d"))
    assert {name: len(array) for name, array in both.items()} == {"0-a/policy/bias": 3, "1-b/policy/bias": 4}


def test_codecs_and_blocks(tmp_path):
    """A leaf that is not named keeps its codec; a vault can be saved with another."""
    build(tmp_path / "a", (5, 9), close=True)
    vault = Vault.open(tmp_path / "a")
    saved = Vault.open(vault.save(tmp_path / "b", codec={"reward": "gzip"}, block=16))
    assert {leaf.name: leaf.codec for leaf in saved.schema.leaves} == {
        "frame": "zstd",
        "observation": "none",
        "reward": "gzip",
        "terminated": "none",
    }
    assert saved.block_steps == 16
    same_episodes(saved, vault, but=())


def test_damage_is_not_copied(tmp_path):
    """A byte that is not what was written stops the copy, however short the read; nothing is left of it."""
    build(tmp_path / "a", (5, 9), close=True)
    flip(tmp_path / "a/steps/observation/c.0.0.0", 3)
    with pytest.raises(CorruptionError, match="steps/observation"):
        Vault.open(tmp_path / "a").save(tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_stands_there_is_replaced_only_when_told(tmp_path):
    """A vault in the way is an error, is replaced with `overwrite`, but not while it is written."""
    vault, _ = make(tmp_path / "a", (3, 2))
    other, _ = make(tmp_path / "b", (4,))
    with pytest.raises(AlreadyExistsError, match="overwrite=True"):
        vault.save(other.path)
    with Vault.open(other.path, mode="a"), pytest.raises(LockedError):
        vault.save(other.path, overwrite=True)
    vault.save(other.path, overwrite=True)
    assert Vault.open(other.path).num_episodes == 2
    (tmp_path / "c").mkdir()
    (tmp_path / "c/notes").write_text("mine")
    with pytest.raises(AlreadyExistsError, match="not a vault"):
        vault.save(tmp_path / "c", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_kill_leaves_the_old_or_the_new(tmp_path, overwrite):
    """Killed at any change of the disk, a copy is not there or whole, and the next attempt succeeds."""
    build(tmp_path / "a", (5, 9), close=True)
    build(tmp_path / "old", (4,), close=True)
    vault, deaths = Vault.open(tmp_path / "a"), 0
    whole = json.dumps(vault.episodes["length"].tolist())
    path = tmp_path / ("old" if overwrite else "b")
    for after in range(0, 400, 7):
        try:
            with dying(Death(after)) as death:
                vault.pack(path, overwrite=overwrite)
        except Killed:
            deaths += 1
        if path.exists():
            found = Vault.open(path)
            assert found.verify().problems == []
            lengths = json.dumps(found.episodes["length"].tolist())
            assert lengths == whole or (overwrite and lengths == "[4]")
        if not death.came:
            break
    assert deaths > 10
    assert not death.came
    for left in tmp_path.glob(".*"):  # one that was about to be locked, or to be renamed
        assert not (left / "writer.lock").exists()
        os.utime(left, (0, 0))
    vault.pack(path, overwrite=True)
    assert list(tmp_path.glob(".*")) == []
