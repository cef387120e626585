"""What is wrong with an RLDS dataset is said with the file, the record and the feature."""

import json
from pathlib import Path

import numpy as np
import pytest
from rlds_files import STEP, episode, image, sequence, tensor, text, write
from strongbax.converters import convert, rlds
from strongbax.vault.errors import FormatError


def drain(path: Path, **options):
    for _ in rlds.read(path, **options).blocks(10):
        pass


def broken(path: Path, change, steps=None) -> Path:
    """A dataset whose second record was changed."""
    records = [episode(4), episode(4, seed=1)]
    for record in records[1:]:
        change(record)
    return write(path, records, steps)


def put(name, values):
    return lambda record: record.update({f"steps/{name}": values})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record.pop("steps/action"), "has no `steps/action`; it has steps/discount"),
        (put("action", np.arange(7, dtype=np.float32)), r"`steps/action` has 7 numbers.*\[2\]"),
        (put("action", np.arange(8)), "`steps/action` is a int64_list where float32 wants a float_list"),
        (put("action", np.zeros((3, 2), np.float32)), "different lengths: .*'action': 3"),
        (put("is_last", np.array([1, 2, 0, 0])), "`steps/is_last` holds 2, which no bool is"),
        (put("is_last", np.array([0, 1, 0, 1])), r"`is_last` is set in row 1 of 4.*skip=\('is_last',\)"),
        (put("is_first", np.array([1, 0, 1, 0])), r"`is_first` is set in row 2 of 4"),
        (put("is_terminal", np.array([1, 0, 0, 1])), r"`is_terminal` is set in row 0 of 4"),
    ],
)
def test_a_record_that_does_not_hold_its_features_is_named(tmp_path: Path, change, said: str):
    """Missing, cut, foreign and disagreeing lists are refused; nothing is left where the vault was to be."""
    path = broken(tmp_path / "toy", change)
    with pytest.raises(FormatError, match=said) as caught:
        convert(path, tmp_path / "v")
    assert "Record 1 of " in str(caught.value)
    assert "toy-train.tfrecord-00000-of-00001" in str(caught.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["toy"]


def test_encoded_values_that_do_not_unpack_are_named(tmp_path: Path):
    """Bytes that are no zlib, no array of the shape and no image."""
    for encoding, said in (("zlib", "does not unpack to float32"), ("bytes", "does not unpack to float32")):
        steps = STEP | {"a": tensor("float32", 2, encoding=encoding)}
        path = write(tmp_path / encoding, [episode(1) | {"steps/a": [b"xyz"]}], steps)
        with pytest.raises(FormatError, match=f"Record 0 of .*`steps/a` {said}"):
            drain(path)
    pytest.importorskip("PIL")
    path = write(tmp_path / "image", [episode(2) | {"steps/a": [b"x", b"y"]}], STEP | {"a": image(2, 2, 3)})
    with pytest.raises(FormatError, match=r"Record 0 of .*`steps/a` is no image"):
        drain(path)


def test_texts_that_a_leaf_cannot_hold_are_refused(tmp_path: Path):
    """Bytes that end with a zero would lose it."""
    record = episode(2) | {"steps/note": [b"a\0", b"b"]}
    with pytest.raises(FormatError, match="`note` ends with a zero byte"):
        drain(write(tmp_path / "toy", [record], STEP | {"note": text()}))


def test_shapes_that_differ_between_records_are_refused(tmp_path: Path):
    """A list with another length in another record is no axis of a leaf."""
    records = [
        episode(1)
        | {"steps/a/ragged_flat_values": np.arange(n), "steps/a/ragged_row_lengths_0": np.array([n])}
        for n in (2, 3)
    ]
    path = write(tmp_path / "toy", records, STEP | {"a": sequence(tensor("int64"))})
    with pytest.raises(
        FormatError, match=r"Record 1 .*`a` has rows of \[3\], in the first record \[2\].*skip="
    ):
        drain(path)


def test_features_that_are_not_read_can_be_left_out(tmp_path: Path):
    """A kind that is not known is named, and so is the way around it; `skip` must name something."""
    video = {"pythonClassName": "x.Video", "video": {"shape": {}}}
    path = write(tmp_path / "toy", [episode(3)], STEP | {"clip": video})
    with pytest.raises(FormatError, match=r"`steps/clip` .* kind 'video'.*`skip=\('clip',\)`"):
        drain(path)
    drain(path, skip=("clip",))
    with pytest.raises(ValueError, match=r"`skip` must name features .* got 'clap'"):
        drain(path, skip=("clip", "clap"))
    path = write(
        tmp_path / "own",
        [episode(2) | {"steps/terminated": np.zeros(2, np.bool_)}],
        STEP | {"terminated": tensor("bool")},
    )
    with pytest.raises(FormatError, match="`terminated` in its steps"):
        drain(path, skip=())


def test_a_folder_that_is_no_dataset_is_told(tmp_path: Path):
    """Damaged, foreign and incomplete folders are different sentences."""
    path = write(tmp_path / "toy", [episode(3), episode(3)])
    info = json.loads((path / "dataset_info.json").read_text())
    for change, said in (
        ({"fileFormat": "riegeli"}, "file format 'riegeli' is none of"),
        ({"splits": [{"name": "train", "shardLengths": ["three"]}]}, "`shardLengths` must be numbers"),
        (
            {"splits": [{"name": "train", "shardLengths": ["3"]}]},
            "has 2 records where dataset_info.json says 3",
        ),
    ):
        (path / "dataset_info.json").write_text(json.dumps(info | change))
        with pytest.raises(FormatError, match=said):
            drain(path)
    (path / "dataset_info.json").write_text("[]")
    with pytest.raises(FormatError, match=r"dataset_info.json must be a JSON object; it is a list"):
        drain(path)
    (path / "dataset_info.json").write_text("{")
    with pytest.raises(FormatError, match=r"dataset_info.json is no JSON"):
        drain(path)
    (path / "dataset_info.json").unlink()
    with pytest.raises(FormatError, match="is no folder of one TFDS dataset"):
        drain(path)
    plain = write(tmp_path / "plain", [], rest={"image": text()})
    tree = {"featuresDict": {"features": {"image": text()}}}
    (plain / "features.json").write_text(json.dumps(tree))
    assert not rlds.detect(plain)
    with pytest.raises(FormatError, match=r"names no `steps`.* It has image"):
        drain(plain)
    (plain / "features.json").write_text('{"featuresDict": 3}')
    with pytest.raises(FormatError, match="not laid out as TFDS writes it"):
        drain(plain)


def test_a_dataset_without_records_is_refused(tmp_path: Path):
    """Nothing to convert is an error."""
    with pytest.raises(FormatError, match="holds no records"):
        drain(write(tmp_path / "toy", []))
