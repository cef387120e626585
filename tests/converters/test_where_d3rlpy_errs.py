"""Where d3rlpy errs we do not. Needs d3rlpy, and Minari for one of them (`make peers`)."""

import json
from pathlib import Path
from typing import Any

import h5py
import minari_files
import numpy as np
import pytest
from strongbax.converters import convert
from strongbax.vault.vault import Vault

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]  # d3rlpy's and Gymnasium's own
dataset = pytest.importorskip("d3rlpy.dataset", reason="needs d3rlpy: `make peers`")

LENGTHS = (4, 3, 5)


def minari_dataset(folder: Path) -> Path:
    """Three episodes of CartPole, each observation one number that tells episode and step."""
    episodes = []
    for number, length in enumerate(LENGTHS):
        rows = np.repeat(100.0 * number + np.arange(length + 1)[:, None], 4, 1)
        flags = np.arange(length) == length - 1
        episodes.append(
            {
                "observations": rows,
                "actions": np.full(length, number % 2),
                "rewards": np.ones(length),
                "terminations": flags,
                "truncations": np.zeros(length, np.bool_),
            }
        )
    spec = minari_files.SPEC | {
        "id": "CartPole-v1",
        "entry_point": "gymnasium.envs.classic_control.cartpole:CartPoleEnv",
        "kwargs": {},
        "max_episode_steps": 500,
    }
    counts = {"total_episodes": 3, "total_steps": sum(LENGTHS), "dataset_id": "toys/cartpole-v0"}
    actions = json.dumps(minari_files.DISCRETE | {"n": 2})
    facts = minari_files.metadata(env_spec=json.dumps(spec), action_space=actions, **counts)
    return minari_files.write(folder / "toys" / "cartpole-v0", episodes, facts)


def test_observations_stay_with_their_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`get_minari` puts `T + 1` observations beside `T` actions: a row later with every episode."""
    pytest.importorskip("minari", reason="needs Minari: `make peers`")
    from d3rlpy.datasets import get_minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    path = minari_dataset(tmp_path)
    buffer, _ = get_minari("toys/cartpole-v0")
    firsts = [float(episode.observations[0, 0]) for episode in buffer.episodes]
    assert firsts == [0, 4, 102]
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert [float(episode.steps["observation"][0, 0]) for episode in vault] == [0, 100, 200]
        assert vault.finals("observation")[:, 0].tolist() == [4, 103, 205]


def test_a_final_observation_is_not_zeros(tmp_path: Path):
    """d3rlpy puts zeros behind a terminated episode, and takes the last step of a truncated one away."""
    rows = 1 + np.arange(6, dtype=np.float32)[:, None]
    episodes = [
        dataset.Episode(rows, rows, np.ones((6, 1), np.float32), terminated=ended) for ended in (True, False)
    ]
    pick = dataset.BasicTransitionPicker()
    assert pick(episodes[0], 5).next_observation.tolist() == [0]
    assert episodes[1].transition_count == 5
    with (tmp_path / "a.h5").open("w+b") as file:
        dataset.dump(episodes, file)
    convert(tmp_path / "a.h5", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == [6, 6]
        assert vault.episodes["truncated"].tolist() == [False, True]
        assert vault[1].steps["reward"].tolist() == [1] * 6
        assert vault[0].final is None


def test_rows_behind_the_last_end_are_kept(tmp_path: Path):
    """d3rlpy's `MDPDataset`, whose files version 1 wrote, drops what follows the last end."""
    rows = np.arange(8, dtype=np.float32)[:, None]
    terminals = (np.arange(8) == 3).astype(np.float32)
    made = dataset.MDPDataset(rows, rows, np.ones(8, np.float32), terminals, np.zeros(8, np.float32))
    assert [episode.size() for episode in made.episodes] == [4]
    columns: dict[str, Any] = {"observations": rows, "actions": rows, "rewards": np.ones(8, np.float32)}
    with h5py.File(tmp_path / "v1.h5", "w") as file:
        for key, values in (columns | {"terminals": terminals, "episode_terminals": terminals}).items():
            file[key] = values
        file["discrete_action"], file["version"] = False, "1.0"
    convert(tmp_path / "v1.h5", tmp_path / "v", format="d3rlpy")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == [4, 4]
        assert not (vault.episodes["terminated"] | vault.episodes["truncated"])[1]
