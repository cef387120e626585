"""RLDS into vaults: whose last row is what, and every kind of feature that TFDS writes."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from rlds_files import STEP, episode, image, sequence, tensor, text, write, write_split
from strongbax.converters import convert, rlds
from strongbax.converters.formats import find_format
from strongbax.converters.tfrecord import read_records
from strongbax.vault.errors import FormatError, MissingExtraError, NotFoundError
from strongbax.vault.vault import Vault

SAMPLES = Path(__file__).parents[2] / "../shared/samples/rlds"


@pytest.fixture
def samples() -> Path:
    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    return SAMPLES


def converted(path: Path, **options):
    """The episodes of the vault that a dataset becomes, and the facts in its card."""
    dst = path.parent / f"{path.name}.vault"
    convert(path, dst, **options)
    with Vault.open(dst) as vault:
        assert vault.verify().ok
        return list(vault), vault.card["provenance"]["source"]


def equal(one, other):
    np.testing.assert_array_equal(one, other, strict=True)


def test_a_last_row_without_action_is_the_final_observation(tmp_path: Path):
    """`T` rows are `T - 1` steps and what the last of them led to; terminal or else truncated."""
    records = [episode(5, terminal=True), episode(2, seed=1), episode(1, seed=2), episode(0)]
    found, facts = converted(write(tmp_path / "toy", records))
    assert facts["last_row"] == "final"
    assert [(len(e), e.terminated, e.truncated) for e in found] == [
        (4, True, False),
        (1, False, True),
        (0, False, True),
        (0, False, False),
    ]
    for made, got in zip(records[:3], found, strict=False):
        for name in ("observation", "action", "reward", "discount"):
            equal(got.steps[name], made[f"steps/{name}"][:-1])
        equal(got.final["observation"], made["steps/observation"][-1])
    assert found[3].final is None
    assert found[0].steps["terminated"].tolist() == [False, False, False, True]
    assert found[1].steps["truncated"].tolist() == [True]


def test_a_last_row_with_an_action_is_a_step(tmp_path: Path):
    """Where any last row acts or is rewarded no row is dropped, and the final observation is unknown."""
    records = [episode(5, terminal=True), episode(4, seed=1)]
    records[1]["steps/reward"][-1] = 1
    found, facts = converted(write(tmp_path / "toy", records))
    assert (facts["last_row"], facts["last_rows_with_action_or_reward"]) == ("step", 1)
    assert [(len(e), e.terminated, e.truncated, e.final) for e in found] == [
        (5, True, False, None),
        (4, False, True, None),
    ]
    equal(found[1].steps["reward"], records[1]["steps/reward"])


def test_a_last_row_is_what_the_user_says(tmp_path: Path):
    """`last_row=` overrules the data, and even then what the row holds is kept, as final rows."""
    records = [episode(3)]
    records[0]["steps/reward"][-1] = 1
    found, _ = converted(write(tmp_path / "a", records), last_row="final")
    assert len(found[0]) == 2
    equal(found[0].final["reward"], np.float32(1))
    found, _ = converted(write(tmp_path / "b", [episode(3)]), last_row="step")
    assert len(found[0]) == 3
    with pytest.raises(ValueError, match="`last_row` must be 'final' or 'step': got 'first'"):
        rlds.read(tmp_path / "a", last_row="first")


def test_without_is_last_the_record_is_the_boundary(tmp_path: Path):
    """Records whose rows never say `is_last` are whole steps, cut; beside others they are unfinished."""
    found, facts = converted(write(tmp_path / "none", [episode(3, last=False), episode(2, last=False)]))
    assert [(len(e), e.terminated, e.truncated) for e in found] == [(3, False, False), (2, False, False)]
    assert facts["episodes_with_is_last"] == 0
    found, facts = converted(write(tmp_path / "some", [episode(3, last=False), episode(3)]))
    assert [(len(e), e.final is None, e.truncated) for e in found] == [(3, True, False), (2, False, True)]


def test_what_else_a_final_row_holds_is_kept(tmp_path: Path):
    """Features that are not 0 in the last row have final rows too: nothing is dropped."""
    steps = STEP | {"embedding": tensor("float32", 2)}
    record = episode(3) | {"steps/embedding": np.arange(6, dtype=np.float32)}
    found, _ = converted(write(tmp_path / "toy", [record], steps))
    assert sorted(found[0].final) == ["embedding", "observation"]
    equal(found[0].final["embedding"], np.array([4, 5], np.float32))


ODD = {
    "bool": (tensor("bool", 2), np.array([[True, False], [False, True], [True, True]])),
    "int64": (tensor("int64"), np.array([-(2**63), 0, 2**63 - 1])),
    "uint8": (tensor("uint8", 2, 2), np.arange(12, dtype=np.uint8).reshape(3, 2, 2)),
    "int8": (tensor("int8"), np.array([-128, 0, 127], np.int8)),
    "float16": (tensor("float16"), np.array([0.5, -1, np.nan], np.float16)),
    "float64": (tensor("float64"), np.array([0.5, np.float32(1e30), -0.0])),
    "deep/er/dict": (tensor("float32", 1), np.arange(3, dtype=np.float32)[:, None]),
}


def test_every_dtype_and_shape_arrives(tmp_path: Path):
    """Flags, whole numbers of all sizes, half floats, NaN, dicts in dicts."""
    steps, record = dict(STEP), episode(3, last=False)
    for name, (feature, values) in ODD.items():
        node, path = feature, name.split("/")
        for key in reversed(path[1:]):
            node = {"featuresDict": {"features": {key: node}}}
        steps[path[0]] = node
        record[f"steps/{name}"] = values
    found, facts = converted(write(tmp_path / "toy", [record], steps))
    for name, (_, values) in ODD.items():
        got = found[0].steps
        for key in name.split("/"):
            got = got[key]
        equal(got, values)
    assert facts["float64_stored_as_float32"] == ["float64"]


def test_rows_of_no_numbers_are_as_many_as_the_others(tmp_path: Path):
    """A feature of size 0 has a row at each step."""
    record = episode(3, last=False) | {"steps/none": np.zeros((3, 0), np.float32)}
    source = rlds.read(write(tmp_path / "toy", [record], STEP | {"none": tensor("float32", 0)}))
    assert [block.steps["none"].shape for block in source.blocks(9)] == [(3, 0)]


def test_unsigned_numbers_of_64_bits_come_back(tmp_path: Path):
    """TFDS keeps uint64 as int64 of the same bits."""
    values = np.array([0, 2**64 - 1], np.uint64)
    record = episode(2, last=False) | {"steps/key": values.view(np.int64)}
    found, _ = converted(write(tmp_path / "toy", [record], STEP | {"key": tensor("uint64")}))
    equal(found[0].steps["key"], values)


@pytest.mark.parametrize("encoding", ["bytes", "zlib"])
def test_encoded_tensors_are_unpacked(tmp_path: Path, encoding: str):
    """Tensors kept as their bytes have their dtype, float64 exactly; with open axes their shape too."""
    pack = zlib.compress if encoding == "zlib" else bytes
    values = np.random.default_rng(0).normal(size=(3, 2, 2))
    steps = STEP | {
        "a": tensor("float64", 2, 2, encoding=encoding),
        "b": tensor("float64", -1, -1, encoding=encoding),
    }
    record = episode(3, last=False) | {
        "steps/a": [pack(one.tobytes()) for one in values],
        "steps/b/value": [pack(one.tobytes()) for one in values],
        "steps/b/shape": np.array([[2, 2]] * 3),
    }
    found, facts = converted(write(tmp_path / "toy", [record], steps))
    equal(found[0].steps["a"], values)
    equal(found[0].steps["b"], values)
    assert facts["float64_stored_as_float32"] == []


def png(pixels: np.ndarray, form: str = "PNG") -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("known", [True, False])
def test_images_are_decoded(tmp_path: Path, known: bool):
    """PNGs come back to the pixel, whatever their channels, with their size given or not."""
    rng = np.random.default_rng(0)
    pixels = {channels: rng.integers(0, 256, (3, 5, 4, channels), np.uint8) for channels in (1, 3, 4)}
    steps, record = dict(STEP), episode(3)
    for channels, frames in pixels.items():
        steps[f"image{channels}"] = image(5, 4, channels) if known else image(-1, -1, channels)
        record[f"steps/image{channels}"] = [png(one) for one in frames]
    found, _ = converted(write(tmp_path / "toy", [record], steps))
    for channels, frames in pixels.items():
        equal(found[0].steps[f"image{channels}"], frames[:2])
        equal(found[0].final[f"image{channels}"], frames[2])


def test_float_images_are_their_bits(tmp_path: Path):
    """TFDS keeps a float32 image as the four bytes of each number."""
    depth = np.random.default_rng(0).normal(size=(2, 5, 4, 1)).astype(np.float32)
    record = episode(2, last=False) | {"steps/depth": [png(one.view(np.uint8)) for one in depth]}
    found, _ = converted(write(tmp_path / "toy", [record], STEP | {"depth": image(5, 4, 1, dtype="float32")}))
    equal(found[0].steps["depth"], depth)


def test_images_need_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without Pillow the error names the extra, and nothing is left."""
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    record = episode(2) | {"steps/observation": [b"x", b"y"]}
    path = write(tmp_path / "toy", [record], STEP | {"observation": image(5, 4, 3)})
    with pytest.raises(MissingExtraError, match=r"strongbax\[images\]"):
        convert(path, tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_texts_of_an_episode_are_attributes_and_others_leaves(tmp_path: Path):
    """An instruction that stands at every step is said once; texts that change are rows of bytes."""
    steps = STEP | {"instruction": text(), "thought": text()}
    record = episode(3, last=False) | {
        "steps/instruction": ["öffne die Tür".encode()] * 3,
        "steps/thought": [b"a", b"", "größer".encode()],
    }
    found, facts = converted(write(tmp_path / "toy", [record], steps))
    assert found[0].attributes["instruction"] == "öffne die Tür"
    equal(found[0].steps["thought"], np.array([b"a", b"", "größer".encode()]))
    assert facts["texts_of_episodes"] == ["instruction"]


def test_facts_of_an_episode_are_columns_and_attributes(tmp_path: Path):
    """Numbers become columns of their dtype; texts, arrays and lists attributes."""
    rest = {
        "episode_id": tensor("int32"),
        "episode_metadata": {
            "featuresDict": {
                "features": {
                    "return": tensor("float32"),  # a name that the table has already
                    "ok": tensor("bool"),
                    "path": text(),
                    "goal": tensor("float32", 2),
                    "tags": sequence(tensor("string")),
                }
            }
        },
    }
    record = episode(3) | {
        "episode_id": np.array([7]),
        "episode_metadata/return": np.array([0.5], np.float32),
        "episode_metadata/ok": np.array([True]),
        "episode_metadata/path": [b"/a/b"],
        "episode_metadata/goal": np.array([1, 2], np.float32),
        "episode_metadata/tags": [b"x", b"y"],
    }
    found, facts = converted(write(tmp_path / "toy", [record], rest=rest))
    columns = found[0].columns
    assert (columns["episode_id"], columns["episode_metadata_return"], columns["ok"]) == (7, 0.5, True)
    assert columns["episode_id"].dtype == np.int32
    assert found[0].attributes["path"] == "/a/b"
    assert found[0].attributes["tags"] == ["x", "y"]
    assert found[0].attributes["goal"]["shape"] == [2]
    assert facts["places"]["path"] == "episode_metadata/path"


def test_sequences_within_steps_have_their_axes(tmp_path: Path):
    """A list in each step is an axis where all have one length, and refused by name where not."""
    steps = STEP | {"tokens": sequence(tensor("int64", 2))}
    record = episode(3, last=False) | {
        "steps/tokens/ragged_flat_values": np.arange(24),
        "steps/tokens/ragged_row_lengths_0": np.array([4, 4, 4]),
    }
    found, _ = converted(write(tmp_path / "a", [record], steps))
    equal(found[0].steps["tokens"], np.arange(24).reshape(3, 4, 2))
    record["steps/tokens/ragged_row_lengths_0"] = np.array([5, 3, 4])
    path = write(tmp_path / "b", [record], steps)
    with pytest.raises(FormatError, match=r"Record 0 of .*`steps/tokens` has rows of different.*skip="):
        rlds.read(path)
    assert len(converted(path, skip=("tokens",))[0][0]) == 3


def test_splits_are_told_apart(tmp_path: Path):
    """All splits are read, each episode knowing its own; one alone where it is asked for."""
    splits = [{"name": name, "shardLengths": ["1"]} for name in ("train", "val", "gone")]
    path = write(tmp_path / "toy", [episode(3)], splits=splits)
    write_split(path, "val", [episode(5, seed=1)])
    found, facts = converted(path)
    assert [(e.attributes["split"], len(e)) for e in found] == [("train", 2), ("val", 4)]
    assert facts["splits_without_files"] == ["gone"]
    assert rlds.read(path, split="val").num_steps == 4
    with pytest.raises(NotFoundError, match="None of the shards"):
        rlds.read(path, split="gone")
    with pytest.raises(ValueError, match=r"`split` must be one of \['train', 'val', 'gone'\]"):
        rlds.read(path, split="test")


def test_shards_are_read_in_order(tmp_path: Path):
    """Records come by shard and by their place in it; a missing shard is named."""
    path = write(tmp_path / "toy", [], splits=[{"name": "train", "shardLengths": ["1", "2"]}])
    write_split(path, "train", [episode(2)], "00000-of-00002")
    write_split(path, "train", [episode(3), episode(4)], "00001-of-00002")
    assert [len(e) for e in converted(path)[0]] == [1, 2, 3]
    (path / "toy-train.tfrecord-00000-of-00002").unlink()
    with pytest.raises(
        FormatError, match=r"1 of the 2 shards .* toy-train.tfrecord-00000-of-00002 is missing"
    ):
        rlds.read(path)


def test_older_feature_files_are_read(tmp_path: Path):
    """The form of `features.json` before 2022 names classes and contents."""
    kind = "tensorflow_datasets.core.features."

    def old(name, content):
        return {"type": kind + name, "content": content}

    leaf = {"shape": [2], "dtype": "float32", "encoding": "none"}
    steps = old(
        "features_dict.FeaturesDict",
        {"action": old("tensor_feature.Tensor", leaf), "note": old("text_feature.Text", {})},
    )
    tree = old(
        "features_dict.FeaturesDict",
        {"steps": old("dataset_feature.Dataset", {"feature": steps, "length": None})},
    )
    record = {"steps/action": np.arange(4, dtype=np.float32), "steps/note": [b"x", b"x"]}
    path = write(tmp_path / "toy", [record])
    (path / "features.json").write_text(__import__("json").dumps(tree))
    found, _ = converted(path)
    equal(found[0].steps["action"], np.arange(4, dtype=np.float32).reshape(2, 2))
    assert found[0].attributes == {"note": "x"}


def test_the_recorded_datasets(tmp_path: Path, samples: Path):
    """Bridge has 25 records of ten steps; the toy sets are the same episodes in both file formats."""
    bridge = rlds.read(samples / "bridge_dataset")
    assert (bridge.num_steps, bridge.facts["last_row"], bridge.facts["episodes_with_is_last"]) == (
        250,
        "step",
        0,
    )
    assert bridge.example["observation/image_0"].shape == (64, 64, 3)
    pytest.importorskip("array_record")
    one, _ = converted_to(tmp_path / "one", samples / "tfrecord_toy_rlds")
    other, facts = converted_to(tmp_path / "other", samples / "array_record_toy_rlds")
    assert facts["last_row"] == "final"
    assert [len(e) for e in one] == [30] * 6
    for a, b in zip(one, other, strict=True):
        assert (a.columns, a.attributes, a.terminated) == (b.columns, b.attributes, b.terminated)
        for name in a.steps:
            equal(a.steps[name], b.steps[name])
        equal(a.final["observation"], b.final["observation"])


def converted_to(dst: Path, src: Path):
    convert(src, dst)
    with Vault.open(dst) as vault:
        return list(vault), vault.card["provenance"]["source"]


def test_it_is_recognised_with_or_without_its_version(tmp_path: Path):
    """The version's folder is found below the dataset's, unless there are two."""
    write(tmp_path / "toy" / "1.0.0", [episode(3)])
    assert find_format(None, tmp_path / "toy").name == "rlds"
    assert find_format(None, tmp_path / "toy" / "1.0.0").name == "rlds"
    assert rlds.read(tmp_path / "toy").num_steps == 2
    write(tmp_path / "toy" / "2.0.0", [episode(3)])
    assert not rlds.detect(tmp_path / "toy")
    with pytest.raises(FormatError, match="Name the version's folder"):
        rlds.read(tmp_path / "toy")


def test_nan_rewards_are_kept_and_counted(tmp_path: Path):
    """NaN among the rewards is the dataset's own affair."""
    record = episode(4)
    record["steps/reward"][1] = np.nan
    found, facts = converted(write(tmp_path / "toy", [record]))
    equal(found[0].steps["reward"], record["steps/reward"][:3])
    assert facts["nan_rewards"] == 1


def array_records(path: Path, records) -> Path:
    """The same dataset in ArrayRecord, by its own library."""
    module = pytest.importorskip("array_record.python.array_record_module")
    write(path, records, fileFormat="array_record")
    file = next(path.glob("*.tfrecord-*"))
    writer = module.ArrayRecordWriter(
        str(path / file.name.replace("tfrecord", "array_record")), "group_size:1"
    )
    for data in read_records(file):
        writer.write(data)
    writer.close()
    file.unlink()
    return path


def test_array_record_holds_the_same_episodes(tmp_path: Path):
    """Both file formats give the same vault."""
    records = [episode(4, terminal=True), episode(2, seed=1)]
    one = convert(write(tmp_path / "a", records), tmp_path / "a.vault")
    other = convert(array_records(tmp_path / "b", records), tmp_path / "b.vault")
    assert (one.sha256, one.num_episodes) == (other.sha256, other.num_episodes)


def test_array_record_that_is_damaged_or_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A cut file is one error; a library that is not there another, which names the extra."""
    path = array_records(tmp_path / "toy", [episode(4)])
    file = next(path.glob("*.array_record-*"))
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="array_record-00000-of-00001"):
        rlds.read(path)
    file.write_bytes(data)
    monkeypatch.setitem(__import__("sys").modules, "array_record.python.array_record_module", None)
    with pytest.raises(MissingExtraError, match=r"strongbax\[rlds\]"):
        convert(path, tmp_path / "v")
    assert not (tmp_path / "v").exists()
