"""Small Minari datasets in the exact layout of Minari 0.5's HDF5 storage, made without Minari."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

LENGTHS = (3, 1, 5)
TEXTS = ["geh", "öffne die Tür", "", "go", "ok", "日本"]
BOX = {"type": "Box", "dtype": "float64", "shape": [4], "low": [-np.inf] * 4, "high": [np.inf] * 4}
SPEC = {
    "id": "Toy-v0",
    "entry_point": "toys:Toy",
    "reward_threshold": None,
    "nondeterministic": False,
    "max_episode_steps": 7,
    "order_enforce": True,
    "disable_env_checker": False,
    "kwargs": {"höhe": 1},
    "additional_wrappers": [],
    "vector_entry_point": None,
}
DISCRETE = {"type": "Discrete", "dtype": "int64", "start": 0, "n": 3}
PICTURE = {
    "type": "Box",
    "dtype": "uint8",
    "shape": [32, 40, 3],
    "low": np.zeros((32, 40, 3), int).tolist(),
    "high": np.full((32, 40, 3), 255).tolist(),
}


def box(dtype: str, *shape: int) -> dict[str, Any]:
    return {
        "type": "Box",
        "dtype": dtype,
        "shape": list(shape),
        "low": np.zeros(shape).tolist(),
        "high": np.ones(shape).tolist(),
    }


def metadata(**more: Any) -> dict[str, Any]:
    return {
        "total_episodes": len(LENGTHS),
        "total_steps": sum(LENGTHS),
        "data_format": "hdf5",
        "jpeg_encoding": True,
        "observation_space": json.dumps(BOX),
        "action_space": json.dumps(DISCRETE),
        "env_spec": json.dumps(SPEC),
        "dataset_id": "toys/öde/random-v0",
        "author": ["A", "B"],
        "author_email": ["a@example.org"],
        "algorithm_name": "random",
        "code_permalink": "https://example.org",
        "minari_version": "0.5.4",
        "ref_min_score": -1.5,
    } | more


def plain(n: int, seed: int) -> dict[str, Any]:
    """An episode of `n` steps: Box observations, whole-number actions, infos of several shapes."""
    rng = np.random.default_rng(seed)
    return {
        "observations": rng.normal(size=(n + 1, 4)),
        "actions": rng.integers(0, 3, n),
        "rewards": rng.normal(size=n),
        "terminations": np.arange(n) == (n - 1 if seed % 2 else n),
        "truncations": np.arange(n) == (n if seed % 2 else n - 1),
        "infos/qpos": rng.normal(size=(n + 1, 2)).astype(np.float32),
        "infos/success": rng.random(n + 1) > 0.5,
        "infos/deep/lives": rng.integers(0, 3, n + 1).astype(np.int32),
        "infos/solved": np.int16(seed),
        "infos/level": "höher",
        "infos/only steps": rng.normal(size=n),
    }


def nested(n: int, seed: int) -> dict[str, Any]:
    """An episode whose observations are a Dict of Tuple, Text and picture, and whose actions a Tuple."""
    made = plain(n, seed)
    rng = np.random.default_rng(seed)
    del made["observations"], made["actions"]
    return made | {
        "observations/parts/_index_0": rng.normal(size=(n + 1, 2)).astype(np.float32),
        "observations/parts/_index_1": rng.integers(0, 9, n + 1),
        "observations/mission": TEXTS[: n + 1],
        "observations/pixels": rng.integers(0, 256, (n + 1, 32, 40, 3)).astype(np.uint8),
        "actions/_index_0": rng.normal(size=(n, 1)).astype(np.float32),
        "actions/_index_1": rng.integers(0, 2, (n, 3)).astype(np.int8),
    }


NESTED = {
    "observation_space": json.dumps(
        {
            "type": "Dict",
            "subspaces": {
                "parts": {"type": "Tuple", "subspaces": [box("float32", 2), DISCRETE]},
                "mission": {
                    "type": "Text",
                    "max_length": 20,
                    "min_length": 0,
                    "charset": "abcdefgoköTür日本ie",
                },
                "pixels": PICTURE,
            },
        }
    ),
    "action_space": json.dumps(
        {"type": "Tuple", "subspaces": [box("float32", 1), {"type": "MultiBinary", "n": 3}]}
    ),
    "jpeg_encoding": False,
}


def write(folder: Path, episodes: list[dict[str, Any]], facts: dict[str, Any]) -> Path:
    data = folder / "data"
    data.mkdir(parents=True)
    (data / "metadata.json").write_text(json.dumps(facts), encoding="utf-8")
    with h5py.File(data / "main_data.hdf5", "w", track_order=True) as file:
        for number, episode in enumerate(episodes):
            group = file.create_group(f"episode_{number}")
            group.attrs.update({"id": number, "total_steps": len(episode["rewards"]), "seed": 40 + number})
            group.attrs.update({"options/goal": np.arange(2.0), "options/name": "größer", "rewards_sum": 1.5})
            group.create_group("infos")
            for key, values in episode.items():
                text = isinstance(values, str) or (isinstance(values, list) and isinstance(values[0], str))
                dtype = h5py.string_dtype("utf-8") if text else None
                group.create_dataset(key, data=values, dtype=dtype)
    return folder


def write_plain(folder: Path, lengths: tuple[int, ...] = LENGTHS, **more: Any) -> Path:
    counts = {"total_episodes": len(lengths), "total_steps": sum(lengths)}
    return write(folder, [plain(n, seed) for seed, n in enumerate(lengths)], metadata(**counts, **more))


def write_nested(folder: Path) -> Path:
    return write(folder, [nested(n, seed) for seed, n in enumerate(LENGTHS)], metadata(**NESTED))


def hdf5_contents(folder: Path) -> dict[str, Any]:
    """Every dataset and attribute of the file, as bytes and types."""
    found: dict[str, Any] = {}

    def visit(name: str, node: Any) -> None:
        for key, value in node.attrs.items():
            array = np.asarray(value)
            found[f"{name}@{key}"] = (array.dtype.kind, array.shape, array.tolist())
        if isinstance(node, h5py.Dataset):
            values = np.asarray(node[()])
            objects = values.dtype == object
            found[name] = (node.dtype, node.shape, values.tolist() if objects else values.tobytes())
        else:
            found[name] = "group"

    with h5py.File(folder / "data" / "main_data.hdf5") as file:
        file.visititems(visit)
    return found
