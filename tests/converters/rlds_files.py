"""RLDS datasets made at test time, in the exact layout that TFDS writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from strongbax.converters.tf_example import example_bytes
from strongbax.converters.tfrecord import write_records

CLASS = "tensorflow_datasets.core.features."


def tensor(dtype: str, *shape: int, encoding: str = "none", **more: Any) -> dict[str, Any]:
    sizes = {"dimensions": [str(size) for size in shape]} if shape else {}
    content = {"shape": sizes, "dtype": dtype, "encoding": encoding} | more
    return {"pythonClassName": CLASS + "tensor_feature.Tensor", "tensor": content}


def text() -> dict[str, Any]:
    return {"pythonClassName": CLASS + "text_feature.Text", "text": {}}


def image(*shape: int, dtype: str = "uint8", form: str = "png") -> dict[str, Any]:
    content = {"shape": {"dimensions": [str(s) for s in shape]}, "dtype": dtype, "encodingFormat": form}
    return {"pythonClassName": CLASS + "image_feature.Image", "image": content}


def sequence(feature: dict[str, Any], length: int = -1) -> dict[str, Any]:
    content = {"feature": feature, "length": str(length)}
    return {"pythonClassName": CLASS + "sequence_feature.Sequence", "sequence": content}


def features(**each: Any) -> dict[str, Any]:
    return {"pythonClassName": CLASS + "features_dict.FeaturesDict", "featuresDict": {"features": each}}


STEP = {
    "observation": tensor("float32", 3),
    "action": tensor("float32", 2),
    "reward": tensor("float32"),
    "discount": tensor("float32"),
    "is_first": tensor("bool"),
    "is_last": tensor("bool"),
    "is_terminal": tensor("bool"),
}


def episode(rows: int, *, terminal: bool = False, last: bool = True, seed: int = 0) -> dict[str, Any]:
    """Lists of one record as RLDS means them: in the last row is nothing but the observation."""
    rng = np.random.default_rng(seed)
    made = {
        "steps/observation": rng.normal(size=(rows, 3)).astype(np.float32),
        "steps/action": rng.normal(size=(rows, 2)).astype(np.float32),
        "steps/reward": rng.normal(size=rows).astype(np.float32),
        "steps/discount": np.ones(rows, np.float32),
        "steps/is_first": np.arange(rows) == 0,
        "steps/is_last": np.zeros(rows, np.bool_),
        "steps/is_terminal": np.zeros(rows, np.bool_),
    }
    if rows and last:
        for name in ("action", "reward", "discount"):
            made[f"steps/{name}"][-1] = 0
        made["steps/is_last"][-1] = True
        made["steps/is_terminal"][-1] = terminal
    return made


def write(
    path: Path,
    records: Sequence[dict[str, Any]],
    steps: dict[str, Any] | None = None,
    rest: dict[str, Any] | None = None,
    **info: Any,
) -> Path:
    """Writes a dataset of one split, `train`, of one shard."""
    path.mkdir(parents=True)
    tree = features(steps=sequence(features(**(STEP if steps is None else steps))), **(rest or {}))
    (path / "features.json").write_text(json.dumps(tree))
    write_split(path, "train", records)
    about = {
        "name": "toy",
        "version": "1.0.0",
        "fileFormat": "tfrecord",
        "splits": [{"name": "train", "numBytes": "1", "shardLengths": [str(len(records))]}],
    }
    (path / "dataset_info.json").write_text(json.dumps(about | info))
    return path


def write_split(path: Path, split: str, records: Sequence[dict[str, Any]], shard: str = "00000-of-00001"):
    write_records(path / f"toy-{split}.tfrecord-{shard}", [example_bytes(flat(record)) for record in records])


def flat(record: dict[str, Any]) -> dict[str, Any]:
    lists: dict[str, Any] = {}
    for key, values in record.items():
        if isinstance(values, list):
            lists[key] = values
        elif values.dtype.kind == "f":
            lists[key] = values.reshape(-1).astype(np.float32)
        else:
            lists[key] = values.reshape(-1).astype(np.int64)
    return lists
