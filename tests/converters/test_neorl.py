"""NeoRL's and NeoRL-2's files: ends by flags and by index, next observations checked, nothing lost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strongbax.converters import attached, convert, neorl, npz_rows
from strongbax.converters.formats import find_format
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault

SAMPLES = Path(__file__).parents[2] / "../shared/samples/neorl"
STOPS = (3, 4, 9, 12)


def arrays(*, second: bool = False, n: int = 12) -> dict[str, Any]:
    """Twelve rows, four trajectories; of NeoRL-2 where `second`."""
    rng = np.random.default_rng(1)
    obs = rng.normal(size=(n, 3)).astype(np.float32)
    after = np.roll(obs, -1, axis=0)
    after[np.array(STOPS) - 1] += 1
    made: dict[str, Any] = {
        "obs": obs,
        "next_obs": after,
        "action": rng.normal(size=(n, 2)).astype(np.float32),
        "reward": rng.normal(size=(n, 1)).astype(np.float32),
        "done": np.isin(np.arange(n), [2, 8])[:, None].astype(np.float32),
    }
    if second:
        return made | {"truncated": np.isin(np.arange(n), [3, 11])[:, None]}
    return made | {"index": np.array(STOPS, np.float32)}


def save(path: Path, made: dict[str, Any]) -> Path:
    np.savez_compressed(path, **made)
    return path


@pytest.mark.parametrize("second", [False, True])
def test_every_row_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: bool):
    """Episodes end at flags and index, and give the file's next observations back to the bit."""
    monkeypatch.setattr(npz_rows, "READ_BYTES", 100)
    made = arrays(second=second)
    path = save(tmp_path / "Hopper-v3-low-4-train.npz", made)
    assert find_format(None, path).name == "neorl"
    report = convert(path, tmp_path / "v")
    assert (report.num_steps, report.num_episodes, report.notes) == (12, 4, ())
    with Vault.open(tmp_path / "v") as vault:
        rows = {name: values[0] for name, values in vault.read_numpy(leaves=vault.leaves).items()}
        np.testing.assert_array_equal(rows["observation"], made["obs"], strict=True)
        np.testing.assert_array_equal(rows["action"], made["action"], strict=True)
        np.testing.assert_array_equal(rows["reward"], made["reward"][:, 0], strict=True)
        assert np.flatnonzero(rows["terminated"]).tolist() == [2, 8]
        assert vault.episodes["length"].tolist() == [3, 1, 5, 3]
        assert vault.episodes["truncated"].tolist() == [False, True, False, True]
        after = [np.vstack([one.steps["observation"][1:], one.final["observation"][None]]) for one in vault]
        np.testing.assert_array_equal(np.concatenate(after), made["next_obs"], strict=True)
        assert vault.verify().ok


def test_starts_are_an_index_too(tmp_path: Path):
    """An index with a leading 0 names starts: the same episodes, the last one's end the file's."""
    made = arrays() | {"index": np.array([0, 3, 4, 9])}
    source = neorl.read(save(tmp_path / "a.npz", made))
    (block,) = source.blocks(100)
    assert block.ends.stop.tolist() == list(STOPS)
    assert block.ends.truncated.tolist() == [False, True, False, True]


def test_what_follows_the_last_end_is_cut(tmp_path: Path):
    """Rows that no end follows are kept, as an episode that was neither terminated nor truncated."""
    made = arrays() | {"index": np.array(STOPS[:-1])}
    (block,) = neorl.read(save(tmp_path / "a.npz", made)).blocks(100)
    assert block.ends.stop.tolist() == list(STOPS)
    assert (block.ends.truncated | block.ends.terminated).tolist() == [True, True, True, False]


def test_a_horizon_tells_time_from_ends(tmp_path: Path):
    """`done` at the last step that the environment allows is truncation; earlier it is an end."""
    path = save(tmp_path / "a.npz", arrays())
    convert(path, tmp_path / "v", horizon=5)
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["terminated"].tolist() == [True, False, False, False]
        assert vault.episodes["truncated"].tolist() == [False, True, True, True]
        assert vault.card["horizon"] == 5
    with pytest.raises(ValueError, match="`horizon` must be a number of steps: got 0"):
        neorl.read(path, horizon=0)


def test_next_observations_of_their_own_are_kept(tmp_path: Path):
    """Where `next_obs` says something else than the next row, all of them are kept, and it is said."""
    made = arrays()
    made["next_obs"][5, 0] += 1
    report = convert(save(tmp_path / "a.npz", made), tmp_path / "v")
    assert "`next_obs` of episode 2 in a.npz" in report.notes[0]
    with Vault.open(tmp_path / "v") as vault:
        kept = vault.read_numpy(leaves=["next_observation"])["next_observation"][0]
        np.testing.assert_array_equal(kept, made["next_obs"], strict=True)


def test_odd_keys_and_rewards_are_kept(tmp_path: Path):
    """NaN rewards, keys beside, facts and arrays without rows stand in the vault."""
    made = arrays() | {"cost": np.arange(12), "mean": np.ones(3), "seed": np.int64(5), "task": np.array("öl")}
    made["reward"][4] = np.nan
    convert(save(tmp_path / "a.npz", made), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        cost = vault.read_numpy(leaves=["infos/cost"])["infos/cost"][0]
        np.testing.assert_array_equal(cost, made["cost"], strict=True)
        assert np.isnan(vault.episodes["return"]).tolist() == [False, False, True, False]
        assert vault.card["provenance"]["source"]["nan_rewards"] == 1
        assert vault.attributes == {"seed": 5, "task": "öl"}
    np.testing.assert_array_equal(attached(tmp_path / "v")["mean"], made["mean"], strict=True)


@pytest.mark.parametrize("key", ["obs", "action", "reward", "done"])
def test_missing_keys_and_rows_are_told(tmp_path: Path, key: str):
    """A key that is missing or short is named, and nothing is left at the place."""
    made = arrays()
    without = save(tmp_path / "a.npz", {k: v for k, v in made.items() if k != key})
    with pytest.raises(FormatError, match=rf"a\.npz has no `{key}`"):
        convert(without, tmp_path / "v", format="neorl")
    with pytest.raises(FormatError, match=r"has 1[12] rows where `obs` has 1[12]"):
        convert(save(tmp_path / "b.npz", made | {key: made[key][1:]}), tmp_path / "v", format="neorl")
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"index": np.array([3, 4, 99])}, "goes from 3 to 99, and `obs` has 12 rows"),
        ({"index": np.array([3, 3])}, "must be rows that rise"),
        ({"index": np.array([3.5, 4])}, "must be rows that rise"),
        ({"done": np.full((12, 1), np.nan)}, "must be 0 or 1 in every row: row 0 is nan"),
        ({"reward": np.zeros((12, 2))}, "must hold one number a step"),
    ],
)
def test_values_that_mean_nothing_are_refused(tmp_path: Path, change: dict[str, Any], said: str):
    """An index that does not rise or fit, flags and rewards that are none: each is named."""
    with pytest.raises(FormatError, match=said):
        neorl.read(save(tmp_path / "a.npz", arrays() | change))


def test_the_recorded_file_arrives(tmp_path: Path):
    """A file in NeoRL's schema has the episodes that its index names."""
    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    path = SAMPLES / "Hopper-v3-low-4-train.npz"
    convert(path, tmp_path / "v")
    with np.load(path) as file, Vault.open(tmp_path / "v") as vault:
        stops = vault.episodes["start"] + vault.episodes["length"]
        np.testing.assert_array_equal(stops, file["index"].astype(np.int64))
        rows = vault.read_numpy(leaves=["observation"])["observation"][0]
        np.testing.assert_array_equal(rows, file["obs"], strict=True)
        after = vault.finals("observation") if not vault.card["provenance"]["source"]["notes"] else None
        assert after is None or np.array_equal(after, file["next_obs"][stops - 1])
