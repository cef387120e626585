"""What repair brings along: streams, what stands beside, the layout, parts; and a kill on the way."""

import os
import shutil

import numpy as np
from strongbax.vault import Vault
from strongbax.vault.attachments import attach, attached
from strongbax.vault.repairing import repair
from vault_damage import build, copy, files, flip
from vault_death import Death, Killed, dying
from vault_repairs import repaired, same_as_built
from vault_rings import same
from vault_world import World


def test_streams_stay_where_no_step_is_lost(tmp_path):
    """A training vault of several streams goes on after its root is repaired, gaps and all."""
    world = World(tmp_path / "a")
    for count in (3, 5, 4, 6, 2):
        world.add(count)
        world.write(world.ring.count - count)
    world.vault._flusher._writer.wait()
    world.vault.close()
    shutil.rmtree(tmp_path / "a/episodes/score")
    flip(tmp_path / "a/zarr.json", 400)
    report = repair(tmp_path / "a")
    assert not report.one_stream
    vault = Vault.open(tmp_path / "a")
    assert vault.streams == 2
    for name in vault.leaves:
        assert same(vault.read_numpy(leaves=[name])[name], world.model.leaf(name)), name


def test_episodes_of_streams_that_lost_no_step(tmp_path):
    """Of several streams the episodes that lost no step are kept, whichever stream they are of."""
    world = World(tmp_path / "a", ends=0.3)
    for _ in range(12):
        world.add(4)
        world.write(world.ring.count - 4)
    world.vault.close()
    whole = [e for e in world.model.episodes if e["start"] + e["length"] <= 16 or e["start"] >= 24]
    (tmp_path / "a/steps/reward/c.0.2").unlink()
    report = repair(tmp_path / "a")
    assert report.one_stream
    vault = Vault.open(tmp_path / "a")
    assert vault.verify().problems == []
    lengths = [episode["length"] for episode in whole]
    runs = [48 - start for start in world.model.start if 24 <= start < 48]
    assert vault.episodes["length"].tolist() == lengths + runs
    assert len(lengths) > 3
    for place, known in enumerate(whole):
        stop = known["start"] + known["length"]
        for name in vault.leaves:
            wanted = world.model.leaf(name, known["start"], stop)[known["stream"]]
            assert same(vault[place].steps[name], wanted)


def test_what_stands_beside_comes_along(case):
    """Attached arrays and files of the user's are kept; an attached array that is damaged is named."""
    path, contents = case("closed")
    attach(path, {"policy/bias": np.arange(3.0), "policy/scale": np.arange(2.0)})
    (path / "README.md").write_text("mine")
    flip(path / "attached/policy/scale/c.0", 0)
    report = repaired(path, contents, range(5), dropped=[])
    assert report.lost == ["The attached array 'policy/scale' is damaged."]
    assert list(attached(path)) == ["policy/bias"]
    assert (path / "README.md").read_text() == "mine"


def test_a_packed_vault_keeps_its_layout(case, tmp_path):
    """A repaired packed vault is packed, and its manifest is of what is there now."""
    path, contents = case("closed")
    packed = Vault.open(path).pack(tmp_path / "p")
    flip(next((packed / "final/observation").glob("c.*")), 1)
    repair(packed)
    vault = Vault.open(packed)
    assert (vault.verify().problems, vault.schema.packed) == ([], True)
    same_as_built(vault, contents, range(5), finals=False)


def test_a_kill_leaves_the_damaged_or_the_repaired(case):
    """Killed at any change of the disk, the vault is what it was or repaired, and nothing is ever gone."""
    source, contents = case("closed")
    flip(next((source / "steps/reward").glob("c.0.1*")), 1)
    before, deaths = files(source), 0
    for after in range(0, 600, 9):
        path = copy(source, source.parent / f"k{after}")
        death = Death(after)
        try:
            with dying(death):
                repair(path)
        except Killed:
            deaths += 1
        if files(path) != before:
            same_as_built(Vault.open(path), contents, [0, 1, 2])
        for left in path.parent.glob(".k*"):
            os.utime(left, (0, 0))
        repair(path)
        same_as_built(Vault.open(path), contents, [0, 1, 2])
        assert before in [files(kept) for kept in path.parent.glob(f"{path.name}.damaged*")]
        assert list(path.parent.glob(".k*")) == []
        if not death.came:
            break
    assert deaths > 10
    assert not death.came


def test_parts_are_repaired(tmp_path):
    """Of a vault with parts each is repaired by itself; what was damaged is no part any more."""
    build(tmp_path / "a", (5, 1), close=True)
    episodes = list(Vault.open(tmp_path / "a"))
    for number in range(2):
        with Vault.open(tmp_path / "a", mode="a", part=f"actor-{number}") as part:
            part.append(episodes)
    before = Vault.open(tmp_path / "a").episodes["length"].tolist()
    (tmp_path / "a/parts/actor-0/zarr.json").unlink()
    (tmp_path / "a/parts/actor-1/steps/reward/c.0.0").unlink()
    problems = Vault.open(tmp_path / "a").verify().problems
    assert any("'actor-0' has no zarr.json" in problem for problem in problems)
    report = repair(tmp_path / "a")
    assert report.damaged is None
    assert (report.parts["actor-0"].dropped, report.parts["actor-1"].dropped) == ([], [0, 1])
    assert any("In the part 'actor-1': The shard steps/reward/c.0.0" in lost for lost in report.lost)
    vault = Vault.open(tmp_path / "a")
    assert vault.verify().problems == []
    assert vault.episodes["length"].tolist() == before[:4]
    names = ["a", "a.damaged-actor-0", "a.damaged-actor-1"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == names
    assert repair(tmp_path / "a").problems == []
