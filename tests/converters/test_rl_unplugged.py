"""RL Unplugged's files into vaults: each kind of record, its rows where they belong."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from strongbax.converters import convert, rl_unplugged
from strongbax.converters.formats import find_format
from strongbax.converters.pictures import png_bytes
from strongbax.converters.tf_example import example_bytes
from strongbax.converters.tfrecord import frame, read_records
from strongbax.vault.errors import FormatError, MissingExtraError
from strongbax.vault.vault import Vault

pytest.importorskip("PIL.Image")

RNG = np.random.default_rng(0)
ID = -(2**63) + 5  # an unsigned number, as the protocol stores it


def f32(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def frames(count: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, 4, 5, 1), np.uint8)


def flat(rows: np.ndarray) -> np.ndarray:
    kind = np.float32 if rows.dtype.kind == "f" else np.int64
    return np.asarray(rows, kind).reshape(-1)


def one(value, dtype=np.int64) -> np.ndarray:
    return np.array([value], dtype)


def save(file: Path, records: list[dict], *, zipped: bool = True) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(frame(example_bytes(record)) for record in records)
    file.write_bytes(gzip.compress(data) if zipped else data)
    return file


def control(rows: int, *, over: bool) -> dict[str, np.ndarray]:
    """What an environment of dm_env gave: `rows` observations, and what was done between them."""
    made = {
        "position": f32(rows, 3),
        "height": f32(rows, 1),
        "action": f32(rows - 1, 2),
        "reward": f32(rows - 1),
        "discount": np.ones(rows - 1, np.float32),
    }
    if over:
        made["discount"][-1] = 0
    return made


def before(rows: np.ndarray, first: float = 0) -> np.ndarray:
    """Rows as dm_env hands them out: row 0 is the reset's and means nothing."""
    return np.concatenate([np.full((1, *rows.shape[1:]), first, rows.dtype), rows])


def types(rows: int) -> np.ndarray:
    return np.array([0, *[1] * (rows - 2), 2], np.float32)


def test_control_episodes(tmp_path: Path):
    """Rewards and discounts come a row late, actions do not; the last row is the final observation."""
    made = [control(4, over=True), control(3, over=False), control(2, over=False)]
    records = []
    for number, episode in enumerate(made):
        rows = len(episode["position"])
        last = f32(1, 2)  # what a policy would do in the final state: of no step
        records.append(
            {
                "observation/position": flat(episode["position"]),
                "observation/height": flat(episode["height"]),
                "action": flat(np.concatenate([episode["action"], last])),
                "reward": before(episode["reward"]),
                "discount": before(episode["discount"], 1),
                "step_type": types(rows),
                "episode_id": one(ID + number),
                "timestamp": one(1_600_000_000),
            }
        )
    save(tmp_path / "set/train-00000-of-00003", records[:2])
    save(tmp_path / "set/train-00001-of-00003", records[2:])
    report = convert(tmp_path / "set", tmp_path / "v")
    assert (report.format, report.num_steps, report.num_episodes) == ("rl_unplugged", 6, 3)
    with Vault.open(tmp_path / "v") as vault:
        found, source = list(vault), vault.card["provenance"]["source"]
    for number, (wanted, got) in enumerate(zip(made, found, strict=True)):
        steps = got.steps
        np.testing.assert_array_equal(steps["observation"]["position"], wanted["position"][:-1], strict=True)
        np.testing.assert_array_equal(steps["observation"]["height"], wanted["height"][:-1], strict=True)
        np.testing.assert_array_equal(got.final["observation"]["position"], wanted["position"][-1])
        for name in ("action", "reward", "discount"):
            np.testing.assert_array_equal(steps[name], wanted[name], strict=True)
        assert got.columns["episode_id"] == 2**63 + 5 + number
        assert got.columns["episode_id"].dtype == np.uint64
    assert [(e.terminated, e.truncated) for e in found] == [(True, False), (False, True), (False, True)]
    assert source["kind"] == "control episodes"
    assert source["files_missing"] == 1
    assert "not always" not in source["not_kept"]["reward"]


def test_real_world_rl(tmp_path: Path):
    """Actions come a row late too, names are parted by colons, and files are not gzipped."""
    made = [control(5, over=False), control(3, over=True)]
    records = [
        {
            "observation:joints:position": flat(episode["position"]),
            "observation:height": flat(episode["height"]),
            "action": flat(before(episode["action"])),
            "reward": before(episode["reward"], 7),
            "discount": before(episode["discount"], 1),
        }
        for episode in made
    ]
    save(tmp_path / "set/episodes.tfrecord-00000-of-00001", records, zipped=False)
    convert(tmp_path / "set", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        found, source = list(vault), vault.card["provenance"]["source"]
    for wanted, got in zip(made, found, strict=True):
        rows = got.steps["observation"]["joints"]["position"]
        np.testing.assert_array_equal(rows, wanted["position"][:-1], strict=True)
        np.testing.assert_array_equal(got.final["observation"]["joints"]["position"], wanted["position"][-1])
        for name in ("action", "reward", "discount"):
            np.testing.assert_array_equal(got.steps[name], wanted[name], strict=True)
    assert [(e.terminated, e.truncated) for e in found] == [(False, True), (True, False)]
    assert "not always a placeholder" in source["not_kept"]["reward"]


def test_atari_episodes(tmp_path: Path):
    """Frames are decoded; rewards stand in their own row, discounts a row late; the last row is final."""
    records, pixels = [], []
    for number, over in enumerate((True, False)):
        rows = 3 + number
        pixels.append(frames(rows))
        discounts = np.ones(rows, np.float32)
        discounts[-1] = 0 if over else 1
        records.append(
            {
                "checkpoint_idx": one(number),
                "episode_idx": one(7),
                "episode_return": one(2.5, np.float32),
                "clipped_episode_return": one(1, np.float32),
                "observations": [png_bytes(each) for each in pixels[-1]],
                "actions": np.arange(rows),
                "unclipped_rewards": np.arange(rows).astype(np.float32),
                "clipped_rewards": np.ones(rows, np.float32),
                "discounts": discounts,
            }
        )
    save(tmp_path / "Pong/run_1-00000-of-00001", records)
    save(tmp_path / "Pong/run_2-00000-of-00001", records[:1])
    with pytest.raises(FormatError, match=r"files of several datasets, run_1, run_2.*`prefix=`"):
        convert(tmp_path / "Pong", tmp_path / "v")
    with pytest.raises(ValueError, match=r"`prefix` must be that of files .* got 'run_3'.* run_1, run_2"):
        convert(tmp_path / "Pong", tmp_path / "v", prefix="run_3")
    assert convert(tmp_path / "Pong", tmp_path / "two", prefix="run_2").num_episodes == 1
    convert(tmp_path / "Pong", tmp_path / "v", prefix="run_1")
    with Vault.open(tmp_path / "v") as vault:
        found = list(vault)
    for number, got in enumerate(found):
        rows = 2 + number
        np.testing.assert_array_equal(got.steps["observation"], pixels[number][:-1], strict=True)
        np.testing.assert_array_equal(got.final["observation"], pixels[number][-1], strict=True)
        assert got.steps["action"].tolist() == list(range(rows))
        assert got.steps["reward"].tolist() == list(range(rows))
        assert got.steps["discount"].tolist() == [1.0] * (rows - 1) + [float(number)]
        assert (got.columns["checkpoint"], got.columns["episode_return"]) == (number, 2.5)
    assert [(e.terminated, e.truncated) for e in found] == [(True, False), (False, True)]


def test_atari_transitions(tmp_path: Path):
    """Each is an episode of one step, its frames a stack, and what it led to its final row."""
    pixels = frames(10)
    records = [
        {
            "o_t": [png_bytes(each) for each in pixels[at : at + 4]],
            "o_tp1": [png_bytes(each) for each in pixels[at + 1 : at + 5]],
            "a_t": one(at),
            "a_tp1": one(at + 1),
            "r_t": one(-1, np.float32),
            "d_t": one(at != 5, np.float32),
            "episode_id": one(ID),
            "episode_return": one(3, np.float32),
        }
        for at in range(6)
    ]
    save(tmp_path / "Pong/run_1-00000-of-00002", records[:4])
    save(tmp_path / "Pong/run_1-00001-of-00002", records[4:])
    source = rl_unplugged.read(tmp_path / "Pong")
    assert source.lengths.tolist() == [4, 2]
    assert [block.steps["action"].tolist() for block in source.blocks(9, 1)] == [[4, 5]]
    convert(tmp_path / "Pong", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        found = list(vault)
    for at, got in enumerate(found):
        stack = pixels[at : at + 4, :, :, 0].transpose(1, 2, 0)[None]
        np.testing.assert_array_equal(got.steps["observation"], stack, strict=True)
        following = pixels[at + 1 : at + 5, :, :, 0].transpose(1, 2, 0)
        np.testing.assert_array_equal(got.final["observation"], following, strict=True)
        assert (got.steps["next_action"].tolist(), got.columns["episode_id"]) == ([at + 1], 2**63 + 5)
    assert [e.terminated for e in found] == [False] * 5 + [True]
    assert not any(e.truncated for e in found)


def sequence(rows: int, kinds: list[int]) -> dict:
    return {
        "observation/walker/egocentric_camera": [bytes([at]) * (64 * 64 * 3) for at in range(rows)],
        "observation/walker/body_height": f32(rows),
        "action": f32(rows * 2),
        "reward": f32(rows),
        "discount": np.ones(rows, np.float32),
        "step_type": np.array(kinds, np.float32),
    }


def test_sequences(tmp_path: Path):
    """Rows are steps with their own reward; a LAST one is an observation, and what pads it is left out."""
    padded = sequence(4, [1, 2, 0, 0])
    for name in ("action", "reward", "discount", "observation/walker/body_height"):
        size = len(padded[name]) // 2
        padded[name][size:] = 0
    parted = sequence(4, [1, 2, 0, 1])
    parted["discount"][0] = 0
    records = [sequence(2, [1, 1]), padded, parted]
    save(tmp_path / "train-00000-of-00001", records)
    convert(tmp_path / "train-00000-of-00001", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        found = list(vault)
    assert [len(episode) for episode in found] == [2, 1, 1, 2]
    np.testing.assert_array_equal(found[0].steps["reward"], records[0]["reward"], strict=True)
    np.testing.assert_array_equal(found[3].steps["reward"], parted["reward"][2:], strict=True)
    camera = found[0].steps["observation"]["walker"]["egocentric_camera"]
    assert (camera.shape, camera[1].min(), camera[1].max()) == ((2, 64, 64, 3), 1, 1)
    assert found[0].final is None
    final = found[1].final["observation"]["walker"]["body_height"]
    np.testing.assert_array_equal(final, padded["observation/walker/body_height"][1:2], strict=True)
    ends = [(e.terminated, e.truncated) for e in found]
    assert ends == [(False, False), (False, True), (True, False), (False, False)]


def test_lab_and_bsuite(tmp_path: Path):
    """Pieces of episodes are steps throughout; red and blue are put right; an option gives shapes."""
    pixels = RNG.integers(0, 256, (3, 2, 4, 3), np.uint8)
    lab = {
        "episode_id": one(1),
        "start_idx": one(300),
        "episode_return": one(0.5, np.float32),
        "observations_pixels": [png_bytes(each[..., ::-1]) for each in pixels],  # as OpenCV wrote them
        "observations_reward": f32(3),
        "observations_action": f32(3 * 15),
        "actions": np.arange(3),
        "rewards": f32(3),
        "discounted_rewards": f32(3),
        "discounts": np.ones(3, np.float32),
    }
    save(tmp_path / "lab/tfrecord-00000-of-00001", [lab])
    convert(tmp_path / "lab", tmp_path / "v", skip=["discounted_reward"])
    with Vault.open(tmp_path / "v") as vault:
        got = vault[0]
        assert "discounted_reward" not in vault.leaves
    np.testing.assert_array_equal(got.steps["observation"]["pixels"], pixels, strict=True)
    assert got.steps["observation"]["last_action"].shape == (3, 15)
    assert (got.columns["start_index"], got.terminated, got.truncated, got.final) == (300, False, False, None)

    catch = {
        "observation": f32(2 * 6),
        "action": np.array([2, 0]),
        "reward": f32(2),
        "discount": np.array([1, 0], np.float32),
        "step_type": np.array([0, 1]),
        "episodic_reward": f32(2),
    }
    save(tmp_path / "bsuite/train-00000-of-00001", [catch])
    convert(tmp_path / "bsuite", tmp_path / "w", shapes={"observation": [2, 3]})
    with Vault.open(tmp_path / "w") as vault:
        got = vault[0]
    np.testing.assert_array_equal(
        got.steps["observation"], catch["observation"].reshape(2, 2, 3), strict=True
    )
    assert (got.steps["action"].tolist(), got.terminated) == ([2, 0], True)
    with pytest.raises(ValueError, match=r"`shapes` must name leaves .* got 'other'"):
        rl_unplugged.read(tmp_path / "bsuite", shapes={"other": [2]})
    with pytest.raises(ValueError, match=r"`skip` must name leaves .* can spare: got 'discount'"):
        rl_unplugged.read(tmp_path / "bsuite", skip=["discount"])
    with pytest.raises(FormatError, match=r"`observation` has 6 values a row, which are no \[4\]"):
        rl_unplugged.read(tmp_path / "bsuite", shapes={"observation": [4]})


def test_what_is_wrong_is_named(tmp_path: Path):
    """Cut, damaged and foreign files, records without a key and rows that do not come out say which."""
    good = sequence(2, [1, 1])
    file = tmp_path / "train-00000-of-00001"

    def said(records, match):
        save(file, records)
        with pytest.raises(FormatError, match=match):
            convert(tmp_path, tmp_path / "v", format="rl_unplugged")
        assert [entry.name for entry in tmp_path.iterdir()] == [file.name]

    said([{"image": [b"x"]}], r"has the keys image: RL Unplugged's records have others")
    said([good, good | {"action": f32(3)}], "Record 1 of .*`action` has 3 values, which are no 2 rows")
    said([good, {name: good[name] for name in good if name != "discount"}], "Record 1 of .* no `discount`")
    said([good, good | {"reward": [b"1", b"2"]}], "Record 1 .*`reward` is a bytes_list where numbers")
    said([good, good | {"timestamp": one(1)}], "Record 1 of .* it has timestamp; the first has ")
    said([good, {name: good[name] for name in good if name != "reward"}], "Record 1 of .* no `reward`")
    said(
        [good, {name: good[name] for name in good if name != "step_type"}],
        "Record 1 .*the first has .*step_type",
    )
    said([good | {"episode_id": f32(2)}], "`episode_id` must be one number")
    save(file, [good, good])
    data = file.read_bytes()
    for broken in (data[:-20], data[:40] + bytes(30) + data[70:]):
        file.write_bytes(broken)
        with pytest.raises(
            FormatError, match=r"train-00000-of-00001 (cannot be unpacked|.*checksum|.*cut off)"
        ):
            convert(tmp_path, tmp_path / "v", format="rl_unplugged")
    whole = b"".join(frame(example_bytes(each)) for each in (good, good))
    file.write_bytes(gzip.compress(whole[:-2]))
    for first in (0, 1, 2):
        with pytest.raises(FormatError, match=r"Record 1 of .* is cut off"):
            list(read_records(file, first))


def test_bad_records_may_be_left_out(tmp_path: Path):
    """With `skip_bad` a record that means nothing goes, and of a file that is cut what cannot be reached."""
    records = [sequence(2, [1, 1]) for _ in range(4)]
    for at, record in enumerate(records):
        record["reward"][:] = at
    save(tmp_path / "set/train-00000-of-00002", [records[0], records[1] | {"action": f32(3)}])
    file = save(tmp_path / "set/train-00001-of-00002", records[2:], zipped=False)
    file.write_bytes(file.read_bytes()[:-3])
    report = convert(tmp_path / "set", tmp_path / "v", skip_bad=True)
    assert [(one.get("unit"), one.get("file")) for one in report.skipped] == [
        (None, "train-00001-of-00002"),
        (1, None),
    ]
    with Vault.open(tmp_path / "v") as vault:
        assert [episode.steps["reward"].tolist() for episode in vault] == [[0, 0], [2, 2]]


def test_it_is_recognised_by_its_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Files and folders are recognised by a record's keys, other TFRecords are not; the extra is named."""
    good = {"o_t": [png_bytes(each) for each in frames(4)]}
    good |= {"o_tp1": good["o_t"], "a_t": one(0), "r_t": f32(1), "d_t": f32(1)}
    file = save(tmp_path / "a/run_1-00000-of-00100", [good])
    assert find_format(None, file).name == find_format(None, tmp_path / "a").name == "rl_unplugged"
    other = save(tmp_path / "b/run_1-00000-of-00100", [{"image": [b"x"]}])
    assert not rl_unplugged.detect(other)
    other.write_bytes(b"no record")
    assert not rl_unplugged.detect(other)
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r"strongbax\[images\]"):
        convert(file, tmp_path / "v")
