"""robomimic's files, in and out, and robosuite's raw ones, in."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import robomimic_files as made
from strongbax.converters import convert, export
from strongbax.converters.formats import find_format
from strongbax.vault.episodes import Episode
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault

SAMPLE = Path(__file__).parents[2] / "../shared/samples/robomimic/low_dim.hdf5"


ODD = {
    "options": {"level": 1},
    "none": None,
    "words": ["a", "ö"],
    "mixed": [1, "a"],
    "big": 2**80,
    "text": "ö",
}


def same(one, other):
    np.testing.assert_array_equal(one, other, strict=True)


def test_a_file_arrives_whole(tmp_path: Path):
    """Every dataset, attribute and filter stands in the vault, the demonstrations by their numbers."""
    src = made.write(tmp_path / "demos.hdf5", made.demos())
    assert find_format(None, src).name == "robomimic"
    report = convert(src, tmp_path / "v")
    assert (report.num_steps, report.num_episodes) == (8, 3)
    with Vault.open(tmp_path / "v") as vault:
        assert vault.attributes["robomimic"]["env_args"] == made.ENV
        assert vault.episodes["mask_train"].tolist() == [True, False, True]
        assert vault.episodes["mask_valid"].tolist() == [False, True, False]
        for episode, (name, one) in zip(vault, made.demos().items(), strict=True):
            assert episode.attributes["demo"] == name
            assert len(episode.attributes["model_file"]) > 40_000
            same(episode.steps["action"], one["actions"])
            same(episode.steps["actions_abs"], one["actions_abs"])
            same(episode.steps["states"], one["states"])
            same(episode.steps["terminated"], one["dones"] != 0)
            assert episode.terminated
            for key in ("eef", "img"):
                same(episode.steps["observation"][key], one[f"obs/{key}"])
                same(episode.final["observation"][key], one[f"next_obs/{key}"][-1])
        assert vault.verify().ok


@pytest.mark.parametrize(
    "change", [None, "next_obs differ", "no next_obs", "no rewards and dones", "float32 dones"]
)
def test_a_file_comes_back_to_the_bit(tmp_path: Path, change: str | None):
    """Out of the vault come the groups, dtypes, attributes and filters that went in."""
    demos = made.demos()
    for one in demos.values():
        if change == "next_obs differ":
            one["next_obs/eef"] = one["next_obs/eef"] + 1
        elif change == "no next_obs":
            del one["next_obs/eef"], one["next_obs/img"]
        elif change == "no rewards and dones":
            del one["rewards"], one["dones"]
        elif change == "float32 dones":
            one["dones"] = one["dones"].astype(np.float32)
    src = made.write(tmp_path / "demos.hdf5", demos)
    report = convert(src, tmp_path / "v")
    assert bool(report.notes) == (change == "next_obs differ")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "out.hdf5", "robomimic")
    before, after = made.contents_of(src), made.contents_of(tmp_path / "out.hdf5")
    if change == "no rewards and dones":  # whether a demonstration ended is then written
        after = {key: value for key, value in after.items() if not key.endswith("/dones")}
    assert after == before


def test_a_raw_recording_arrives(tmp_path: Path):
    """States and actions of robosuite's own files are kept; they have no observations, and that is said."""
    src = made.write(tmp_path / "demo.hdf5", made.raw_demos(), raw=True)
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.leaves == ("action", "states")
        assert vault.attributes["robomimic"]["repository_version"] == "1.4.1"
        assert "no observations" in vault.card["provenance"]["source"]["remarks"][0]
        for episode, one in zip(vault, made.raw_demos().values(), strict=True):
            same(episode.steps["states"], one["states"])
            assert (bool(episode.terminated), bool(episode.truncated)) == (False, True)


def test_a_training_vault_becomes_demonstrations(tmp_path: Path):
    """One observation array becomes `flat`, ends and unknown final rows are kept, and losses are said."""
    step = {
        "obs": np.zeros(3, np.float32),
        "action": np.zeros((), np.int64),
        "reward": np.zeros((), np.float32),
        "terminated": np.zeros((), np.bool_),
    }
    with Vault.create(tmp_path / "v", steps=step, finals=["obs"], columns={"seed": np.int64}) as vault:
        for number, length in enumerate([2, 1, 3]):
            rows = {n: np.full((length, *v.shape), number, v.dtype) for n, v in step.items()}
            rows["terminated"] = (np.arange(length) == length - 1) & (number == 0)
            final = np.full(3, 9, np.float32) if number != 1 else None
            ends = {"terminated": number == 0, "truncated": number == 1}
            vault.append(Episode(rows, final=final, columns={"seed": number}, attributes=ODD, **ends))
        report = export(vault, tmp_path / "out.hdf5", "robomimic", env_args={"env_name": "Toy", "type": 2})
    notes = " ".join(report.notes)
    for said in (
        "stands as `obs/flat`",
        "Of 1 episodes `dones` says less",
        "columns ['seed']",
        "Of 1 episodes it is",
    ):
        assert said in notes
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert json.loads(file["data"].attrs["env_args"])["env_name"] == "Toy"
        assert file["data"].attrs["total"] == 6
        assert file["data/demo_0/dones"][:].tolist() == [0, 1]
        same(file["data/demo_2/next_obs/flat"][-1], np.full(3, 9, np.float32))
    convert(tmp_path / "out.hdf5", tmp_path / "w")
    with Vault.open(tmp_path / "w") as again:
        assert [episode.final is None for episode in again] == [False, True, False]
        assert again[2].attributes == {"demo": "demo_2"} | ODD


def break_it(file, what):
    demo = file["data/demo_2"]
    if what == "cut":
        rows = demo["states"][:-1]
        del demo["states"]
        demo["states"] = rows
    elif what == "samples":
        demo.attrs["num_samples"] = 9
    elif what == "renamed":
        demo.move("actions", "acts")
    elif what == "text":
        demo["note"] = ["a"]
    elif what == "dones":
        demo["dones"][...] = 2
    elif what == "missing":
        del demo["obs/eef"], demo["next_obs/eef"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "cut",
            r"`states` of `data/demo_2` in .*demos\.hdf5 has 0 rows where `actions` has 1.*skip=\('states',",
        ),
        ("samples", r"`data/demo_2` of .* has 1 actions; `num_samples` says 9"),
        ("renamed", r"`data/demo_2` of .* has no `actions`; it has \['actions_abs', 'acts'"),
        ("text", r"`note` of `data/demo_2` in .* must hold numbers"),
        ("dones", r"`dones` of `data/demo_2` in .* must be 0 or 1"),
        ("missing", r"Episode 1 has no observation/eef; the first has "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, what: str, said: str):
    """A broken demonstration is told by its name and key, and nothing is left behind."""
    src = made.write(tmp_path / "demos.hdf5", made.demos())
    with h5py.File(src, "a") as file:
        break_it(file, what)
    with pytest.raises(FormatError, match=said):
        convert(src, tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_leaves_can_be_left_out(tmp_path: Path):
    """`skip` leaves out a group or one observation, with its successor."""
    src = made.write(tmp_path / "demos.hdf5", made.demos())
    convert(src, tmp_path / "v", skip=("states", "actions_abs", "observation/img"))
    with Vault.open(tmp_path / "v") as vault:
        assert vault.leaves == ("action", "observation/eef", "reward", "terminated")
        assert vault.episodes["final_known"].all()


def test_the_recorded_sample_comes_back(tmp_path: Path):
    """A file that robomimic reads is, after a vault, what it was."""
    if not SAMPLE.is_file():
        pytest.skip("the recorded samples are not beside this checkout")
    convert(SAMPLE, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "out.hdf5", "robomimic")
    assert made.contents_of(tmp_path / "out.hdf5") == made.contents_of(SAMPLE)
