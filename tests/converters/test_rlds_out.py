"""Vaults as RLDS datasets, and back: nothing is lost that the notes do not name."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rlds_files import STEP, episode, image, tensor, text, write
from strongbax.converters import convert, rlds_out
from strongbax.converters.exporting import export
from strongbax.converters.tf_example import parse_example
from strongbax.converters.tfrecord import read_records
from strongbax.vault.episodes import Episode
from strongbax.vault.errors import CorruptionError, MissingExtraError
from strongbax.vault.vault import Vault

RNG = np.random.default_rng(0)


def steps(length: int) -> dict:
    return {
        "observation": {
            "pixels": RNG.integers(0, 256, (length, 6, 5, 3), np.uint8),
            "state": RNG.normal(size=(length, 3)),
            "many": RNG.integers(0, 256, (length, 100), np.uint8),
        },
        "action": RNG.integers(-(2**63), 2**63 - 1, (length, 2)),
        "reward": RNG.normal(size=length).astype(np.float32),
        "infos": {
            "half": RNG.normal(size=(length, 2)).astype(np.float16),
            "key": RNG.integers(0, 2**64 - 1, length, np.uint64),
            "ok": RNG.random((length, 2)) > 0.5,
            "say": np.array(["größer", "x"] * length)[:length].astype("<U6"),
            "raw": np.array([b"ab", b"c"] * length)[:length].astype("S2"),
        },
        "terminated": np.zeros(length, np.bool_),
        "truncated": np.zeros(length, np.bool_),
    }


def final() -> dict:
    return {name: rows[0] for name, rows in steps(1)["observation"].items()}


def vault(path: Path, ends, *, finals: bool = True, **options) -> Path:
    """A vault of episodes `(length, terminated, truncated, final known)`."""
    options = {"columns": {"seed": np.int64, "score": np.float64}} | options
    with Vault.create(
        path, steps=jax_free(steps(1)), finals=["observation"] if finals else [], **options
    ) as made:
        for number, (length, terminated, truncated, known) in enumerate(ends):
            last = {"observation": final()} if known else None
            rows = steps(length)
            rows["terminated"][-1:], rows["truncated"][-1:] = terminated, truncated
            made.append(
                Episode(
                    rows,
                    last,
                    terminated,
                    truncated,
                    columns={"seed": -number, "score": number / 3},
                    attributes={"task": f"öffne {number}", "note": {"a": [number, None]}},
                )
            )
    return path


def jax_free(rows: dict) -> dict:
    return {n: jax_free(v) if isinstance(v, dict) else v[0] for n, v in rows.items()}


def out_and_back(path: Path, **options):
    """Writes a vault as RLDS, makes a vault of it, and gives both vaults' episodes and the notes."""
    with Vault.open(path) as one:
        report = export(one, path.with_suffix(".rlds"), "rlds", **options)
        first = list(one)
    convert(path.with_suffix(".rlds"), path.with_suffix(".again"))
    with Vault.open(path.with_suffix(".again")) as other:
        return first, list(other), report.notes


def same_tree(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        if isinstance(values, dict):
            same_tree(values, other[name])
        else:
            np.testing.assert_array_equal(values, other[name], strict=True)


def same(one: Episode, other: Episode):
    same_tree(one.steps, other.steps)
    assert (one.final is None) == (other.final is None)
    if one.final is not None:
        same_tree(one.final, other.final)
    assert (one.terminated, one.truncated) == (other.terminated, other.truncated)
    assert (one.attributes, one.columns) == (other.attributes, other.columns)


def test_everything_comes_back(tmp_path: Path):
    """Dtypes, texts, images, columns, attributes, finals and flags go out and come back to the bit."""
    ends = [(3, True, False, True), (1, False, True, True), (0, False, True, True), (4, False, True, True)]
    first, again, notes = out_and_back(vault(tmp_path / "v", ends))
    assert notes == ()
    for one, other in zip(first, again, strict=True):
        same(one, other)


def test_without_finals_the_last_step_is_the_last_row(tmp_path: Path):
    """Ends and cuts come back, also where the last action and reward are 0."""
    path = vault(
        tmp_path / "v",
        [(3, True, False, False), (2, False, True, False), (2, False, False, False)],
        finals=False,
    )
    first, again, notes = out_and_back(path, images="zlib", shard_bytes=1)
    assert notes == ()
    for one, other in zip(first, again, strict=True):
        same(one, other)
    assert len(list((tmp_path / "v.rlds").glob("*.tfrecord-*-of-00003"))) == 3


def test_what_rlds_cannot_say_is_noted(tmp_path: Path):
    """Both flags, cuts with a final row, episodes without one and empty records are each one sentence."""
    ends = [(2, True, True, True), (2, False, False, True), (2, False, True, False), (0, False, True, False)]
    first, again, notes = out_and_back(vault(tmp_path / "v", ends))
    assert [note.split(" episodes ")[0] for note in notes] == ["1", "1", "2", "1"]
    assert [(len(e), e.terminated, e.truncated, e.final is not None) for e in again] == [
        (2, True, False, True),
        (2, False, True, True),
        (2, False, False, False),
        (0, False, False, False),
    ]
    for one, other in zip(first, again, strict=True):
        same_tree(one.steps["observation"], other.steps["observation"])


def test_a_dataset_of_tfds_comes_back_as_it_was(tmp_path: Path):
    """Features keep their places: texts of the steps, of the metadata, and at the top."""
    from PIL import Image

    def png(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    shown = STEP | {"image": image(4, 4, 3), "instruction": text()}
    metadata = {"featuresDict": {"features": {"path": text(), "ok": tensor("bool")}}}
    rest = {"agent": text(), "episode_id": tensor("int32"), "episode_metadata": metadata}
    records = [
        episode(rows, terminal=rows == 3, seed=rows)
        | {
            "steps/image": [png(one) for one in RNG.integers(0, 256, (rows, 4, 4, 3), np.uint8)],
            "steps/instruction": [b"pick"] * rows,
            "agent": [b"random"],
            "episode_id": np.array([rows]),
            "episode_metadata/path": [f"/{rows}".encode()],
            "episode_metadata/ok": np.array([True]),
        }
        for rows in (3, 2)
    ]
    write(tmp_path / "toy", records, shown, rest)
    convert(tmp_path / "toy", tmp_path / "v")
    with Vault.open(tmp_path / "v") as made:
        assert export(made, tmp_path / "again", "rlds", name="toy").notes == ()
    file = "toy-train.tfrecord-00000-of-00001"
    for one, other in zip(
        read_records(tmp_path / "toy" / file), read_records(tmp_path / "again" / file), strict=True
    ):
        first, second = parse_example(one), parse_example(other)
        assert first.keys() == second.keys()
        for key in first.keys() - {"steps/image"}:
            np.testing.assert_array_equal(first[key], second[key])
    trees = [json.loads((tmp_path / name / "features.json").read_text()) for name in ("toy", "again")]
    assert paths(trees[0]) == paths(trees[1])


def paths(tree, at=""):
    """Every feature's place and what it is, the classes' names aside."""
    if "featuresDict" in tree:
        return {
            k: v
            for n, t in tree["featuresDict"]["features"].items()
            for k, v in paths(t, f"{at}/{n}").items()
        }
    if "sequence" in tree:
        return paths(tree["sequence"]["feature"], at)
    return {at: {key: value for key, value in tree.items() if key != "pythonClassName"}}


def test_options_are_checked(tmp_path: Path):
    """A name that TFDS would refuse is refused here, and nothing is left."""
    path = vault(tmp_path / "v", [(2, True, False, True)])
    bad = {"name": "My-Set", "version": "1", "split": "a b", "images": "jpeg", "shard_bytes": 0}
    with Vault.open(path) as made:
        for option, value in bad.items():
            with pytest.raises(ValueError, match=f"`{option}` must be"):
                export(made, tmp_path / "out", "rlds", **{option: value})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["v"]


@pytest.mark.parametrize("name", ["action", "x"])
def test_leaves_that_tfds_has_no_feature_for_are_refused(tmp_path: Path, name: str):
    """An action of bfloat16 is named, or a vault of nothing else, and nothing is written."""
    import ml_dtypes

    with Vault.create(tmp_path / "v", steps={name: np.zeros((), ml_dtypes.bfloat16)}) as made:
        made.append(Episode({name: np.zeros(2, ml_dtypes.bfloat16)}, None, True, False))
        with pytest.raises(ValueError, match=rf"leaf `{name}` is .*bfloat16"):
            export(made, tmp_path / "out", "rlds")
    assert not (tmp_path / "out").exists()


def test_images_need_pillow_or_another_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without Pillow the error names the extra and the option that does without."""
    path = vault(tmp_path / "v", [(2, True, False, True)])
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with Vault.open(path) as made:
        with pytest.raises(MissingExtraError, match=r'images="zlib".*strongbax\[images\]'):
            export(made, tmp_path / "out", "rlds")
        assert export(made, tmp_path / "out", "rlds", images="zlib").notes == ()


def test_what_was_not_written_right_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A number lost on the way, in a step or a column, is a CorruptionError; nothing is kept."""
    path = vault(tmp_path / "v", [(2, True, False, True)])
    encode = rlds_out._encode
    for wrong in ("steps/reward", "episode_metadata/seed"):

        def spoilt(feature, rows, wrong=wrong):
            return encode(feature, rows + 1 if feature.path == wrong else rows)

        monkeypatch.setattr(rlds_out, "_encode", spoilt)
        with Vault.open(path) as made, pytest.raises(CorruptionError, match=f"`{wrong.split('/')[1]}`"):
            export(made, tmp_path / "out", "rlds")
        assert not (tmp_path / "out").exists()
