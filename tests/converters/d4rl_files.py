"""Small HDF5 files with the key sets and dtypes of D4RL's families, filled with random numbers.

What is asked of a reader is the layout; the numbers mean nothing. Every file is written as D4RL's
are: flat, gzip-compressed, no attributes.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

F32, F64 = np.float32, np.float64


def write(path: Path, columns: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for key, values in columns.items():
            array = np.asarray(values)
            file.create_dataset(key, data=array, compression="gzip" if array.ndim else None)
    return path


def columns(
    n: int = 50,
    *,
    obs: int = 4,
    act: int = 2,
    dtype: Any = F32,
    terminals: tuple[int, ...] = (9, 30),
    timeouts: tuple[int, ...] | None = (19, 44),
    following: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """The four keys that every family has, and the two that most have."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, obs)).astype(dtype)
    made: dict[str, Any] = {
        "observations": rows,
        "actions": rng.uniform(-1, 1, (n, act)).astype(dtype),
        "rewards": rng.normal(size=n).astype(dtype),
        "terminals": np.isin(np.arange(n), terminals),
    }
    if timeouts is not None:
        made["timeouts"] = np.isin(np.arange(n), timeouts)
    if following:
        ends = sorted({*terminals, *(timeouts or ()), n - 1})
        after = np.roll(rows, -1, axis=0)
        after[ends] = rng.normal(size=(len(ends), obs)).astype(dtype)
        made["next_observations"] = after
    return made


def policy(size: int = 8, obs: int = 4, act: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    weights = {
        "fc0/weight": (size, obs),
        "fc0/bias": (size,),
        "fc1/weight": (size, size),
        "fc1/bias": (size,),
        "last_fc/weight": (act, size),
        "last_fc/bias": (act,),
        "last_fc_log_std/weight": (act, size),
        "last_fc_log_std/bias": (act,),
    }
    made: dict[str, Any] = {
        f"metadata/policy/{k}": rng.normal(size=shape).astype(F32) for k, shape in weights.items()
    }
    return made | {
        "metadata/algorithm": np.bytes_("SAC"),
        "metadata/iteration": np.int32(90),
        "metadata/policy/nonlinearity": np.bytes_("relu"),
        "metadata/policy/output_distribution": np.bytes_("tanh_gaussian"),
    }


def infos(n: int = 50, dtype: Any = F32, **sizes: int) -> dict[str, Any]:
    """Info leaves; a size of 0 is one number a step."""
    rng = np.random.default_rng(3)
    return {
        f"infos/{name}": rng.normal(size=(n, size) if size else n).astype(dtype)
        for name, size in sizes.items()
    }


def families() -> dict[str, dict[str, Any]]:
    """One file's columns for each layout that D4RL has published, by a name for it."""
    wide = columns(dtype=F64, following=True)
    replay = {**wide, "rewards": wide["rewards"][:, None]}
    replay |= {key: replay[key].astype(np.uint8) for key in ("terminals", "timeouts")}
    antmaze = columns(obs=29, act=8, timeouts=(19, 44), terminals=(30, 31, 32))
    antmaze["terminals"] = antmaze["terminals"].astype(F64)
    goal = columns(timeouts=None, terminals=(19, 49))
    goal["terminals"] = goal["terminals"].astype(F32)
    grid = columns(timeouts=None, terminals=(9,))
    grid["observations"] = np.zeros((50, 7, 7, 3), F32) + np.arange(50, dtype=F32)[:, None, None, None]
    grid["actions"] = (np.arange(50) % 7).astype(F32)
    cloned = columns(dtype=F64)
    cloned["actions"] = cloned["actions"].astype(F32)
    return {
        "mujoco_v0": columns(),
        "mujoco_v1_medium": columns(following=True) | infos(action_log_probs=0, qpos=6, qvel=6) | policy(),
        "mujoco_v1_random": columns(following=True) | infos(action_log_probs=0, qpos=6, qvel=6),
        "mujoco_v1_replay": replay
        | infos(dtype=F64, action_log_probs=0, qpos=6, qvel=6)
        | {k: v for k, v in policy().items() if k in ("metadata/algorithm", "metadata/iteration")},
        "mujoco_v2": columns(following=True)
        | infos(action_log_probs=0)
        | infos(dtype=F64, qpos=6, qvel=6)
        | policy(),
        "adroit_v0_cloned": cloned | infos(dtype=F64, qpos=3, qvel=3),
        "adroit_v0_expert": columns() | infos(qpos=3, qvel=3, action_mean=2, action_logstd=2),
        "adroit_v1_human": columns() | infos(qpos=3, qvel=3, door_body_pos=3),
        "adroit_v1_expert": columns()
        | infos(qpos=3, qvel=3, action_mean=2, action_log_std=2)
        | policy(size=32),
        "maze2d_v1": columns(terminals=()) | infos(goal=2, qpos=2, qvel=2),
        "antmaze": antmaze | infos(goal=2, qpos=15, qvel=14),
        "kitchen": goal | {"infos": np.repeat([0, 1], [20, 30])},
        "minigrid": grid | infos(goal=2, pos=2, orientation=0),
        "flow": columns(timeouts=None, terminals=()),
        "carla": columns(timeouts=None, terminals=(9,), obs=48),
        "bullet_gym": columns(following=True),
        "bullet_maze2d": columns(terminals=(), timeouts=())
        | infos(goal=2, goal_reached=0, goal_timeout=0, qpos=2, qvel=2),
    }


# What the readers of files without `timeouts` have to be told.
HORIZONS = {"minigrid": 12, "flow": 25, "carla": 25}


def chunked(made: dict[str, Any], stops: tuple[int, ...] = (20, 31, 50)) -> dict[str, Any]:
    """The same rows as pieces, in groups `virtual/<i>`."""
    starts = (0, *stops[:-1])
    return {
        f"virtual/{number}/{key}": values[start:stop]
        for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
        for key, values in made.items()
    }
