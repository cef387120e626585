"""TFDS itself reads what we write, and what it writes arrives."""

from pathlib import Path

import numpy as np
import pytest
from strongbax.converters import convert
from strongbax.converters.exporting import export
from strongbax.vault.vault import Vault
from test_rlds_out import same_tree, vault

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def tfds():
    """TensorFlow Datasets, which warns of its own house while it is imported."""
    import warnings

    pytest.importorskip("tensorflow", exc_type=ImportError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("tensorflow_datasets")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("finals", [True, False])
@pytest.mark.parametrize("images", ["png", "zlib"])
def test_tfds_reads_what_we_write(tmp_path: Path, tfds, finals: bool, images: str):
    """Every row of every leaf, text, column and flag, as `as_dataset` gives it, is the vault's to the bit."""
    ends = [(3, True, False, finals), (1, False, True, finals), (4, False, True, finals)]
    vault(tmp_path / "v", ends, finals=finals)
    with Vault.open(tmp_path / "v") as made:
        export(made, tmp_path / "out", "rlds", images=images, shard_bytes=3000)
        wanted = list(made)
    builder = tfds.builder_from_directory(tmp_path / "out")
    assert builder.info.splits["train"].num_examples == 3
    found = list(
        tfds.as_numpy(
            builder.as_dataset(split="train", read_config=tfds.ReadConfig(interleave_cycle_length=1))
        )
    )
    assert len(found) == 3
    for one, other in zip(wanted, found, strict=True):
        rows = list(other["steps"])
        assert len(rows) == len(one) + finals
        for name in ("observation", "action", "reward", "infos"):
            for at in range(len(one)):
                equal(rows[at][name], row_of(one.steps[name], at))
        if finals:
            equal(rows[-1]["observation"], one.final["observation"])
        assert [bool(row["is_first"]) for row in rows] == [at == 0 for at in range(len(rows))]
        assert [bool(row["is_last"]) for row in rows] == [at == len(rows) - 1 for at in range(len(rows))]
        assert bool(rows[-1]["is_terminal"]) == one.terminated
        metadata = other["episode_metadata"]
        assert metadata["task"].decode() == one.attributes["task"]
        assert metadata["seed"] == one.columns["seed"]
        assert metadata["score"] == one.columns["score"]


def row_of(tree, at):
    return {n: row_of(v, at) for n, v in tree.items()} if isinstance(tree, dict) else tree[at]


def equal(found, wanted):
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name in wanted:
            equal(found[name], wanted[name])
        return
    wanted = np.asarray(wanted)
    if wanted.dtype.kind in "SU":
        text = wanted.item()
        assert found == (text if isinstance(text, bytes) else text.encode())
    else:
        np.testing.assert_array_equal(np.asarray(found), wanted, strict=True)


@pytest.mark.filterwarnings("ignore")
def test_we_read_what_tfds_writes(tmp_path: Path, tfds):
    """Its own builder's records, of every feature that we know, are what went in."""
    features = tfds.features
    rng = np.random.default_rng(0)

    def episode(rows):
        return [
            {
                "observation": {
                    "image": rng.integers(0, 256, (6, 5, 3), np.uint8),
                    "depth": rng.normal(size=(6, 5, 1)).astype(np.float32),
                    "packed": rng.normal(size=(2, 3)),
                    "open": rng.normal(size=(2, 4)).astype(np.float32),
                    "tokens": list(rng.integers(0, 9, 4)),
                },
                "action": rng.normal(size=2).astype(np.float32),
                "reward": np.float32(at),
                "say": f"größer {rows}",
                "kind": "b",
                "is_first": at == 0,
                "is_last": False,
                "is_terminal": False,
            }
            for at in range(rows)
        ]

    made = [episode(rows) for rows in (3, 1, 4)]
    spec = features.FeaturesDict(
        {
            "steps": features.Dataset(
                {
                    "observation": {
                        "image": features.Image(shape=(6, 5, 3), encoding_format="png"),
                        "depth": features.Image(shape=(6, 5, 1), dtype=np.float32),
                        "packed": features.Tensor(shape=(2, 3), dtype=np.float64, encoding="zlib"),
                        "open": features.Tensor(shape=(None, None), dtype=np.float32, encoding="bytes"),
                        "tokens": features.Sequence(np.int64),
                    },
                    "action": features.Tensor(shape=(2,), dtype=np.float32),
                    "reward": np.float32,
                    "say": features.Text(),
                    "kind": features.ClassLabel(names=["a", "b"]),
                    "is_first": np.bool_,
                    "is_last": np.bool_,
                    "is_terminal": np.bool_,
                }
            ),
            "number": np.int64,
        }
    )
    records = [{"steps": steps, "number": number} for number, steps in enumerate(made)]
    write(tmp_path / "toy" / "1.0.0", spec, records)
    convert(tmp_path / "toy", tmp_path / "v")
    with Vault.open(tmp_path / "v") as found:
        for one, other in zip(made, found, strict=True):
            assert len(other) == len(one)
            for at, step in enumerate(one):
                kept = {name: np.asarray(value) for name, value in step["observation"].items()}
                same_tree(kept, row_of(other.steps["observation"], at))
                np.testing.assert_array_equal(other.steps["action"][at], step["action"], strict=True)
                assert (other.steps["reward"][at], other.steps["kind"][at]) == (step["reward"], 1)
            assert other.attributes["say"] == one[0]["say"]


@pytest.mark.filterwarnings("ignore")
def test_odd_shapes_both_ways(tmp_path: Path, tfds):
    """What TFDS wrote, through a vault and out, is to TFDS what it was: of one step and of ten thousand."""
    rng, features = np.random.default_rng(0), tfds.features
    spec = features.FeaturesDict(
        {
            "steps": features.Dataset(
                {
                    "observation": {
                        "deep": {"one": features.Tensor(shape=(1,), dtype=np.float32), "none": np.int64},
                        "flags": features.Tensor(shape=(2, 2), dtype=np.bool_),
                        "pixels": features.Image(shape=(2, 3, 1), encoding_format="png"),
                    },
                    "action": features.Tensor(shape=(3,), dtype=np.int32),
                    "reward": np.float32,
                    "say": features.Text(),
                    "is_first": np.bool_,
                    "is_last": np.bool_,
                    "is_terminal": np.bool_,
                }
            ),
            "episode_metadata": {"名": features.Text(), "number": np.int64},
        }
    )

    def step(at: int, rows: int):
        return {
            "observation": {
                "deep": {
                    "one": rng.normal(size=1).astype(np.float32),
                    "none": int(rng.integers(-(2**62), 2**62)),
                },
                "flags": rng.random((2, 2)) < 0.5,
                "pixels": rng.integers(0, 256, (2, 3, 1), np.uint8),
            },
            "action": rng.integers(1, 9, 3).astype(np.int32),
            "reward": np.float32(1 + at),
            "say": "größe 大" if at % 2 else "",
            "is_first": at == 0,
            "is_last": at == rows - 1,
            "is_terminal": at == rows - 1 and rows == 2,
        }

    records = [
        {
            "steps": [step(at, rows) for at in range(rows)],
            "episode_metadata": {"名": f"öde {rows}", "number": -rows},
        }
        for rows in (1, 10_000, 2, 1)
    ]
    write(tmp_path / "toy" / "1.0.0", spec, records)
    convert(tmp_path / "toy", tmp_path / "v")
    with Vault.open(tmp_path / "v") as made:
        assert made.episodes["length"].tolist() == [1, 10_000, 2, 1]
        export(made, tmp_path / "out", "rlds")
    both = [
        tfds.builder_from_directory(path).as_dataset(
            split="train", read_config=tfds.ReadConfig(interleave_cycle_length=1)
        )
        for path in (tmp_path / "toy" / "1.0.0", tmp_path / "out")
    ]
    for one, other in zip(*map(tfds.as_numpy, both), strict=True):
        assert one["episode_metadata"] == other["episode_metadata"]
        for found, wanted in zip(other["steps"], one["steps"], strict=True):
            equal(found, wanted)


def write(path: Path, spec, records):
    """A dataset as TFDS's own serialiser, record writer and feature file make it."""
    import json

    import tensorflow as tf
    from tensorflow_datasets.core import example_serializer

    path.mkdir(parents=True)
    serializer = example_serializer.ExampleSerializer(spec.get_serialized_info())
    with tf.io.TFRecordWriter(str(path / "toy-train.tfrecord-00000-of-00001")) as file:
        for record in records:
            file.write(serializer.serialize_example(spec.encode_example(record)))
    spec.save_config(path)
    splits = [{"name": "train", "shardLengths": [str(len(records))], "numBytes": "1"}]
    info = {"name": "toy", "version": "1.0.0", "fileFormat": "tfrecord", "splits": splits}
    (path / "dataset_info.json").write_text(json.dumps(info))
