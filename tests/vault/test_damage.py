"""Damage is named and never read as data: in the log, in shards of every array, in the root."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from strongbax.vault import CorruptionError, NotFoundError, Vault
from vault_damage import (
    HEADER,
    Contents,
    build,
    build_long_log,
    copy,
    cut,
    files,
    flip,
    records,
)
from vault_folder import make_folder

LENGTHS = (3, 2, 2)  # three records in one log file
MODES = ["r", "a"]


@pytest.fixture(scope="module")
def made():
    """Vaults that are copied by each test: closed, with a log, with several log files, with both."""
    folder = make_folder()
    made = {
        "closed": build(folder / "closed", (5, 1, 0, 9, 4), close=True),
        "log": build(folder / "log", LENGTHS, close=False),
        "long": build_long_log(folder / "long", (5, 5, 5, 5, 5, 5, 5)),
        "both": build(folder / "both", (5, 6, 2, 2), close=False),
    }
    yield {name: (folder / name, contents) for name, contents in made.items()}
    shutil.rmtree(folder)


@pytest.fixture
def case(made, tmp_path):
    """Copies one of the vaults: `path, contents = case("log")`."""

    def give(name: str) -> tuple[Path, Contents]:
        source, contents = made[name]
        return copy(source, tmp_path / "a.vault"), contents

    return give


@pytest.mark.parametrize("name", ["closed", "log", "long", "both"])
def test_whole_vaults_are_whole(case, name):
    """What the other tests damage is whole before: every commit is there, for readers and the next writer."""
    path, contents = case(name)
    for mode in MODES:
        with Vault.open(path, mode=mode) as vault:
            assert (vault.length, vault.num_episodes) == contents.commits[-1]
            assert contents.differs(vault) is None
            assert vault.verify().problems == []


def refused(path: Path, *said: str) -> None:
    """Opening says what is damaged, in both modes, and changes nothing on the disk."""
    before = files(path)
    for mode in MODES:
        with pytest.raises(CorruptionError) as caught:
            Vault.open(path, mode=mode)
        assert [part for part in said if part not in str(caught.value)] == []
    assert files(path) == before


PLACES = {"magic": 0, "header": 20, "payload": HEADER.size + 5, "last byte": -1}


@pytest.mark.parametrize("record", [0, 1])
@pytest.mark.parametrize("place", PLACES)
def test_a_damaged_record_before_the_last_is_refused(case, record, place):
    """A flipped byte in a record that others follow is damage: nothing is opened short of them."""
    path, _ = case("log")
    log = path / "log" / "00000000.log"
    start, stop = records(log)[record]
    flip(log, stop - 1 if PLACES[place] < 0 else start + PLACES[place])
    refused(path, str(log), f"is damaged at byte {start}", "restore that file from a copy")


@pytest.mark.parametrize("place", PLACES)
def test_a_damaged_last_record_is_as_one_that_was_never_finished(case, place):
    """A last record that does not hold is passed over, kept aside by the next writer, and noted."""
    path, contents = case("log")
    log = path / "log" / "00000000.log"
    start, stop = records(log)[-1]
    torn = log.read_bytes()[start:]
    flip(log, stop - 1 if PLACES[place] < 0 else start + PLACES[place])
    before = files(path)
    reader = Vault.open(path)
    assert (reader.length, contents.differs(reader)) == (5, None)
    assert files(path) == before
    with Vault.open(path, mode="a") as vault:
        assert (vault.length, contents.differs(vault)) == (5, None)
        kept = (path / "log" / "00000000.torn").read_bytes()
        assert sum(a != b for a, b in zip(kept, torn, strict=True)) == 1
        report = vault.verify()
    assert report.problems == []
    assert "00000000.torn" in report.notes[0]


def test_a_log_cut_at_any_byte_opens_before_that_record(case):
    """A log that ends in the middle of a record holds the whole ones before it, whatever was cut."""
    path, contents = case("log")
    log = path / "log" / "00000000.log"
    whole, spans = log.read_bytes(), records(log)
    for size in sorted({*range(0, len(whole), 37), *(stop for _, stop in spans)}):
        log.write_bytes(whole[:size])
        reader = Vault.open(path)
        count = sum(stop <= size for _, stop in spans)
        assert (reader.length, reader.num_episodes) == contents.commits[count]
        assert contents.differs(reader) is None


def test_zeros_behind_the_log_are_nothing(case):
    """A file that a power cut left longer than its bytes opens at the last whole record."""
    path, contents = case("log")
    with (path / "log" / "00000000.log").open("ab") as file:
        file.write(bytes(5000))
    for mode in MODES:
        with Vault.open(path, mode=mode) as vault:
            assert vault.length == 7
            assert contents.differs(vault) is None


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_log_file_before_the_last_is_refused(case, number):
    """A log file that is gone while later ones are there is a loss, and is said."""
    path, _ = case("long")
    logs = sorted((path / "log").glob("*.log"))
    assert len(logs) > 2
    logs[number].unlink()
    refused(path, "log", "restore" if number else "Restore")


def test_damage_in_the_middle_of_several_log_files_is_refused(case):
    """A record cut short at the end of a file that others follow is damage, not a crash."""
    path, _ = case("long")
    log = sorted((path / "log").glob("*.log"))[1]
    cut(log, log.stat().st_size - 1)
    refused(path, str(log), "whole records follow")


@pytest.mark.parametrize("how", ["missing", "last record", "empty"])
def test_steps_that_the_root_counts_on_are_missed(case, how):
    """Shards end in the middle of a record: if the log lost it, that is damage, though nothing follows."""
    path, contents = case("both")
    assert contents.commits[2] == (11, 2)  # a block was sealed up to step 8, in the second record
    logs = sorted((path / "log").glob("*.log"))
    for log in logs[1:] if how == "last record" else logs:
        log.unlink()
    if how == "last record":
        flip(logs[0], records(logs[0])[-1][0] + HEADER.size)
    if how == "empty":
        logs[0].write_bytes(b"")
    refused(path, "log")


def test_verify_reports_a_lost_log(case):
    """`verify` of a vault that cannot be opened is a report, not an exception."""
    path, _ = case("both")
    vault = Vault.open(path)
    for log in (path / "log").glob("*.log"):
        log.unlink()
    report = vault.verify()
    assert not report.ok
    assert "log" in report.problems[0]


def test_logs_of_another_vault_are_not_read(case, made, tmp_path):
    """Records that hold but do not fit the schema are refused, in a sentence."""
    other = tmp_path / "other"
    with Vault.create(other, steps={"x": np.float32(0)}, block=8) as vault:
        vault.extend({"x": np.zeros(3, np.float32)})
        shutil.copy(other / "log" / "00000000.log", tmp_path)
    path, _ = case("log")
    shutil.move(tmp_path / "00000000.log", path / "log" / "00000000.log")
    refused(path, "log")


ARRAYS = [
    "steps/observation",
    "steps/frame",
    "steps/terminated",
    "final/observation",
    "episodes/length",
    "episodes/seed",
    "episodes/attributes",
    "episodes/attributes_stop",
]
HOWS = ["flip", "flip index", "cut", "empty", "missing"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("array", ARRAYS)
def test_a_damaged_shard_is_named(case, array, how):
    """`verify(deep=True)` names every array whose shard is flipped, cut short or gone."""
    path, _ = case("closed")
    shard = min((path / array).glob("c.*"))
    size = shard.stat().st_size
    damage = {
        "flip": lambda: flip(shard, 1),
        "flip index": lambda: flip(shard, size - 10),
        "cut": lambda: cut(shard, size - 1),
        "empty": lambda: cut(shard, 0),
        "missing": shard.unlink,
    }
    damage[how]()
    vault = Vault.open(path)
    problems = vault.verify(deep=True).problems
    assert len(problems) == 1, problems
    assert array in problems[0]
    shallow = vault.verify(deep=False).problems
    if how == "missing":
        assert f"The shard {array}/{shard.name} is missing." in shallow


@pytest.fixture(scope="module")
def large():
    """A vault of leaves of more than a MiB, whose reads compare checksums."""
    folder = make_folder()
    steps = {"raw": np.arange(400_000.0), "zipped": np.arange(400_000) % 251, "final": np.zeros(400_000)}
    example = {name: values[0] for name, values in steps.items()}
    with Vault.create(folder / "a", steps=example, codec={"zipped": "zstd"}, block=2**16) as vault:
        vault.extend(steps)
    yield folder / "a"
    shutil.rmtree(folder)


@pytest.mark.parametrize("leaf", ["raw", "zipped"])
@pytest.mark.parametrize("shard", [0, 3])
@pytest.mark.parametrize("how", ["flip", "cut", "missing"])
def test_long_reads_refuse_damage(large, tmp_path, leaf, shard, how):
    """A read of a MiB or more never gives a damaged chunk: it names the array and what to do."""
    path = copy(large, tmp_path / "a")
    file = path / "steps" / leaf / f"c.0.{shard}"
    if how == "missing":
        file.unlink()
    elif how == "cut":
        cut(file, file.stat().st_size // 2)
    else:
        flip(file, 1000)
    vault = Vault.open(path)
    with pytest.raises(CorruptionError, match=f"The array 'steps/{leaf}' of the vault") as caught:
        vault.read_numpy(leaves=[leaf])
    assert f"c.0.{shard}" in str(caught.value) or f"c/0/{shard}" in str(caught.value)
    assert "`strongbax verify` lists everything" in str(caught.value)
    vault.read_numpy(leaves=["final"])
    with pytest.raises(CorruptionError):
        vault.read_numpy()


def test_a_missing_root_is_no_vault(case):
    """Without zarr.json nothing is opened and nothing is made anew."""
    path, _ = case("closed")
    (path / "zarr.json").unlink()
    before = files(path)
    for mode in MODES:
        with pytest.raises(NotFoundError, match=r"it has no zarr\.json"):
            Vault.open(path, mode=mode)
    assert files(path) == before


def test_what_crashes_leave_behind_means_nothing(case):
    """Temporary files, TensorStore's locks, shards beyond the root and old logs are passed over."""
    path, contents = case("both")
    (path / "zarr.json.new").write_bytes(b"{")
    (path / "steps/observation/c.0.1.__lock").write_bytes(b"x" * 500)
    (path / "steps/observation/c.0.7").write_bytes(b"junk")
    for mode in MODES:
        with Vault.open(path, mode=mode) as vault:
            assert vault.length == contents.commits[-1][0]
            assert contents.differs(vault) is None
            assert vault.verify().problems == []
    assert list(path.rglob("*.__lock")) == []


def test_a_lost_empty_log_folder_is_made_anew(case):
    """Tools that copy no empty folders lose `log/` of a closed vault: it is read and written all the same."""
    path, contents = case("closed")
    shutil.rmtree(path / "log")
    for mode in MODES:
        with Vault.open(path, mode=mode) as vault:
            assert contents.differs(vault) is None
    assert (path / "log").is_dir()
