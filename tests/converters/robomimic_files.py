"""Small files in the exact layout of robomimic's and robosuite's, made without them."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

DEMOS = {"demo_0": 4, "demo_2": 1, "demo_10": 3}  # HDF5 has demo_10 before demo_2
ENV = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": {"größe": 1}})


def demo(n: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    rows = {
        "eef": rng.normal(size=(n + 1, 3)),
        "img": rng.integers(0, 256, (n + 1, 4, 5, 3)).astype(np.uint8),
    }
    return {
        "actions": rng.uniform(-1, 1, (n, 2)),
        "actions_abs": rng.normal(size=(n, 7)).astype(np.float32),
        "rewards": (np.arange(n) == n - 1).astype(np.float64),
        "dones": (np.arange(n) >= n - 1 - seed % 2).astype(np.int64),
        "states": rng.normal(size=(n, 5)),
        **{f"obs/{key}": values[:n] for key, values in rows.items()},
        **{f"next_obs/{key}": values[1:] for key, values in rows.items()},
    }


def demos() -> dict[str, dict[str, Any]]:
    return {name: demo(n, seed) for seed, (name, n) in enumerate(DEMOS.items())}


def write(path: Path, made: dict[str, dict[str, Any]], *, raw: bool = False) -> Path:
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_group("data")
        if raw:
            data.attrs.update({"env": "Lift", "date": "3-14-2023", "repository_version": "1.4.1"})
        else:
            data.attrs.update({"env_args": ENV, "total": sum(len(one["actions"]) for one in made.values())})
        for name, one in made.items():
            group = data.create_group(name)
            group.attrs["model_file"] = "<mujoco>" + "ö" * 40_000 + "</mujoco>"
            if not raw:
                group.attrs["num_samples"] = len(one["actions"])
            for key, values in one.items():
                group.create_dataset(key, data=values)
        if not raw:
            file["mask/train"] = np.array([b"demo_0", b"demo_10"])
            file["mask/valid"] = np.array([b"demo_2"])
    return path


def raw_demos() -> dict[str, dict[str, Any]]:
    return {f"demo_{i + 1}": {k: v for k, v in demo(n, i).items() if k in ("states", "actions")} for i, n in
            enumerate(DEMOS.values())}  # fmt: skip


def contents_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def visit(name: str, node: Any) -> None:
        found.update(
            {f"{name}@{k}": (np.asarray(v).dtype, np.asarray(v).tolist()) for k, v in node.attrs.items()}
        )
        if isinstance(node, h5py.Dataset):
            found[name] = (node.dtype, node.shape, np.asarray(node[()]).tobytes())

    with h5py.File(path) as file:
        file.visititems(visit)
    return found
