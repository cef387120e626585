"""A small good dataset of every format, and how it is spoilt: missing keys, other lengths, NaN, damage."""

import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import d4rl_files
import h5py
import minari_files
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rlds_files
import robomimic_files
import test_d3rlpy
import test_dqn_replay
import test_dsrl
import test_flashbax
import test_hf_dt
import test_lerobot
import test_neorl
import test_ogbench
import test_rl_unplugged
import test_small_npz
import test_torchrl
from pyarrow import ipc

Spoil = Callable[[Any], Any]
ABSENT = "absent"  # among the rows: a key that is described and not stored


@dataclass(frozen=True)
class Example:
    """A dataset of one format.

    Attributes:
      format: its name.
      rows: what is in it: keys to arrays, or a list or dict of such, an episode each.
      save: writes rows into a folder, and returns the path to be converted.
      data: the file with the data below that path; none: the path itself.
      missing: how to leave out a key that is needed, and what is said then.
      uneven: how to make a key a row too short, and what is said then.
      nan: how to make one reward NaN, where there are rewards.
      damage: changes some bytes amid the data, where the format has means to tell.
    """

    format: str
    rows: Callable[[], Any]
    save: Callable[[Path, Any], Path]
    missing: tuple[Spoil, str]
    uneven: tuple[Spoil, str]
    nan: Spoil | None = None
    data: str = ""
    damage: Callable[[Path], None] | None = None

    def write(self, folder: Path, spoil: Spoil | None = None) -> Path:
        """Writes the dataset, spoilt or not."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = self.rows()
        return self.save(folder, rows if spoil is None else spoil(rows))

    def file(self, path: Path) -> Path:
        """The file with the data of a dataset."""
        return next(path.glob(self.data)) if self.data else path


def without(key: str) -> Spoil:
    return lambda rows: {name: values for name, values in rows.items() if name != key}


def shorter(key: str) -> Spoil:
    return lambda rows: rows | {key: rows[key][:-1]}


def absent(key: str) -> Spoil:
    """Describes a key that is not stored."""
    return lambda rows: rows | {ABSENT: key}


def with_nan(key: str, row: int = 1) -> Spoil:
    def spoil(rows: dict[str, Any]) -> dict[str, Any]:
        values = np.array(rows[key], copy=True)
        values.reshape(-1)[row] = np.nan
        return rows | {key: values}

    return spoil


def within(episode: Any, spoil: Spoil) -> Spoil:
    """Spoils one episode of a list, or of a dict by name."""

    def spoilt(rows: Any) -> Any:
        if isinstance(rows, dict):
            return rows | {episode: spoil(rows[episode])}
        return [spoil(one) if place == episode else one for place, one in enumerate(rows)]

    return spoilt


def flip(path: Path, at: int | None = None) -> None:
    """Changes a few bytes amid a file."""
    data = bytearray(path.read_bytes())
    at = len(data) // 2 if at is None else at
    for place in range(at, at + 8):
        data[place] ^= 0x5A
    path.write_bytes(data)


def flip_chunk(key: str) -> Callable[[Path], None]:
    """Damages a gzipped chunk of an HDF5 file's key."""

    def damage(path: Path) -> None:
        with h5py.File(path, "a") as file:
            values = file[key][()]
            del file[key]
            file.create_dataset(key, data=values, compression="gzip", chunks=(1, *values.shape[1:]))
        with h5py.File(path) as file:
            chunk = file[key].id.get_chunk_info(file[key].id.get_num_chunks() // 2)
        flip(path, chunk.byte_offset + chunk.size // 2)

    return damage


def flip_member(key: str) -> Callable[[Path], None]:
    """Damages the bytes of a key in an .npz file."""

    def damage(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            names = [one.filename for one in archive.infolist()]
            ends = [one.header_offset for one in archive.infolist()[1:]] + [archive.start_dir]
        flip(path, ends[names.index(f"{key}.npy")] - 9)

    return damage


def flip_column(key: str) -> Callable[[Path], None]:
    """Damages the bytes of a column of a Parquet file."""

    def damage(path: Path) -> None:
        group = pq.ParquetFile(path).metadata.row_group(0)
        columns = [group.column(at) for at in range(group.num_columns)]
        chunk = next(one for one in columns if one.path_in_schema.split(".list")[0] == key)
        flip(path, chunk.data_page_offset + chunk.total_compressed_size - 9)

    return damage


def flip_record(number: int) -> Callable[[Path], None]:
    """Damages the bytes of a record of a TFRecord file."""

    def damage(path: Path) -> None:
        data, at = path.read_bytes(), 0
        for _ in range(number):
            at += 16 + struct.unpack_from("<Q", data, at)[0]
        flip(path, at + 20)

    return damage


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


def hf_dt_with(key: str, change: Callable[[list[Any]], list[Any]]) -> Spoil:
    """Changes the first trajectory's list of a column."""

    def spoil(rows: dict[str, Any]) -> dict[str, Any]:
        first, *rest = rows[key].to_pylist()
        return rows | {key: pa.array([change(first), *rest], rows[key].type)}

    return spoil


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


def hdf5(name: str) -> Callable[[Path, Any], Path]:
    return lambda folder, rows: d4rl_files.write(folder / name, rows)


EXAMPLES = {
    "d4rl": Example(
        "d4rl",
        lambda: d4rl_files.columns(following=True),
        hdf5("toy.hdf5"),
        (without("actions"), r"toy\.hdf5 has no `actions`"),
        (shorter("rewards"), r"`rewards` of .*toy\.hdf5 has 49 rows"),
        with_nan("rewards"),
        damage=flip_chunk("observations"),
    ),
    "dsrl": Example(
        "dsrl",
        test_dsrl.made,
        hdf5("SafetyToy-v0-40-5.hdf5"),
        (without("timeouts"), r"SafetyToy-v0-40-5\.hdf5 has no `timeouts`"),
        (shorter("costs"), r"`costs` of .*SafetyToy-v0-40-5\.hdf5 has 49 rows"),
        with_nan("rewards"),
        damage=flip_chunk("costs"),
    ),
    "robomimic": Example(
        "robomimic",
        robomimic_files.demos,
        lambda folder, rows: robomimic_files.write(folder / "toy.hdf5", rows),
        (within("demo_2", without("rewards")), r"toy\.hdf5: Episode 1 has no reward; the first has"),
        (within("demo_10", shorter("rewards")), r"`rewards` of `data/demo_10` in .*toy\.hdf5 has 2 rows"),
        within("demo_0", with_nan("rewards")),
        damage=flip_chunk("data/demo_10/actions"),
    ),
    "minari": Example(
        "minari",
        minari_episodes,
        save_minari,
        (within(1, without("terminations")), r"`episode_1` of .*main_data\.hdf5 has no `terminations`"),
        (
            within(2, shorter("observations")),
            r"'observation' of episode 2 of .*main_data\.hdf5 has 5 rows",
        ),
        within(0, with_nan("rewards")),
        "data/main_data.hdf5",
        damage=flip_chunk("episode_2/observations"),
    ),
    **{
        f"minari_{form}": Example(
            "minari",
            arrow_episodes,
            save_arrow(form),
            (within(1, without("rewards")), r"data/1 has no column `rewards`"),
            (
                within(1, lambda rows: {name: values[:0] for name, values in rows.items()}),
                r"data/1 has no rows",
            ),
            within(0, with_nan("rewards")),
            f"data/2/part-0.{form}",
            damage=flip_column("rewards") if form == "parquet" else None,
        )
        for form in ("arrow", "parquet")
    },
    "d3rlpy": Example(
        "d3rlpy",
        lambda: list(test_d3rlpy.episodes()),
        save_d3rlpy,
        (within(1, without("actions_1")), r"toy\.h5 has no `actions_1`"),
        (within(1, shorter("rewards_1")), r"`observations_1` of .*toy\.h5 has shape"),
        within(0, with_nan("rewards_0")),
        damage=flip_chunk("observations_1"),
    ),
    "rlds": Example(
        "rlds",
        lambda: [rlds_files.episode(rows, seed=rows) for rows in (4, 2, 5)],
        save_rlds,
        (within(1, without("steps/reward")), r"Record 1 of .*toy-train.*reward"),
        (within(1, shorter("steps/reward")), r"Record 1 of .*toy-train.*(lengths|reward)"),
        within(0, with_nan("steps/reward")),
        "toy-train.*",
        damage=flip_record(1),
    ),
    "rl_unplugged": Example(
        "rl_unplugged",
        unplugged,
        save_unplugged,
        (within(1, without("reward")), r"Record 1 of .*train-00000-of-00001: .*`?reward"),
        (
            within(1, shorter("observation/position")),
            r"Record 1 of .*train-00000-of-00001: `observation/position`",
        ),
        within(0, with_nan("reward")),
        "train-*",
        damage=flip,
    ),
    "lerobot": Example(
        "lerobot",
        test_lerobot.episodes,
        save_lerobot,
        (within(1, without("action")), r"episode_000001\.parquet.*`action`"),
        (within(1, lambda rows: {name: values[:-1] for name, values in rows.items()}), r"(?i)episode.*1.*"),
        within(0, with_nan("next.reward")),
        "data/chunk-000/episode_000001.parquet",
        damage=flip_column("action"),
    ),
    "hf_dt": Example(
        "hf_dt",
        test_hf_dt.columns,
        save_hf_dt,
        (without("rewards"), r"toy\.parquet has no .*`rewards`"),
        (hf_dt_with("rewards", lambda values: values[:-1]), r"(?i)(trajectory|row) 0 .*toy\.parquet"),
        hf_dt_with("rewards", lambda values: [float("nan"), *values[1:]]),
        damage=flip_column("rewards"),
    ),
    "ogbench": Example(
        "ogbench",
        test_ogbench.arrays,
        save_npz("toy-v0.npz"),
        (without("actions"), r"toy-v0\.npz has no `actions`"),
        (shorter("actions"), r"`actions` of .*toy-v0\.npz has 13 rows"),
        damage=flip_member("actions"),
    ),
    "neorl": Example(
        "neorl",
        test_neorl.arrays,
        save_npz("toy.npz"),
        (without("reward"), r"toy\.npz has no `reward`"),
        (shorter("reward"), r"`reward` of .*toy\.npz has 11 rows"),
        with_nan("reward"),
        damage=flip_member("reward"),
    ),
    "dqn_replay": Example(
        "dqn_replay",
        dqn,
        save_dqn,
        (without("reward"), r"`\$store\$_reward_ckpt\.0\.gz`"),
        (shorter("action"), r"`\$store\$_action_ckpt\.0\.gz` of .* must hold 39 rows"),
        with_nan("reward", 5),
        "replay_logs/*observation*",
        damage=flip,
    ),
    "torchrl": Example(
        "torchrl",
        test_torchrl.tensors,
        save_torchrl,
        (absent("next/reward"), r"toy/next/reward\.memmap must hold 88 bytes.* there is no such file"),
        (shorter("next/reward"), r"toy.*next/reward|next/reward.*toy"),
        with_nan("next/reward"),
        "next/observation.memmap",
    ),
    "flashbax": Example(
        "flashbax",
        test_flashbax.agents,
        save_flashbax,
        (absent("rewards"), r"'rewards' of .*Good|Good.*'?rewards"),
        (lambda rows: rows | {"rewards": np.tile(rows["rewards"], (2, 1, 1))}, r"Good.* 'rewards' has 2"),
        with_nan("rewards"),
        "manifest.ocdbt",
        damage=flip,
    ),
    "imitation": Example(
        "imitation",
        imitation,
        save_npz("toy.npz"),
        (without("acts"), r"toy\.npz has no `acts`"),
        (shorter("rews"), r"`rews` of .*toy\.npz|`indices` of .*toy\.npz"),
        with_nan("rews"),
        damage=flip_member("acts"),
    ),
    "stable_baselines": Example(
        "stable_baselines",
        stable_baselines,
        save_npz("toy.npz"),
        (without("actions"), r"toy\.npz has no `actions`"),
        (shorter("rewards"), r"`rewards` of .*toy\.npz has 8 rows"),
        with_nan("rewards"),
        damage=flip_member("actions"),
    ),
    "npz": Example(
        "npz",
        plain,
        save_npz("toy.npz"),
        (without("episode/length"), r"toy\.npz has no `episode/length`"),
        (shorter("reward"), r"`reward` of .*toy\.npz has 8 rows"),
        with_nan("reward"),
        damage=flip_member("reward"),
    ),
}
