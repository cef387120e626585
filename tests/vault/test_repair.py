"""Repair keeps all that is whole, names all that is lost, and never touches the damaged vault."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from strongbax.vault import FormatError, LockedError, NotFoundError, Vault
from strongbax.vault.attachments import attach, attached
from strongbax.vault.repairing import repair
from vault_damage import HEADER, build, build_long_log, copy, cut, files, flip, records
from vault_death import Death, Killed, dying
from vault_folder import make_folder
from vault_rings import same
from vault_world import World

LENGTHS = (5, 1, 0, 9, 4)
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def made():
    folder = make_folder()
    made = {
        "closed": build(folder / "closed", LENGTHS, close=True),
        "log": build(folder / "log", (3, 2, 2), close=False),
        "long": build_long_log(folder / "long", (5, 5, 5, 5, 5, 5, 5)),
        "both": build(folder / "both", (5, 6, 2, 2), close=False),
    }
    yield {name: (folder / name, contents) for name, contents in made.items()}
    shutil.rmtree(folder)


@pytest.fixture
def case(made, tmp_path):
    def give(name):
        source, contents = made[name]
        return copy(source, tmp_path / "a"), contents

    return give


def repaired(path, contents, kept, **facts):
    """Repairs, and checks that the vault is whole and holds the episodes `kept`; the old one is there."""
    before = files(path)
    report = repair(path)
    assert report.problems
    assert files(report.damaged) == before
    with Vault.open(path) as vault:
        assert vault.verify().problems == []
        same_as_built(vault, contents, kept)
        assert (report.steps, report.episodes) == (vault.num_steps, vault.num_episodes)
    for name, value in facts.items():
        assert getattr(report, name) == value, name
    assert repair(path).damaged is None
    assert list(path.parent.glob(".*")) == []
    with Vault.open(path, mode="a") as vault:
        vault.append([vault[0]] if vault.num_episodes else [])
    assert Vault.open(path).verify().problems == []
    return report


def same_as_built(vault, contents, kept, *, finals=True, columns=("length", "return", "terminated", "seed")):
    table = vault.episodes
    assert len(table) == len(kept)
    for name in columns:
        assert table[name].tolist() == [contents.table[name][i] for i in kept], name
    for place, number in enumerate(kept):
        episode = vault[place]
        start = contents.table["start"][number]
        for name, steps in contents.steps.items():
            assert same(episode.steps[name], steps[0, start : start + len(episode)]), (number, name)
        if finals:
            assert same(episode.final["observation"], contents.finals[number])
            assert episode.attributes == {"row": number}


@pytest.mark.parametrize("name", ["closed", "log", "long", "both"])
def test_a_whole_vault_is_left_alone(case, name):
    """Where nothing is wrong nothing is done, and that is said."""
    path, _ = case(name)
    before = files(path)
    report = repair(path)
    assert (report.damaged, report.problems, report.lost, report.dropped) == (None, [], [], [])
    assert files(path) == before
    assert [entry.name for entry in path.parent.iterdir()] == ["a"]


@pytest.mark.parametrize("leaf", ["observation", "frame", "terminated"])
@pytest.mark.parametrize("how", ["flip", "cut", "empty", "missing"])
def test_a_damaged_shard_loses_its_episodes_only(case, leaf, how):
    """Episodes with a step in the lost shard go as a whole; every other one is what it was."""
    path, contents = case("closed")
    (shard,) = (path / "steps" / leaf).glob("c.0.1*")  # steps 8 to 15 of 19
    size = shard.stat().st_size
    if how == "missing":
        shard.unlink()
    elif how == "flip":
        flip(shard, 1)
    else:
        cut(shard, 0 if how == "empty" else size - 1)
    report = repaired(path, contents, [0, 1, 2], dropped=[3, 4])
    assert any(f"steps/{leaf}" in lost and shard.name in lost for lost in report.lost)
    assert report.one_stream


@pytest.mark.parametrize("how", ["a bit", "its checksum", "zeros", "bytes behind"])
@pytest.mark.parametrize("array", ["steps/observation", "steps/frame", "final/observation", "episodes/start"])
def test_a_damaged_index_is_made_anew(case, array, how):
    """A shard's index is found again by its checksum: a flipped bit, and of uncompressed shards all of it."""
    path, contents = case("closed")
    shard = min((path / array).glob("c.*"))
    data = bytearray(shard.read_bytes())
    if how == "a bit":
        data[-20] ^= 4
    elif how == "its checksum":
        data[-2] ^= 4
    elif how == "zeros":
        data[-16:-4] = bytes(12)
    else:
        data += b"more"
    shard.write_bytes(data)
    if array == "steps/frame" and how in ("zeros", "bytes behind"):
        repaired(path, contents, [2, 4], dropped=[0, 1, 3])
    else:
        report = repaired(path, contents, range(5), lost=[], dropped=[])
        assert any(f"{array}/{shard.name}" in told for told in report.mended)


def test_the_last_block_lost(case):
    """Of a vault without its last shard the episodes before it are kept."""
    path, contents = case("closed")
    shutil.rmtree(path / "steps/reward")
    repaired(path, contents, [2], dropped=[0, 1, 3, 4])  # episode 2 has no steps


def test_lost_final_rows_are_unknown(case):
    """A lost final row costs no step: it is not known any more."""
    path, contents = case("closed")
    flip(next((path / "final/observation").glob("c.*")), 1)
    before = files(path)
    report = repair(path)
    assert report.dropped == []
    assert not report.one_stream
    assert files(report.damaged) == before
    vault = Vault.open(path)
    assert vault.verify().problems == []
    assert not vault.episodes["final_known"].any()
    assert not vault.finals("observation").any()
    same_as_built(vault, contents, range(5), finals=False)


@pytest.mark.parametrize("column", ["start", "length", "stream", "return", "terminated", "truncated"])
def test_columns_that_others_tell(case, column):
    """Places, returns and flags that are lost are found from lengths, starts, rewards and last steps."""
    path, contents = case("closed")
    next((path / "episodes" / column).glob("c.*")).unlink()
    with_steps = [
        i for i, length in enumerate(LENGTHS) if length or column not in ("terminated", "truncated")
    ]
    report = repaired(path, contents, with_steps)
    assert any(
        "found from" in said or "taken from" in said or "anew" in said or "stream 0" in said
        for said in report.mended
    )


def test_lost_attributes_and_columns(case):
    """Attributes that are lost are empty; a user's column with a lost value is left out. No step is lost."""
    path, contents = case("closed")
    flip(next((path / "episodes/attributes").glob("c.*")), 1)
    flip(next((path / "episodes/seed").glob("c.*")), 1)
    report = repair(path)
    assert any("'seed' is left out" in said for said in report.mended)
    assert any("attributes of the episodes 0, 1, 2, 3, 4 are lost" in said for said in report.lost)
    vault = Vault.open(path)
    assert vault.verify().problems == []
    assert "seed" not in vault.episodes.columns
    same_as_built(vault, contents, range(5), finals=False, columns=("length", "return", "terminated"))
    assert vault[0].attributes == {}


@pytest.mark.parametrize("place", [0, 20, HEADER.size + 5])
def test_a_record_lost_in_the_middle_of_the_log(case, place):
    """Records behind a damaged one are kept, with the episodes that lie in them as a whole."""
    path, contents = case("log")
    start, _ = records(path / "log/00000000.log")[1]
    flip(path / "log/00000000.log", start + place)
    report = repaired(path, contents, [0, 2], dropped=[1])
    assert "Steps 3 to 4 of each stream, which the log held, are lost." in report.lost


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_log_file(case, number):
    """A log file that is gone costs its episodes and those that reach into it."""
    path, contents = case("long")
    logs = sorted((path / "log").glob("*.log"))
    logs[number].unlink()
    before = files(path)
    report = repair(path)
    assert files(report.damaged) == before
    vault = Vault.open(path)
    assert vault.verify().problems == []
    kept = [i for i in range(7) if i not in report.dropped]
    assert kept
    assert len(kept) < 7
    same_as_built(vault, contents, kept)


@pytest.mark.parametrize("how", ["missing", "last record", "empty"])
def test_a_lost_end_leaves_the_vault_as_it_was_before(case, how):
    """Where the log lost only the end, the vault is what it was before, as far as its shards reach."""
    path, contents = case("both")
    logs = sorted((path / "log").glob("*.log"))
    for log in logs[1:] if how == "last record" else logs:
        log.unlink()
    if how == "last record":
        flip(logs[0], records(logs[0])[-1][0] + HEADER.size)
    if how == "empty":
        logs[0].write_bytes(b"")
    report = repair(path)
    assert not report.one_stream
    assert any("which the log held, are lost" in lost for lost in report.lost)
    with Vault.open(path) as vault:
        assert vault.verify().problems == []
        assert vault.length == 8
        same_as_built(vault, contents, [0])
        assert vault.open_episodes["start"].tolist() == [5]
        assert vault.open_episodes["return"].tolist() == [float(vault.length - 5)]
    with Vault.open(path, mode="a") as vault:
        vault.append(vault[0])
    assert Vault.open(path).verify().problems == []


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


def test_what_cannot_be_repaired(tmp_path):
    """What is no vault, or written by a newer version, or being written, is left as it is."""
    with pytest.raises(NotFoundError, match="no vault"):
        repair(tmp_path / "nothing")
    (tmp_path / "b").mkdir()
    with pytest.raises(NotFoundError):
        repair(tmp_path / "b")
    build(tmp_path / "c", (3,), close=True)
    with Vault.open(tmp_path / "c", mode="a"), pytest.raises(LockedError):
        repair(tmp_path / "c")
    text = (tmp_path / "c/zarr.json").read_text()
    (tmp_path / "c/zarr.json").write_text(text.replace('"format": 1', '"format": 2'))
    assert repair(tmp_path / "c").mended  # one digit that the checksum knows better
    document = '{"node_type": "group", "attributes": {}}'
    (tmp_path / "c/zarr.json").write_text(document)
    with pytest.raises(FormatError, match="not a vault"):
        repair(tmp_path / "c")


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
