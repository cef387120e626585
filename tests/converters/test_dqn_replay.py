"""Dopamine's checkpoints: in the order in which steps were added, each once, without rows of zeros."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strongbax.converters import convert, dqn_replay, dqn_replay_runs
from strongbax.converters.formats import find_format
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault

SAMPLES = Path(__file__).parents[2] / "../shared/samples/dqn_replay/Breakout/1"
DTYPES = {"observation": np.uint8, "action": np.int32, "reward": np.float32, "terminal": np.uint8}


def episodes(lengths: tuple[int, ...]) -> list[dict[str, Any]]:
    """Episodes of frames, none of them black, every one its own."""
    rng = np.random.default_rng(2)
    return [
        {
            "observation": rng.integers(1, 255, (length, 3, 2)).astype(np.uint8),
            "action": rng.integers(0, 4, length).astype(np.int32),
            "reward": rng.choice([-1.0, 0.0, 1.0], length).astype(np.float32),
            "terminal": (np.arange(length) == length - 1).astype(np.uint8),
        }
        for length in lengths
    ]


def added(made: list[dict[str, Any]], padding: int = 3) -> dict[str, Any]:
    """All rows in the order in which Dopamine adds them."""
    parts = []
    for one in made:
        parts += [{k: np.zeros((padding, *v.shape[1:]), v.dtype) for k, v in one.items()}, one]
    return {key: np.concatenate([part[key] for part in parts]) for key in DTYPES}


def save(folder: Path, rows: dict[str, Any], counts: tuple[int, ...], capacity: int) -> Path:
    """Checkpoints of a ring of so many slots, after so many rows each."""
    logs = folder / "Pong" / "3" / "replay_logs"
    logs.mkdir(parents=True)
    for number, count in enumerate(counts):
        for key, values in rows.items():
            ring = np.zeros((capacity, *values.shape[1:]), values.dtype)
            for at in range(max(0, count - capacity), count):
                ring[at % capacity] = values[at]
            store(logs / f"$store$_{key}_ckpt.{number}.gz", ring)
        store(logs / f"add_count_ckpt.{number}.gz", np.array(count))
        with gzip.open(logs / f"episode_end_indices_ckpt.{number}.gz", "w") as file:
            file.write(b"\x80\x04a pickle that nobody may load")
    return logs.parent


def load(path: Path) -> np.ndarray:
    with gzip.open(path) as file:
        return np.load(file)


def store(path: Path, values: np.ndarray) -> None:
    with gzip.open(path, "w") as file:
        np.save(file, values)


@pytest.mark.parametrize(
    ("counts", "capacity"),
    [((51,), 60), ((20, 40, 51), 20), ((25, 40, 51), 30), ((10, 11, 51), 60), ((30, 33, 40, 51), 30)],
)
@pytest.mark.parametrize("read_bytes", [30, 1 << 20])
def test_every_step_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: tuple[int, ...], capacity: int, read_bytes: int
):
    """Whether checkpoints follow on one another or share steps, wherever they cut, the episodes are whole."""
    monkeypatch.setattr(dqn_replay_runs, "READ_BYTES", read_bytes)
    made = episodes((9, 1, 20, 9))
    run = save(tmp_path, added(made), counts, capacity)
    assert find_format(None, run).name == "dqn_replay"
    report = convert(run, tmp_path / "v")
    assert (report.num_steps, report.num_episodes) == (39, 4)
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["from_start"].all()
        assert vault.attributes == {"game": "Pong", "run": 3}
        facts = vault.card["provenance"]["source"]
        assert facts["rows_of_zeros_left_out"] == 12
        assert "episode_end_indices_ckpt.0.gz" in facts["files_left_out"]
        for got, wanted in zip(vault, made, strict=True):
            for key, leaf in dqn_replay.LEAVES.items():
                values = wanted[key] if key != "terminal" else wanted[key] != 0
                np.testing.assert_array_equal(got.steps[leaf], values, strict=True)
            assert not got.steps["truncated"].any()
            assert got.terminated
        if capacity == 20:
            assert vault.episodes["checkpoint"].tolist() == [0, 0, 1, 2]
    (source,) = dqn_replay.read(run).blocks(1 << 20)
    assert source.num_steps == dqn_replay.read(run).num_steps


def test_checkpoints_that_do_not_follow_are_cut(tmp_path: Path):
    """Where steps are missing between checkpoints, what ran is cut, and what comes has no start."""
    made = episodes((9, 9, 9, 6))  # rows 12, 24, 36, 45
    run = save(tmp_path, added(made), (20, 45), 12)
    convert(run, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        # Slots 8 to 19: 4 steps, zeros, 5 steps. Slots 33 to 44: 3 steps, zeros, 6 steps.
        assert vault.episodes["length"].tolist() == [4, 5, 3, 6]
        assert vault.episodes["terminated"].tolist() == [True, False, True, True]
        assert vault.episodes["from_start"].tolist() == [False, True, False, True]
        assert not vault.episodes["truncated"].any()
    convert(run, tmp_path / "one", checkpoints=(1,))
    with Vault.open(tmp_path / "one") as vault:
        assert vault.episodes["length"].tolist() == [3, 6]


def test_a_ring_that_begins_among_zeros_begins_an_episode(tmp_path: Path):
    """Rows of zeros at the oldest slots are left out, and the episode behind them has its start."""
    run = save(tmp_path, added(episodes((9, 9))), (24,), 11)  # slots 13 to 23: two rows of zeros, nine steps
    convert(run, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == [9]
        assert vault.episodes["from_start"].tolist() == [True]


def test_no_stacking_means_no_zeros(tmp_path: Path):
    """With `stack_size=1` every row is a step; a stack that does not fit the rows is refused."""
    run = save(tmp_path, added(episodes((4, 5)), padding=0), (9,), 9)
    with pytest.raises(FormatError, match=r"must be 0 in row 0.*`stack_size=`"):
        convert(run, tmp_path / "v")
    assert not (tmp_path / "v").exists()
    assert convert(run, tmp_path / "v", stack_size=1).num_steps == 9
    with pytest.raises(ValueError, match="`stack_size` must be at least 1"):
        dqn_replay.read(run, stack_size=0)
    with pytest.raises(ValueError, match=r"`checkpoints` must be of those in .*\[0\]: got \(5,\)"):
        dqn_replay.read(run, checkpoints=(5,))


def test_bad_files_are_told(tmp_path: Path):
    """Missing, short, cut and odd files are named with their checkpoint."""
    run = save(tmp_path, added(episodes((9, 9))), (24,), 24)
    logs = run / "replay_logs"
    path = logs / "$store$_action_ckpt.0.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(FormatError, match=r"`action` of .*action_ckpt\.0\.gz cannot be read"):
        convert(run, tmp_path / "v")
    path.unlink()
    with pytest.raises(FormatError, match=r"number 0 .* has no `\$store\$_action_ckpt\.0\.gz`"):
        dqn_replay.read(run)
    store(path, np.zeros(23, np.int32))
    with pytest.raises(FormatError, match=r"must hold 24 rows of numbers"):
        dqn_replay.read(run)
    path.write_bytes(whole)
    store(logs / "$store$_terminal_ckpt.0.gz", np.full(24, 7, np.uint8))
    with pytest.raises(FormatError, match=r"`terminal` of checkpoint 0 .* must be 0 or 1"):
        dqn_replay.read(run)
    store(logs / "add_count_ckpt.0.gz", np.array(0))
    with pytest.raises(FormatError, match="holds no steps"):
        dqn_replay.read(run)
    assert not (tmp_path / "v").exists()


def test_what_dopamine_wrote_arrives(tmp_path: Path):
    """Its own checkpoints, the second of another play and gone round, give every frame but those of zeros."""
    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    convert(SAMPLES, tmp_path / "v")
    frames = []
    for number, (low, count) in enumerate([(0, 199), (30, 200)]):
        loaded = [
            load(SAMPLES / "replay_logs" / f"$store$_{key}_ckpt.{number}.gz")
            for key in ("observation", "terminal")
        ]
        rows, ends = (np.roll(values, -low, axis=0)[:count] for values in loaded)
        black = ~rows.reshape(count, -1).any(axis=1)
        assert black.sum() == 3 * (ends.sum() + (number == 0))
        frames.append(rows[~black])
    with Vault.open(tmp_path / "v") as vault:
        got = vault.read_numpy(leaves=["observation"])["observation"][0]
        np.testing.assert_array_equal(got, np.concatenate(frames), strict=True)
        assert vault.attributes == {"game": "Breakout", "run": 1}
        assert vault.episodes["terminated"].sum() == 6
