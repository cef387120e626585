"""Vaults as LeRobot datasets, and back; the layout is that of LeRobot's own writer."""

import json
from pathlib import Path

import numpy as np
import pytest
from strongbax.converters import convert, export
from strongbax.converters.lerobot_stats import Stats
from strongbax.vault.episodes import Episode
from strongbax.vault.errors import MissingExtraError
from strongbax.vault.vault import Vault
from test_lerobot import LENGTHS, SAMPLES, TASKS
from test_lerobot import write as write_dataset

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("PIL.Image")

RNG = np.random.default_rng(0)


def steps(length: int) -> dict:
    return {
        "observation": {
            "state": RNG.normal(size=(length, 3)).astype(np.float32),
            "top": RNG.integers(0, 256, (length, 6, 5, 3), np.uint8),
            "depth": RNG.normal(size=(length, 2, 3, 2)).astype(np.float16),
        },
        "action": RNG.normal(size=(length, 2)),
        "reward": RNG.normal(size=length),
        "infos": {
            "ok": RNG.random((length, 2)) > 0.5,
            "say": np.array(["größer", "x"] * length)[:length].astype("<U6"),
            "raw": np.array([b"same"] * length).astype("S4"),
            "count": RNG.integers(-(2**63), 2**63 - 1, length),
        },
        "terminated": np.zeros(length, np.bool_),
        "truncated": np.zeros(length, np.bool_),
    }


def vault(path: Path, ends) -> Path:
    """A vault of episodes `(length, terminated, truncated)`, each with a task of its own or none."""

    def row(tree):
        return {name: row(each) if isinstance(each, dict) else each[0] for name, each in tree.items()}

    with Vault.create(path, steps=row(steps(1)), finals=["observation"]) as made:
        for number, (length, terminated, truncated) in enumerate(ends):
            rows = steps(length)
            rows["terminated"][-1:], rows["truncated"][-1:] = terminated, truncated
            made.append(Episode(rows, None, terminated, truncated, attributes={"task": f"öffne {number}"}))
    return path


def same_tree(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        if isinstance(values, dict):
            same_tree(values, other[name])
        else:
            np.testing.assert_array_equal(values, other[name], strict=True)


def out_and_back(path: Path, **options):
    with Vault.open(path) as one:
        report = export(one, path.with_suffix(".lerobot"), "lerobot", **options)
        first = list(one)
    convert(path.with_suffix(".lerobot"), path.with_suffix(".again"))
    with Vault.open(path.with_suffix(".again")) as other:
        return first, list(other), report.notes


def test_everything_comes_back(tmp_path: Path):
    """Dtypes, pictures, texts, both flags, cuts and tasks come back to the bit, from one file or several."""
    path = vault(tmp_path / "v", [(3, True, False), (1, False, True), (4, True, True), (2, False, False)])
    first, again, notes = out_and_back(path, fps=30, file_bytes=1)
    assert notes == ()
    for one, other in zip(first, again, strict=True):
        same_tree(one.steps, other.steps)
        assert (one.terminated, one.truncated) == (other.terminated, other.truncated)
        assert one.attributes == other.attributes
    assert len(list((tmp_path / "v.lerobot/data/chunk-000").iterdir())) == 4
    frames = pq.read_table(tmp_path / "v.lerobot/data/chunk-000/file-002.parquet").to_pydict()
    assert frames["next.done"] == [False, False, False, True]
    assert frames["index"] == [4, 5, 6, 7]
    assert frames["timestamp"] == [np.float32(at / 30) for at in range(4)]


def test_a_dataset_of_lerobot_comes_back(tmp_path: Path):
    """Names of columns, frames a second, tasks and values are those of the dataset before."""
    convert(write_dataset(tmp_path / "set", "v2.1"), tmp_path / "v")
    first, again, notes = out_and_back(tmp_path / "v")
    assert notes == ("The columns ['episode_index'] of the episode table are not written.",)
    for one, other in zip(first, again, strict=True):
        same_tree(one.steps, other.steps)
        assert one.attributes == other.attributes
    info = json.loads((tmp_path / "v.lerobot/meta/info.json").read_text())
    assert (info["fps"], info["total_frames"], info["total_tasks"]) == (10, sum(LENGTHS), len(set(TASKS)))
    was = json.loads((tmp_path / "set/meta/info.json").read_text())["features"]
    assert set(info["features"]) - set(was) == {"next.terminated", "next.truncated"}
    for name, feature in was.items():
        got = info["features"][name]
        assert (got["dtype"], got["shape"]) == (feature["dtype"], feature["shape"])


def test_the_layout_is_lerobots(tmp_path: Path):
    """Tables and metadata have the columns, types and keys that LeRobot 0.4.4 wrote for the sample."""
    sample = SAMPLES / "v3.0_image"
    if not sample.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    convert(sample, tmp_path / "v")
    _, _, notes = out_and_back(tmp_path / "v")
    assert len(notes) == 1
    made = tmp_path / "v.lerobot"
    for file in (
        "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/tasks.parquet",
    ):
        wanted, found = pq.read_schema(sample / file), pq.read_schema(made / file)
        for name in wanted.names:
            if name.rsplit("/", 1)[-1] in ("q01", "q10", "q50", "q90", "q99"):
                continue  # quantiles, which LeRobot itself had not at first
            one, other = wanted.field(name).type, found.field(name).type
            assert str(one).replace("large_", "") == str(other), name
    mine, theirs = (json.loads((root / "meta/info.json").read_text()) for root in (made, sample))
    assert mine.keys() == theirs.keys()
    assert {name: mine[name] for name in mine if name != "features"} == {
        n: theirs[n] for n in theirs if n != "features"
    }
    for name, feature in theirs["features"].items():
        assert mine["features"][name] == feature
    hub = [
        json.loads(pq.read_schema(root / "data/chunk-000/file-000.parquet").metadata[b"huggingface"])
        for root in (made, sample)
    ]
    for name, feature in hub[1]["info"]["features"].items():
        assert hub[0]["info"]["features"][name] == feature
    stats, wanted = (json.loads((root / "meta/stats.json").read_text()) for root in (made, sample))
    for name in ("action", "observation.state", "next.reward", "timestamp"):
        for key in ("min", "max", "mean", "std", "count"):
            np.testing.assert_allclose(stats[name][key], wanted[name][key], rtol=1e-4, atol=1e-6)
    picture = stats["observation.images.top"]
    assert np.shape(picture["mean"]) == np.shape(wanted["observation.images.top"]["mean"]) == (3, 1, 1)


def test_statistics_of_episodes_merge_to_those_of_all():
    """Means and spreads of all frames do not depend on where episodes end, far from zero too."""
    rows = 1e6 + RNG.normal(size=(100, 2))
    stats = Stats()
    for part in np.split(rows, [1, 7, 50]):
        stats.add({"x": part})
    total = stats.total()["x"]
    np.testing.assert_allclose(total["mean"], rows.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(total["std"], rows.std(axis=0), rtol=1e-7)
    assert (total["min"], total["count"]) == (rows.min(axis=0).tolist(), [100])


def test_what_lerobot_cannot_hold_is_noted_or_refused(tmp_path: Path):
    """Final rows, columns, attributes and empty episodes are noted; no rate, odd leaves and names refused."""
    step = {"observation": np.zeros(2), "action": np.zeros(2)}
    with Vault.create(tmp_path / "v", steps=step, finals=["observation"], columns={"seed": np.int64}) as made:
        for length in (2, 0):
            rows = {name: np.zeros((length, 2)) for name in step}
            final = {"observation": np.ones(2)}
            made.append(Episode(rows, final, True, False, columns={"seed": 1}, attributes={"note": [1]}))
    with Vault.open(tmp_path / "v") as made:
        with pytest.raises(ValueError, match="`fps` must be the frames a second"):
            export(made, tmp_path / "out", "lerobot")
        notes = " ".join(export(made, tmp_path / "out", "lerobot", fps=10, task="push").notes)
    for said in (
        "columns ['seed']",
        "final rows of 2 episodes",
        "1 episodes without a step",
        "attributes ['note']",
    ):
        assert said in notes
    step["action"] = np.zeros(0)
    with Vault.create(tmp_path / "odd", steps=step) as made:
        rows = {"observation": np.zeros((2, 2)), "action": np.zeros((2, 0))}
        made.append(Episode(rows, None, True, False))
    with Vault.open(tmp_path / "odd") as made, pytest.raises(ValueError, match=r"`action` is float64 \[0\]"):
        export(made, tmp_path / "no", "lerobot", fps=10)
    assert not (tmp_path / "no").exists()


def test_pictures_need_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without Pillow the error names the extra, and nothing is left."""
    path = vault(tmp_path / "v", [(2, True, False)])
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with Vault.open(path) as made, pytest.raises(MissingExtraError, match=r"strongbax\[images\]"):
        export(made, tmp_path / "out", "lerobot", fps=10)
    assert not (tmp_path / "out").exists()
