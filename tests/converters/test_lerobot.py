"""LeRobot's datasets into vaults: versions 2.1 and 3.0 of the same episodes."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from strongbax.converters import convert, lerobot
from strongbax.converters.formats import find_format
from strongbax.vault.errors import FormatError, MissingExtraError, NotFoundError
from strongbax.vault.vault import Vault

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
Image = pytest.importorskip("PIL.Image")

SAMPLES = Path(__file__).parents[2] / "../shared/samples/lerobot"
LENGTHS = (3, 1, 5)
TASKS = ["öffne die Tür", "push"]
FEATURES = {
    "observation.state": ("float32", (3,)),
    "observation.images.top": ("image", (6, 5, 3)),
    "action": ("float64", (2,)),
    "action.mode": ("int64", (1,)),
    "next.reward": ("float32", (1,)),
    "next.done": ("bool", (1,)),
    "next.success": ("bool", (1,)),
    "note": ("string", (1,)),
    "timestamp": ("float32", (1,)),
    "frame_index": ("int64", (1,)),
    "episode_index": ("int64", (1,)),
    "index": ("int64", (1,)),
    "task_index": ("int64", (1,)),
}


def episode(number: int, length: int, start: int) -> dict:
    rng = np.random.default_rng(number)
    last = np.arange(length) == length - 1
    return {
        "observation.state": rng.normal(size=(length, 3)).astype(np.float32),
        "observation.images.top": rng.integers(0, 256, (length, 6, 5, 3), np.uint8),
        "action": rng.normal(size=(length, 2)),
        "action.mode": rng.integers(-5, 5, length),
        "next.reward": rng.normal(size=length).astype(np.float32),
        "next.done": last & (number != 1),
        "next.success": last & (number == 0),
        "note": ["größer", "x"] * length if number else ["a"] * length,
        "timestamp": (np.arange(length) / 10).astype(np.float32),
        "frame_index": np.arange(length),
        "episode_index": np.full(length, number),
        "index": start + np.arange(length),
        "task_index": np.full(length, number % 2),
    }


def episodes() -> list[dict]:
    starts = np.cumsum([0, *LENGTHS])
    return [episode(number, length, int(starts[number])) for number, length in enumerate(LENGTHS)]


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def table(rows: dict):
    columns = {}
    for name, values in rows.items():
        if name == "observation.images.top":
            kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
            columns[name] = pa.array([{"bytes": png(one), "path": "x.png"} for one in values], kind)
        elif isinstance(values, np.ndarray) and values.ndim == 2:
            flat = pa.array(values.reshape(-1))
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        else:
            columns[name] = pa.array(values[: len(rows["index"])])
    return pa.table(columns)


def save(rows, path: Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path)


def info(version: str, **more) -> dict:
    three = version == "v3.0"
    path = (
        "chunk-{chunk_index:03d}/file-{file_index:03d}"
        if three
        else "chunk-{episode_chunk:03d}/episode_{episode_index:06d}"
    )
    features = {
        name: {"dtype": dtype, "shape": list(shape), "names": None}
        for name, (dtype, shape) in FEATURES.items()
    }
    about = {
        "codebase_version": version,
        "fps": 10,
        "total_episodes": len(LENGTHS),
        "total_frames": sum(LENGTHS),
        "chunks_size": 1000,
        "splits": {"train": "0:3"},
        "data_path": f"data/{path}.parquet",
        "features": features,
    }
    return about | more


def write(path: Path, version: str, made: list[dict] | None = None, **more) -> Path:
    made = episodes() if made is None else made
    (path / "meta").mkdir(parents=True)
    (path / "meta/info.json").write_text(json.dumps(info(version, **more)))
    entries = [
        {"episode_index": n, "tasks": [TASKS[n % 2]], "length": length} for n, length in enumerate(LENGTHS)
    ]
    if version == "v3.0":
        # The first two episodes share a file.
        save(pa.concat_tables([table(made[0]), table(made[1])]), path / "data/chunk-000/file-000.parquet")
        save(table(made[2]), path / "data/chunk-000/file-001.parquet")
        rows = [entry | {"data/chunk_index": 0, "data/file_index": n // 2} for n, entry in enumerate(entries)]
        save(pa.Table.from_pylist(rows), path / "meta/episodes/chunk-000/file-000.parquet")
        save(pa.table({"task_index": [0, 1], "__index_level_0__": TASKS}), path / "meta/tasks.parquet")
    else:
        for number, rows in enumerate(made):
            save(table(rows), path / f"data/chunk-000/episode_{number:06d}.parquet")
        (path / "meta/episodes.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        tasks = [{"task_index": number, "task": task} for number, task in enumerate(TASKS)]
        (path / "meta/tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    return path


def drain(path: Path, **options):
    for _ in lerobot.read(path, **options).blocks(100):
        pass


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_every_frame_arrives(tmp_path: Path, version: str):
    """Columns become leaves by their dots, dtypes kept, pictures to the pixel; ends by done and success."""
    report = convert(write(tmp_path / "set", version), tmp_path / "v")
    assert (report.format, report.num_steps, report.num_episodes) == ("lerobot", 9, 3)
    with Vault.open(tmp_path / "v") as vault:
        assert vault.verify().ok
        assert vault.attributes["lerobot"]["fps"] == 10
        found, source = list(vault), vault.card["provenance"]["source"]
    for number, (wanted, got) in enumerate(zip(episodes(), found, strict=True)):
        steps = got.steps
        leaves = {
            "observation.state": steps["observation"]["state"],
            "observation.images.top": steps["observation"]["images"]["top"],
            "action": steps["action"],
            "action.mode": steps["action.mode"],
            "next.reward": steps["reward"],
            "next.done": steps["next"]["done"],
            "timestamp": steps["timestamp"],
        }
        for name, rows in leaves.items():
            np.testing.assert_array_equal(rows, wanted[name], strict=True)
        texts = [text.encode() for text in wanted["note"][: len(got)]]
        assert steps["note"].tolist() == texts
        assert got.columns["episode_index"] == number
        assert got.attributes == {"task": TASKS[number % 2]}
    assert [(e.terminated, e.truncated) for e in found] == [(True, False), (False, False), (False, True)]
    assert source["next_done_means"] == "success"
    assert source["leaves"]["action.mode"] == "action.mode"


def test_what_done_means_can_be_said(tmp_path: Path):
    """`done=` overrules success; without success a done is the end of the MDP."""
    path = write(tmp_path / "set", "v3.0")

    def ends(**options):
        return [
            (bool(t), bool(u))
            for block in lerobot.read(path, **options).blocks(100)
            for t, u in zip(block.ends.terminated, block.ends.truncated, strict=True)
        ]

    assert ends(done="terminated") == [(True, False), (False, False), (True, False)]
    assert ends(done="truncated") == [(False, True), (False, False), (False, True)]
    assert ends(skip=("next.success",)) == [(True, False), (False, False), (True, False)]
    assert ends(skip=("next.done",)) == [(False, False)] * 3
    with pytest.raises(ValueError, match="`done` must be 'terminated' or 'truncated': got 'end'"):
        lerobot.read(path, done="end")


def test_tasks_that_change_and_texts_that_do_not(tmp_path: Path):
    """A task that changes within an episode is a leaf; a text that never does is an attribute."""
    made = episodes()
    made[2]["task_index"] = np.array([0, 0, 1, 1, 0])
    for rows in made:
        rows["note"] = ["the same"] * 9
    convert(write(tmp_path / "set", "v2.1", made), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault[2].steps["task_index"].tolist() == [0, 0, 1, 1, 0]
        assert vault[1].attributes["note"] == "the same"
        assert vault.attributes["tasks"] == {"0": TASKS[0], "1": TASKS[1]}


def test_splits_are_told_apart(tmp_path: Path):
    """With several splits each episode knows its own."""
    path = write(tmp_path / "set", "v2.1", splits={"train": "0:2", "val": "2:3"})
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert [episode.attributes["split"] for episode in vault] == ["train", "train", "val"]


def test_the_samples_of_both_versions_are_the_same_episodes(tmp_path: Path):
    """LeRobot's own writers of v2.1 and v3.0 recorded the same frames."""
    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    one = convert(SAMPLES / "v2.1_image", tmp_path / "one")
    other = convert(SAMPLES / "v3.0_image", tmp_path / "other")
    assert one.sha256 == other.sha256
    assert (one.num_steps, one.num_episodes) == (30, 3)
    with Vault.open(tmp_path / "one") as vault:
        assert [episode.attributes["task"] for episode in vault] == ["pick cube", "push block", "pick cube"]


def test_pictures_may_lie_in_files(tmp_path: Path):
    """A picture without bytes is the file that it names, within the dataset."""
    path = write(tmp_path / "set", "v2.1")
    file = path / "data/chunk-000/episode_000001.parquet"
    rows = pq.read_table(file)
    pixels = episodes()[1]["observation.images.top"]
    (path / "images").mkdir()
    (path / "images/0.png").write_bytes(png(pixels[0]))
    kind = rows.schema.field("observation.images.top").type
    at = rows.schema.names.index("observation.images.top")

    def named(name):
        column = pa.array([{"bytes": None, "path": name}], kind)
        pq.write_table(rows.set_column(at, "observation.images.top", column), file)

    named("images/0.png")
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        np.testing.assert_array_equal(vault[1].steps["observation"]["images"]["top"], pixels, strict=True)
    for name in ("../set/images/0.png", "images/1.png", None):
        named(name)
        with pytest.raises(FormatError, match=r"`observation.images.top` of episode 1 .*no bytes.*no file"):
            drain(path)


def broken(number: int, name: str, values):
    def change(made):
        made[number][name] = values

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            broken(2, "frame_index", np.array([0, 1, 3, 2, 4])),
            "Row 2 of episode 2 of .* is frame 3 of episode 2",
        ),
        (
            broken(2, "episode_index", np.array([2, 2, 2, 2, 3])),
            "Row 4 of episode 2 .* is frame 4 of episode 3",
        ),
        (
            broken(2, "index", np.arange(4)),
            "ends after 4 of the 5 frames of episode 2",
        ),
        (
            broken(1, "action", np.zeros((1, 3))),
            r"`action` of episode 1 .*\[3\] a frame where info.json says \[2\]",
        ),
        (
            broken(1, "action", np.zeros((1, 2), np.float32)),
            "`action` of episode 1 .*float32 where info.json says float64",
        ),
        (broken(1, "note", [None]), "`note` of episode 1 .*missing"),
        (
            broken(1, "observation.images.top", np.zeros((1, 6, 4, 3), np.uint8)),
            r"a picture is \[6, 4, 3\] where",
        ),
        (
            broken(1, "task_index", np.array([0])),
            r"episode 1 .* have the task 'öffne die Tür', its metadata \['push'\]",
        ),
    ],
)
def test_what_is_wrong_with_the_frames_is_named(tmp_path: Path, change, said: str):
    """Order, lengths, shapes, dtypes and missing values are refused with their episode; nothing is left."""
    made = episodes()
    change(made)
    if len(made[2]["index"]) == 4:
        made[2] = {name: values[:4] for name, values in made[2].items()}
    path = write(tmp_path / "set", "v2.1", made)
    with pytest.raises(FormatError, match=said):
        convert(path, tmp_path / "v")
    assert [entry.name for entry in tmp_path.iterdir()] == ["set"]


def test_what_is_wrong_with_the_metadata_is_named(tmp_path: Path):
    """Versions, counts, lines, missing files and paths that lead out are different sentences."""
    path = write(tmp_path / "set", "v2.1")
    for more, said in (
        ({"codebase_version": "v1.6"}, "version 'v1.6' is none of"),
        ({"total_frames": 10}, "`total_frames` 10, its episodes' metadata 9"),
        ({"total_episodes": 4}, "`total_episodes` 4, its episodes' metadata 3"),
        ({"data_path": "../{episode_index}.parquet"}, "leads out of the dataset"),
        ({"features": 3}, r"not laid out as LeRobot v2\.1"),
        ({"data_path": "data/{other}"}, r"not laid out as LeRobot v2\.1"),
    ):
        (path / "meta/info.json").write_text(json.dumps(info("v2.1") | more))
        with pytest.raises(FormatError, match=said):
            drain(path)
    (path / "meta/info.json").write_text(json.dumps(info("v2.1")))
    (path / "data/chunk-000/episode_000002.parquet").unlink()
    with pytest.raises(NotFoundError, match=r"episode_000002.parquet is missing"):
        drain(path)
    text = (path / "meta/episodes.jsonl").read_text()
    (path / "meta/episodes.jsonl").write_text(text[:-5])
    with pytest.raises(FormatError, match=r"line 3 of .*episodes.jsonl is no JSON"):
        drain(path)
    (path / "meta/episodes.jsonl").unlink()
    with pytest.raises(FormatError, match=r"episodes.jsonl is missing"):
        drain(path)
    with pytest.raises(FormatError, match="is no LeRobot dataset"):
        drain(tmp_path)


def test_more_frames_than_the_episodes_are_refused(tmp_path: Path):
    """Frames that belong to no episode would be lost."""
    path = write(tmp_path / "set", "v3.0")
    file = path / "data/chunk-000/file-001.parquet"
    rows = pq.read_table(file)
    pq.write_table(pa.concat_tables([rows, rows]), file)
    with pytest.raises(FormatError, match=r"file-001.parquet has more frames than its 1 episodes"):
        drain(path)
    (path / "data/chunk-000/file-000.parquet").write_bytes(b"PAR1")
    with pytest.raises(FormatError, match=r"file-000.parquet cannot be read as Parquet"):
        drain(path)


def test_what_can_be_left_out(tmp_path: Path):
    """Counters cannot be spared, nor features that are not there."""
    path = write(tmp_path / "set", "v2.1")
    drain(path, skip=("observation.images.top",))
    for name in ("index", "observation.images.wrist"):
        with pytest.raises(ValueError, match=rf"`skip` must name features .* got '{name}'"):
            drain(path, skip=(name,))


@pytest.mark.parametrize(("module", "name"), [("pyarrow.parquet", "arrow"), ("PIL.Image", "images")])
def test_missing_libraries_name_their_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
):
    """Without PyArrow or Pillow the error names the extra; recognising the dataset needs neither."""
    path = write(tmp_path / "set", "v2.1")
    monkeypatch.setitem(__import__("sys").modules, module, None)
    assert find_format(None, path).name == "lerobot"
    with pytest.raises(MissingExtraError, match=rf"strongbax\[{name}\]"):
        convert(path, tmp_path / "v")
