"""Repair keeps all that is whole, names all that is lost, and never touches the damaged vault."""

import shutil

import pytest
from strongbax.vault import FormatError, LockedError, NotFoundError, Vault
from strongbax.vault.repairing import repair
from vault_damage import HEADER, build, cut, files, flip, records
from vault_repairs import LENGTHS, repaired, same_as_built


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
