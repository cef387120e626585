"""Small good datasets: their rows, and what saves them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import d4rl_files
import h5py
import minari_files
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rlds_files
import test_dqn_replay
import test_flashbax
import test_lerobot
import test_rl_unplugged
import test_small_npz
import test_torchrl
from pyarrow import ipc
from spoil import ABSENT


def hdf5(name: str) -> Callable[[Path, Any], Path]:
    return lambda folder, rows: d4rl_files.write(folder / name, rows)


def save_npz(name: str) -> Callable[[Path, Any], Path]:
    def save(folder: Path, rows: dict[str, Any]) -> Path:
        np.savez(folder / name, **rows)
        return folder / name

    return save


# -- Minari


def minari_episodes() -> list[dict[str, Any]]:
    return [minari_files.plain(n, seed) for seed, n in enumerate(minari_files.LENGTHS)]


def save_minari(folder: Path, episodes: list[dict[str, Any]]) -> Path:
    return minari_files.write(folder / "toy-v0", episodes, minari_files.metadata())


def save_arrow(form: str) -> Callable[[Path, Any], Path]:
    def save(folder: Path, episodes: list[dict[str, Any]]) -> Path:
        data = folder / "toy-v0" / "data"
        for number, episode in enumerate(episodes):
            count = max(len(values) for values in episode.values())
            columns = {}
            for name, values in episode.items():
                padded = np.concatenate(
                    [values, np.zeros((count - len(values), *values.shape[1:]), values.dtype)]
                )
                flat = pa.array(padded.reshape(-1))
                wide = values.ndim > 1
                columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1]) if wide else flat
            (data / str(number)).mkdir(parents=True)
            save_table(pa.table(columns), data / str(number) / f"part-0.{form}")
        (data / "metadata.json").write_text(json.dumps(minari_files.metadata(data_format=form)))
        return folder / "toy-v0"

    return save


def save_table(table: Any, path: Path) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path, write_page_checksum=True)
        return
    with ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def arrow_episodes() -> list[dict[str, Any]]:
    keys = ("observations", "actions", "rewards", "terminations", "truncations")
    return [{key: episode[key] for key in keys} for episode in minari_episodes()]


# -- the others


def save_d3rlpy(folder: Path, episodes: list[dict[str, Any]]) -> Path:
    path = folder / "toy.h5"
    with h5py.File(path, "w") as file:
        file["columns"] = ["observations", "actions", "rewards", "terminated"]
        file["num_episodes"], file["version"] = len(episodes), "2.1"
        for episode in episodes:
            for key, values in episode.items():
                file[key] = values
    return path


def save_rlds(folder: Path, records: list[dict[str, Any]]) -> Path:
    return rlds_files.write(folder / "toy" / "1.0.0", records)


def save_lerobot(folder: Path, episodes: list[dict[str, Any]]) -> Path:
    path = test_lerobot.write(folder / "toy", "v2.1")
    for number, rows in enumerate(episodes):
        save_table(test_lerobot.table(rows), path / f"data/chunk-000/episode_{number:06d}.parquet")
    return path


def save_hf_dt(folder: Path, rows: dict[str, Any]) -> Path:
    save_table(pa.table(rows), folder / "toy.parquet")
    return folder / "toy.parquet"


def stable_baselines() -> dict[str, Any]:
    rng = np.random.default_rng(6)
    return {
        "obs": rng.normal(size=(9, 2)),
        "actions": rng.normal(size=(9, 1)).astype(np.float32),
        "rewards": rng.normal(size=(9, 1)),
        "episode_starts": np.isin(np.arange(9), [0, 4, 5]),
        "episode_returns": np.arange(3.0),
    }


def imitation() -> dict[str, Any]:
    return {key: values for key, values in test_small_npz.theirs().items() if key != "infos"}


def plain() -> dict[str, Any]:
    rng = np.random.default_rng(7)
    ends = {"terminated": np.array([True, False]), "truncated": np.array([False, True])}
    return {
        "observation": rng.normal(size=(9, 2)),
        "action": rng.normal(size=(9, 1)),
        "reward": rng.normal(size=9),
        "terminated": np.arange(9) == 3,
        "truncated": np.arange(9) == 8,
        "episode/length": np.array([4, 5]),
        **{f"episode/{name}": values for name, values in ends.items()},
        "episode/final_known": np.zeros(2, np.bool_),
        "episode/attributes": np.array([b"{}", b"{}"]),
        "attributes": np.array(b"{}"),
    }


def save_dqn(folder: Path, rows: dict[str, Any]) -> Path:
    logs = folder / "Pong" / "3" / "replay_logs"
    logs.mkdir(parents=True)
    for key, values in rows.items():
        test_dqn_replay.store(logs / f"$store$_{key}_ckpt.0.gz", values)
    test_dqn_replay.store(logs / "add_count_ckpt.0.gz", np.array(len(rows["terminal"])))
    return logs.parent


def dqn() -> dict[str, Any]:
    return test_dqn_replay.added(test_dqn_replay.episodes((9, 1, 20)))


def unplugged() -> list[dict[str, Any]]:
    """Episodes of DeepMind's control suite."""
    rng = np.random.default_rng(8)
    return [
        {
            "observation/position": rng.normal(size=rows * 3).astype(np.float32),
            "action": rng.normal(size=rows * 2).astype(np.float32),
            "reward": rng.normal(size=rows).astype(np.float32),
            "discount": np.ones(rows, np.float32),
            "step_type": test_rl_unplugged.types(rows),
            "episode_id": np.array([rows]),
        }
        for rows in (4, 3, 5)
    ]


def save_unplugged(folder: Path, records: list[dict[str, Any]]) -> Path:
    test_rl_unplugged.save(folder / "toy" / "train-00000-of-00001", records)
    return folder / "toy"


def save_torchrl(folder: Path, rows: dict[str, Any]) -> Path:
    path = test_torchrl.save(folder / "toy", {k: v for k, v in rows.items() if k != ABSENT}, (11,))
    if ABSENT in rows:
        (path / f"{rows[ABSENT]}.memmap").unlink()
    return path


def save_flashbax(folder: Path, rows: dict[str, Any]) -> Path:
    gone = rows.get(ABSENT)
    path = test_flashbax.save(
        folder / "toy.vlt" / "Good", {k: v for k, v in rows.items() if k not in (ABSENT, gone)}
    )
    if gone:
        facts = json.loads((path / "metadata.json").read_text())
        facts["structure_shape"][gone] = str(rows[gone].shape)
        facts["structure_dtype"][gone] = rows[gone].dtype.name
        (path / "metadata.json").write_text(json.dumps(facts))
    return path
