"""Minari's datasets, in and out."""

import io
import json
from pathlib import Path

import h5py
import minari_files as made
import numpy as np
import pytest
from strongbax.converters import convert
from strongbax.converters.exporting import export
from strongbax.converters.minari import detect
from strongbax.vault.episodes import Episode
from strongbax.vault.errors import CorruptionError, FormatError
from strongbax.vault.vault import Vault

SAMPLES = Path(__file__).parents[2] / "../shared/samples/minari/made"


def test_a_dataset_arrives_whole(tmp_path: Path):
    """Rows, final rows, infos, flags, metadata and every episode's facts stand in the vault, dtypes kept."""
    src = made.write_plain(tmp_path / "toy-v0")
    report = convert(src, tmp_path / "v")
    assert (report.format, report.num_steps, report.num_episodes) == ("minari", 9, 3)
    with Vault.open(tmp_path / "v") as vault:
        for number, episode in enumerate(vault):
            one = made.plain(made.LENGTHS[number], number)
            n = len(one["rewards"])
            same(episode.steps["observation"], one["observations"][:n])
            same(episode.final["observation"], one["observations"][n])
            same(episode.steps["infos"]["deep"]["lives"], one["infos/deep/lives"][:n])
            same(episode.final["infos"]["deep"]["lives"], one["infos/deep/lives"][n])
            same(episode.steps["infos"]["only steps"], one["infos/only steps"])
            same(episode.steps["action"], one["actions"])
            same(episode.steps["reward"], one["rewards"])
            assert (bool(episode.terminated), bool(episode.truncated)) == (number == 1, number != 1)
            attributes = episode.attributes
            assert attributes["seed"] == 40 + number
            assert attributes["options"]["name"] == "größer"
            assert attributes["leaves"]["infos/level"] == "höher"
        assert vault.card["dataset_id"] == "toys/öde/random-v0"
        assert vault.card["env_spec"]["id"] == "Toy-v0"
        assert vault.card["horizon"] == 7
        assert json.loads(vault.attributes["minari"]["observation_space"])["low"][0] == -np.inf
        assert vault.verify().ok


def same(one, other):
    np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("write", [made.write_plain, made.write_nested])
def test_a_dataset_comes_back_to_the_bit(tmp_path: Path, write):
    """From Minari into a vault and out again every dataset, attribute and fact is what it was."""
    src = write(tmp_path / "toy-v0")
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        report = export(vault, tmp_path / "out-v0", "minari")
    assert (report.num_steps, report.num_episodes, report.notes) == (9, 3, ())
    assert made.hdf5_contents(tmp_path / "out-v0") == made.hdf5_contents(src)
    facts = [json.loads((folder / "data/metadata.json").read_text()) for folder in (src, tmp_path / "out-v0")]
    assert facts[0] | {"jpeg_encoding": False} == facts[1]


def test_dict_tuple_text_and_pictures_arrive(tmp_path: Path):
    """Composite spaces become leaves by their keys and places; texts and raw pictures are kept."""
    convert(made.write_nested(tmp_path / "toy-v0"), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert {"observation/parts/0", "observation/parts/1", "action/0", "action/1"} <= set(vault.leaves)
        episode = vault[2]
        one = made.nested(5, 2)
        assert episode.steps["observation"]["mission"].tolist() == made.TEXTS[:5]
        assert str(episode.final["observation"]["mission"]) == "日本"
        same(episode.steps["observation"]["pixels"], one["observations/pixels"][:5])
        same(episode.final["observation"]["parts"]["1"], one["observations/parts/_index_1"][5])
        same(episode.steps["action"]["1"], one["actions/_index_1"])


@pytest.mark.parametrize("ragged", [True, False])
def test_jpeg_is_told_by_what_stands_there(tmp_path: Path, ragged: bool):
    """JPEG rows, of one length or of several, are decoded, whatever the metadata say; raw ones are not."""
    image = pytest.importorskip("PIL.Image", reason="Pillow decodes pictures")
    rng = np.random.default_rng(0)
    frames = [np.full((32, 40, 3), 50 * i, np.uint8) for i in range(4)]
    if ragged:
        frames[2] = rng.integers(0, 256, (32, 40, 3)).astype(np.uint8)
    coded = [encode(image, frame) for frame in frames]
    facts = made.metadata(observation_space=json.dumps(made.PICTURE), total_episodes=1, total_steps=3)
    del facts["jpeg_encoding"]
    src = made.write(tmp_path / "toy-v0", [{**made.plain(3, 0), "observations": np.zeros(1)}], facts)
    with h5py.File(src / "data/main_data.hdf5", "a") as file:
        del file["episode_0/observations"]
        if ragged:
            node = file.create_dataset("episode_0/observations", 4, h5py.vlen_dtype(np.uint8))
            for row, code in enumerate(coded):
                node[row] = code
        else:
            longest = max(map(len, coded))
            rows = [np.pad(code, (0, longest - len(code))) for code in coded]
            file["episode_0/observations"] = np.stack(rows)
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        got = [*vault[0].steps["observation"], vault[0].final["observation"]]
        for row, code in zip(got, coded, strict=True):
            same(row, np.asarray(image.open(io.BytesIO(code.tobytes()))))
        remarks = vault.card["provenance"]["source"]["remarks"]
        assert "JPEG in the source" in remarks[0]
        export(vault, tmp_path / "out-v0", "minari")
    with h5py.File(tmp_path / "out-v0/data/main_data.hdf5") as file:
        same(file["episode_0/observations"][:3], np.stack(got[:3]))


def encode(image, frame):
    out = io.BytesIO()
    image.fromarray(frame).save(out, format="JPEG")
    return np.frombuffer(out.getvalue(), np.uint8)


def test_nan_rewards_and_odd_counts_are_remarked(tmp_path: Path):
    """NaN rewards are kept; they, wrong totals and uncounted episodes stand in the card."""
    episodes = [made.plain(3, 0), made.plain(2, 1)]
    episodes[0]["rewards"][1] = np.nan
    facts = made.metadata(total_episodes=1, total_steps=99)
    convert(made.write(tmp_path / "toy-v0", episodes, facts), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert np.isnan(vault[0].steps["reward"]).tolist() == [False, True, False]
        text = " ".join(vault.card["provenance"]["source"]["remarks"])
    for said in (
        "1 rewards are NaN",
        "1 episodes that the metadata does not count",
        "says 99 steps; there are 3",
    ):
        assert said in text


def test_the_folder_the_data_folder_and_the_file_are_recognised(tmp_path: Path):
    """A dataset is found by any of its three paths; before Minari 0.5 the metadata are in the file."""
    src = made.write_plain(tmp_path / "toy-v0")
    for path in (src, src / "data", src / "data/main_data.hdf5"):
        assert detect(path)
    assert not detect(tmp_path)
    (tmp_path / "metadata.json").write_text("{")
    assert not detect(tmp_path)
    facts = json.loads((src / "data/metadata.json").read_text())
    (src / "data/metadata.json").unlink()
    assert not detect(src)
    with h5py.File(src / "data/main_data.hdf5", "a") as file:
        file.attrs.update(
            {key: facts[key] for key in ("total_episodes", "observation_space", "action_space")}
        )
    assert convert(src, tmp_path / "v").num_episodes == 3


def test_infos_can_be_left_out(tmp_path: Path):
    """`skip` leaves out a leaf or a group, and what is needed cannot be left out."""
    src = made.write_plain(tmp_path / "toy-v0")
    convert(src, tmp_path / "v", skip=("infos",))
    with Vault.open(tmp_path / "v") as vault:
        assert vault.leaves == ("action", "observation", "reward", "terminated", "truncated")
    with pytest.raises(ValueError, match="`skip` must name leaves that can be spared: got 'reward'"):
        convert(src, tmp_path / "w", skip=("reward",))


def break_it(file, what):
    group = file["episode_1"]
    if what == "no episode":
        del file["episode_1"]
    elif what == "short observations":
        rows = group["observations"][:-1]
        del group["observations"]
        group["observations"] = rows
    elif what == "renamed":
        group.move("terminations", "dones")
    elif what == "no flag":
        flags = group["truncations"][:].astype(np.float32) + 0.5
        del group["truncations"]
        group["truncations"] = flags
    elif what == "other infos":
        del group["infos/qpos"]
    elif what == "long infos":
        del group["infos/success"]
        group["infos/success"] = np.zeros(9, bool)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no episode", r"main_data\.hdf5 has no `episode_1`: the metadata speaks of 3 episodes"),
        ("short observations", r"'observation' of episode 1 of .* has 1 rows, and 2 are wanted.*1 rewards"),
        ("renamed", r"`episode_1` of .*main_data\.hdf5 has no `terminations`; it has .*dones"),
        ("no flag", r"`truncations` of `episode_1` of .* must hold one flag a step, 0 or 1"),
        ("other infos", r"Episode 1 has no infos/qpos; the first has "),
        ("long infos", r"'infos/success' of episode 1 of .* has 9 rows, .*skip=\('infos/success',\)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, what: str, said: str):
    """A broken episode is told by its number and key, and nothing is left behind."""
    src = made.write_plain(tmp_path / "toy-v0")
    with h5py.File(src / "data/main_data.hdf5", "a") as file:
        break_it(file, what)
    with pytest.raises(FormatError, match=said):
        convert(src, tmp_path / "v")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["toy-v0"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"total_episodes": "three"}, "`total_episodes` of .*metadata.json must be a number: got 'three'"),
        ({"data_format": "csv"}, "`data_format` of .* must be hdf5, arrow or parquet: got 'csv'"),
        ({"observation_space": "{"}, "`observation_space` of .* must be the JSON text of a space"),
        ({"total_episodes": 0}, "has no episodes"),
    ],
)
def test_wrong_metadata_is_named(tmp_path: Path, facts, said: str):
    """Metadata that means nothing is refused by its key."""
    src = made.write(tmp_path / "toy-v0", [made.plain(3, 0)], made.metadata(**facts))
    with pytest.raises(FormatError, match=said):
        convert(src, tmp_path / "v", format="minari")


def test_a_file_cut_short_is_told(tmp_path: Path):
    """A truncated download is a clear error at once."""
    src = made.write_plain(tmp_path / "toy-v0")
    path = src / "data/main_data.hdf5"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(FormatError, match=r"main_data\.hdf5 begins like an HDF5 file but cannot be opened"):
        convert(src, tmp_path / "v")


# -- out, of vaults that never were Minari's


def training_vault(path: Path) -> Path:
    """Names of its own, one episode of one step, one of unknown end, a text, an attribute of every kind."""
    step = {
        "obs": {
            "pos": np.zeros(2, np.float32),
            "word": np.zeros((), "U4"),
            "grid": np.zeros((2, 2), np.uint8),
        },
        "action": np.zeros((), np.int32),
        "reward": np.zeros((), np.float32),
        "done": np.zeros((), np.bool_),
        "cost": np.zeros((), np.float16),
    }
    odd = {
        "none": None,
        "list": [1, "a"],
        "a/b": 1,
        "": 2,
        "big": 2**80,
        "long": "x" * 70_000,
        "deep": {"n": 1.5},
    }
    with Vault.create(path, steps=step, finals=["obs"]) as vault:
        for number, length in enumerate([1, 4]):
            rows = {
                "obs": {
                    "pos": np.full((length, 2), number, np.float32),
                    "word": np.array(["ja", "nein", "", "ö"][:length], "U4"),
                    "grid": np.full((length, 2, 2), number, np.uint8),
                },
                "action": np.arange(length, dtype=np.int32) - 2,
                "reward": np.ones(length, np.float32),
                "done": np.arange(length) == length - 1,
                "cost": np.ones(length, np.float16),
            }
            final = {
                "obs": {"pos": np.ones(2, np.float32), "word": "Ende", "grid": np.ones((2, 2), np.uint8)}
            }
            vault.append(Episode(rows, final=final if number else None, attributes=odd if number else {}))
    return path


def test_a_training_vault_becomes_a_dataset(tmp_path: Path):
    """Leaves go to their places by role, spaces are made, and what has no place is said."""
    with Vault.open(training_vault(tmp_path / "v")) as vault:
        report = export(vault, tmp_path / "toy-v3", "minari", dataset_id="mine/toy-v3")
    notes = " ".join(report.notes)
    assert "['done', 'cost'] stand among the infos" in notes or "['cost', 'done'] stand among" in notes
    assert "Of 1 episodes it is not known what the last action led to" in notes
    facts = json.loads((tmp_path / "toy-v3/data/metadata.json").read_text())
    assert facts["dataset_id"] == "mine/toy-v3"
    space = json.loads(facts["observation_space"])["subspaces"]
    assert space["word"]["charset"] == "Edeijnaö"[:0] + "".join(sorted(set("janeinöEnde")))
    assert json.loads(facts["action_space"]) == {"type": "Discrete", "dtype": "int64", "start": -2, "n": 4}
    convert(tmp_path / "toy-v3", tmp_path / "w")
    with Vault.open(tmp_path / "v") as one, Vault.open(tmp_path / "w") as other:
        for before, after in zip(one, other, strict=True):
            same(after.steps["observation"]["pos"], before.steps["obs"]["pos"])
            assert after.steps["observation"]["word"].tolist() == before.steps["obs"]["word"].tolist()
            same(after.steps["infos"]["cost"], before.steps["cost"])
            assert (after.final is None) == (before.final is None)
            assert (after.terminated, after.attributes) == (before.terminated, before.attributes)


def test_what_is_written_wrongly_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The self-check finds a row that is not what the vault holds, and nothing is left at the place."""
    from strongbax.converters import minari_out

    convert(made.write_plain(tmp_path / "toy-v0"), tmp_path / "v")
    create = minari_out._create

    def wrong(group, place, values):
        create(group, place, values + 1 if place == "rewards" else values)

    monkeypatch.setattr(minari_out, "_create", wrong)
    with Vault.open(tmp_path / "v") as vault, pytest.raises(CorruptionError, match="`reward` of episode 0"):
        export(vault, tmp_path / "out-v0", "minari")
    assert not (tmp_path / "out-v0").exists()


def test_a_vault_without_actions_cannot_be_minaris(tmp_path: Path):
    """What the format must have is named, and so is a dtype that it has no space for."""
    step = {"observation": np.zeros(2), "reward": np.zeros(()), "terminated": np.zeros((), np.bool_)}
    rows = {"observation": np.zeros((2, 2)), "reward": np.zeros(2), "terminated": np.array([False, True])}
    with Vault.create(tmp_path / "v", steps=step) as vault:
        vault.append(Episode(rows))
        with pytest.raises(ValueError, match=r"this vault has no `action`"):
            export(vault, tmp_path / "x", "minari")
    with Vault.create(tmp_path / "w", steps=step | {"action": np.zeros((), np.complex64)}) as vault:
        vault.append(Episode(rows | {"action": np.zeros(2, np.complex64)}))
        with pytest.raises(ValueError, match=r"'action' is complex64, for which Minari has no space"):
            export(vault, tmp_path / "x", "minari")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["hopper/random", "cartpole/random", "pendulum/random"])
def test_datasets_by_minari_itself_come_back(tmp_path: Path, name: str):
    """What Minari wrote is, after a vault, what it was, dataset by dataset."""
    src = SAMPLES / f"{name}-hdf5-v0"
    if not src.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "out-v0", "minari")
    assert made.hdf5_contents(tmp_path / "out-v0") == made.hdf5_contents(src)


@pytest.mark.parametrize("name", ["hopper/random", "cartpole/random", "pendulum/random"])
@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_the_three_storages_hold_the_same(tmp_path: Path, name: str, form: str):
    """Arrow and Parquet give the vault that HDF5 gives: same leaves, rows, final rows and facts."""
    pytest.importorskip("pyarrow", reason="pyarrow reads Arrow and Parquet")
    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    convert(SAMPLES / f"{name}-hdf5-v0", tmp_path / "a")
    convert(SAMPLES / f"{name}-{form}-v0", tmp_path / "b")
    with Vault.open(tmp_path / "a") as one, Vault.open(tmp_path / "b") as other:
        assert one.card["check"] == other.card["check"]
        assert [e.attributes for e in one] == [e.attributes for e in other]
