"""`skip_bad`: the rest of a damaged dataset, compared with its source, and what was left out, told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import d4rl_files
import h5py
import numpy as np
import pyarrow as pa
import pytest
import rlds_files
import robomimic_files
import spoil
import test_dqn_replay
import test_lerobot
import test_ogbench
import test_rlds
from resume_files import files
from spoil import flip, within, without
from spoilt_files import EXAMPLES
from strongbax.converters import convert, share, skipping
from strongbax.converters.bad import Bad
from strongbax.converters.tfrecord import write_records
from strongbax.vault import block
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault


def converted(src: Path, name: str = "v", **options: Any) -> tuple[Any, list[Any]]:
    report = convert(src, src.parent / name, format=None, skip_bad=True, **options)
    with Vault.open(report.path) as vault:
        assert vault.verify().ok
        assert vault.card["provenance"]["source"]["skipped"] == list(report.skipped)
        assert (vault.num_steps, vault.num_episodes) == (report.num_steps, report.num_episodes)
        return report, list(vault)


def same_episode(one: Any, other: Any) -> None:
    assert (one.terminated, one.truncated, one.attributes) == (
        other.terminated,
        other.truncated,
        other.attributes,
    )
    for name, rows in flat(one.steps).items():
        np.testing.assert_array_equal(rows, flat(other.steps)[name], strict=True)


def flat(tree: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {path: tree}
    return {name: leaf for key, below in tree.items() for name, leaf in flat(below, f"{path}/{key}").items()}


def drop(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


# What is damaged, and which of the units cannot be read then.
EPISODES = {
    "robomimic: a key is missing": ("robomimic", within("demo_2", without("rewards")), None, [1]),
    "robomimic: the first is another": ("robomimic", within("demo_0", without("states")), None, [0]),
    "robomimic: lengths": ("robomimic", within("demo_10", spoil.shorter("rewards")), None, [2]),
    "robomimic: a damaged chunk": ("robomimic", None, spoil.flip_chunk("data/demo_10/states"), [2]),
    "minari: no flags": ("minari", within(1, without("terminations")), None, [1]),
    "minari: lengths": ("minari", within(2, spoil.shorter("observations")), None, [2]),
    "minari: a damaged chunk": ("minari", None, spoil.flip_chunk("episode_2/observations"), [2]),
    "minari: a part is cut": ("minari_parquet", None, cut, [2]),
    "minari: a part is missing": ("minari_arrow", None, drop, [2]),
    "minari: other actions": (
        "minari",
        within(0, lambda rows: rows | {"actions": rows["actions"].astype(np.float32)}),
        None,
        [0],
    ),
    "d3rlpy: a key is missing": ("d3rlpy", within(1, without("rewards_1")), None, [1]),
    "d3rlpy: a damaged chunk": ("d3rlpy", None, spoil.flip_chunk("observations_1"), [1]),
    "d3rlpy: lengths": ("d3rlpy", within(2, spoil.shorter("actions_2")), None, [2]),
    "rlds: a damaged record": ("rlds", None, spoil.flip_record(1), [1]),
    "rlds: a feature is missing": ("rlds", within(0, without("steps/reward")), None, [0]),
    "rlds: lengths": ("rlds", within(2, spoil.shorter("steps/action")), None, [2]),
    "rlds: cut": ("rlds", None, cut, [2]),
    "lerobot: a cut file": ("lerobot", None, cut, [1]),
    "lerobot: a column is missing": ("lerobot", within(2, without("action")), None, [2]),
}


@pytest.mark.parametrize(("name", "change", "damage", "bad"), EPISODES.values(), ids=EPISODES)
def test_the_other_episodes_are_kept(
    tmp_path: Path, name: str, change: Any, damage: Callable[[Path], None] | None, bad: list[int]
):
    """All but the bad one arrive as they do from a good dataset; without `skip_bad` it is an error."""
    example = EXAMPLES[name]
    _, whole = converted(example.write(tmp_path / "good"))
    src = example.write(tmp_path / "bad", change)
    if damage is not None:
        damage(example.file(src))
    with pytest.raises(FormatError) as error:
        convert(src, src.parent / "strict")
    assert not (src.parent / "strict").exists()
    report, found = converted(src)
    assert [(one["unit"], one["count"]) for one in report.skipped] == [(unit, 1) for unit in bad]
    if bad != [0]:  # what differs from the first is said of the others
        assert report.skipped[0]["why"] == str(error.value)
    kept = [episode for unit, episode in enumerate(whole) if unit not in bad]
    for one, other in zip(found, kept, strict=True):
        same_episode(one, other)


def test_episodes_that_touch_bad_rows_go(tmp_path: Path):
    """Of a flat file the episodes with rows in a damaged chunk are left out; they are known by the flags."""
    made = d4rl_files.columns(50, following=True)
    src = d4rl_files.write(tmp_path / "toy.hdf5", made)
    with h5py.File(src, "a") as file:
        del file["actions"]
        file.create_dataset("actions", data=made["actions"], compression="gzip", chunks=(4, 2))
        chunk = file["actions"].id.get_chunk_info(4)  # rows 16 to 19, of the second episode
    flip(src, chunk.byte_offset + chunk.size // 2)
    report, found = converted(src)
    assert [(one["unit"], one["count"]) for one in report.skipped] == [(1, 1)]
    assert "`actions` of" in report.skipped[0]["why"]
    assert [len(episode) for episode in found] == [10, 11, 14, 5]
    np.testing.assert_array_equal(found[1].steps["action"], made["actions"][20:31], strict=True)
    np.testing.assert_array_equal(found[0].final["observation"], made["next_observations"][9])


def test_a_bad_picture_costs_its_episode(tmp_path: Path):
    """PNG that cannot be decoded is found before anything is written."""
    episodes = test_lerobot.episodes()
    tables = [test_lerobot.table(rows) for rows in episodes]
    src = test_lerobot.write(tmp_path / "toy", "v2.1", episodes)
    column = tables[1].column("observation.images.top").to_pylist()
    column[-1]["bytes"] = column[-1]["bytes"][:-30]
    at = tables[1].schema.get_field_index("observation.images.top")
    kind = tables[1].schema.field(at).type
    spoilt = tables[1].set_column(at, "observation.images.top", pa.array(column, kind))
    test_lerobot.save(spoilt, src / "data/chunk-000/episode_000001.parquet")
    report, found = converted(src)
    assert [one["unit"] for one in report.skipped] == [1]
    assert "a picture cannot be decoded" in report.skipped[0]["why"]
    assert len(found) == 2


def test_a_shard_goes_on_after_a_bad_record(tmp_path: Path):
    """Bad records in several shards, one of which ends too soon; those in a row are one entry."""
    records = [rlds_files.episode(rows, seed=rows) for rows in range(2, 12)]
    src = rlds_files.write(tmp_path / "toy", records[:4])
    names = [f"toy-train.tfrecord-0000{shard}-of-00002" for shard in range(2)]
    parts = (records[:4], records[4:])
    (src / "toy-train.tfrecord-00000-of-00001").unlink()
    for file, part in zip(names, parts, strict=True):
        write_records(src / file, [rlds_files.example_bytes(rlds_files.flat(one)) for one in part])
    info = json.loads((src / "dataset_info.json").read_text())
    info["splits"][0]["shardLengths"] = ["4", "6"]
    (src / "dataset_info.json").write_text(json.dumps(info))
    _, whole = converted(src, "whole")
    spoil.flip_record(0)(src / names[0])
    last = len(rlds_files.example_bytes(rlds_files.flat(records[-1]))) + 16
    (src / names[1]).write_bytes((src / names[1]).read_bytes()[: -last - 20])  # the last two
    report, found = converted(src)
    assert (report.skipped[0]["unit"], report.skipped[0]["count"]) == (0, 1)
    assert sum(one["count"] for one in report.skipped[1:]) == 2
    assert report.skipped[1]["unit"] == 8
    for one, other in zip(found, whole[1:8], strict=True):
        same_episode(one, other)


def test_array_record_goes_on_after_a_bad_record(tmp_path: Path):
    """Its records are read by their numbers: one that fails its checksum costs no other."""
    records = [rlds_files.episode(rows, seed=rows) for rows in (4, 2, 5)]
    src = test_rlds.array_records(tmp_path / "toy", records)
    _, whole = converted(src, "whole")
    flip(next(src.glob("*.array_record-*")), 200)  # bytes of the first record
    report, found = converted(src)
    assert [(one["unit"], one["count"]) for one in report.skipped] == [(0, 1)]
    assert "cannot be read as ArrayRecord" in report.skipped[0]["why"]
    for one, other in zip(found, whole[1:], strict=True):
        same_episode(one, other)


def test_files_of_many_are_left_out(tmp_path: Path):
    """A shard of OGBench's and a checkpoint of Dopamine's that cannot be unpacked go as a whole."""
    src = tmp_path / "toy"
    src.mkdir()
    for number in range(3):
        test_ogbench.save(src / f"toy-v0-00{number}.npz", test_ogbench.arrays(seed=number))
    spoil.flip_member("actions")(src / "toy-v0-001.npz")
    report, found = converted(src)
    assert len(report.skipped) == 1
    assert "toy-v0-001.npz" in report.skipped[0]["why"]
    assert len(found) == 8
    made = test_dqn_replay.episodes((9, 1, 20, 9))
    run = test_dqn_replay.save(tmp_path / "dqn", test_dqn_replay.added(made), (20, 40, 51), 20)
    flip(run / "replay_logs/$store$_observation_ckpt.1.gz")
    report, found = converted(run, "w")
    assert [one["file"] for one in report.skipped] == ["checkpoint 1"]
    assert "checkpoint 1" in report.skipped[0]["why"] or "ckpt.1" in report.skipped[0]["why"]
    assert sum(map(len, found)) == 11 + 17  # rows 0 to 19 and 31 to 50, without those of zeros


def test_nothing_left_is_an_error(tmp_path: Path):
    """Where every unit is bad, or the format has but one, nothing is made."""
    for name in ("neorl", "npz"):
        src = EXAMPLES[name].write(tmp_path / name)
        EXAMPLES[name].damage(src)
        with pytest.raises(
            FormatError, match=r"`skip_bad` leaves out what cannot be read, and nothing|toy\.npz"
        ):
            convert(src, src.parent / "v", skip_bad=True)
        assert sorted(path.name for path in src.parent.iterdir()) == ["toy.npz"]


def test_what_most_are_like_is_kept(tmp_path: Path):
    """Where the first episode differs from most others, it is the one that goes."""
    demos = {name: without("states")(demo) for name, demo in robomimic_files.demos().items()}
    src = robomimic_files.write(tmp_path / "toy.hdf5", demos | {"demo_0": robomimic_files.demos()["demo_0"]})
    report, found = converted(src)
    assert [(one["unit"], one["count"]) for one in report.skipped] == [(0, 1)]
    assert [episode.attributes["demo"] for episode in found] == ["demo_2", "demo_10"]


def test_workers_and_a_stop_leave_out_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In two processes, and after a stop, the vault is the same; what is bad is sought once."""
    monkeypatch.setattr(block, "BLOCK_BYTES", 4096)
    ends = tuple(range(99, 1600, 100))
    src = d4rl_files.write(tmp_path / "toy.hdf5", d4rl_files.columns(1600, terminals=ends, timeouts=()))
    spoil.flip_chunk("observations")(src)
    small = {"skip_bad": True, "share_bytes": 8 << 10}
    report = convert(src, tmp_path / "one", **small)
    assert (report.num_episodes, [(one["unit"], one["count"]) for one in report.skipped]) == (15, [(8, 1)])
    side_by_side = convert(src, tmp_path / "two", workers=2, **small)
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert side_by_side.skipped == report.skipped
    write, sought = share._write, []

    def stopping(job: Any, number: int, *rest: Any) -> Any:
        if number == 3:
            raise KeyboardInterrupt
        return write(job, number, *rest)

    monkeypatch.setattr(share, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        convert(src, tmp_path / "three", **small)
    monkeypatch.setattr(share, "_write", write)
    monkeypatch.setattr(skipping, "probe", lambda *arguments: sought.append(arguments))
    assert convert(src, tmp_path / "three", **small).skipped == report.skipped
    assert not sought
    assert files(tmp_path / "three") == files(tmp_path / "one")


def test_the_command_line_tells_and_ends_with_1(tmp_path: Path, strongbax: Any):
    """What is left out stands in the output and in its JSON; the exit code is 1, and 0 where nothing is."""
    src = EXAMPLES["minari"].write(tmp_path, within(1, without("terminations")))
    code, output, _ = strongbax("convert", src, tmp_path / "v", "--skip-bad")
    assert code == 1
    (line,) = [line for line in output.splitlines() if line.startswith("Left out")]
    assert "`episode_1`" in line
    assert "main_data.hdf5 has no `terminations`" in line
    code, output, _ = strongbax("convert", src, tmp_path / "w", "--skip-bad", "--json")
    assert code == 1
    (skipped,) = json.loads(output)["skipped"]
    assert (skipped["unit"], skipped["count"]) == (1, 1)
    assert strongbax("convert", src, tmp_path / "x")[0] == 2
    good = EXAMPLES["minari"].write(tmp_path / "good")
    code, output, _ = strongbax("convert", good, tmp_path / "y", "--skip-bad", "--json")
    assert (code, json.loads(output)["skipped"]) == (0, [])


def test_a_reader_is_called_again_after_each_bad_unit():
    """Whichever units fail, the others come with their numbers, and each failure is noted once."""
    for fails in ([], [0], [4], [1, 2], [0, 1, 2, 3, 4]):

        def read(start: int, fails: list[int] = fails) -> Any:
            for unit in range(start, 5):
                if unit in fails:
                    raise FormatError(f"unit {unit}")
                yield unit * 10

        bad = Bad(allowed=True)
        assert list(bad.each(5, read)) == [(unit, unit * 10) for unit in range(5) if unit not in fails]
        assert bad.units == {unit: f"unit {unit}" for unit in fails}
    with pytest.raises(FormatError, match="unit 0"):
        list(Bad().each(5, read))
