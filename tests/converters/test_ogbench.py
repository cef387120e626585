"""OGBench's files: final states are no steps, and the files come back to the bit."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strongbax.converters import convert, npz_rows, ogbench
from strongbax.converters.exporting import export
from strongbax.converters.formats import find_format
from strongbax.vault.episodes import Episode
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault

SAMPLES = Path(__file__).parents[2] / "../shared/samples/ogbench"


def arrays(lengths=(4, 1, 2, 7), *, pixels: bool = False, tail: int = 0, seed: int = 0) -> dict[str, Any]:
    """Trajectories of so many rows, the final state included; `tail` rows behind them have no end."""
    rng = np.random.default_rng(seed)
    n = sum(lengths) + tail
    ends = np.isin(np.arange(n), np.cumsum(lengths) - 1)
    if pixels:  # powderworld's: no positions, integers, flags as int32
        return {
            "observations": rng.integers(0, 255, (n, 4, 4, 6)).astype(np.uint8),
            "actions": rng.integers(0, 9, (n, 1)).astype(np.int32),
            "terminals": ends.astype(np.int32),
        }
    return {
        "observations": rng.normal(size=(n, 3)).astype(np.float32),
        "actions": rng.normal(size=(n, 2)).astype(np.float32),
        "terminals": ends,
        "button_states": rng.integers(0, 2, (n, 4)),
        "qpos": rng.normal(size=(n, 5)).astype(np.float32),
        "qvel": rng.normal(size=(n, 5)).astype(np.float32),
    }


def save(path: Path, made: dict[str, Any]) -> Path:
    np.savez_compressed(path, **made)
    return path


def same_files(one: Path, other: Path) -> None:
    with np.load(one) as a, np.load(other) as b:
        assert set(a.files) == set(b.files)
        for key in a.files:
            np.testing.assert_array_equal(a[key], b[key], strict=True)


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("tail", [0, 3])
def test_a_file_comes_back_to_the_bit(tmp_path: Path, pixels: bool, tail: int):
    """Every row and dtype, junk actions of final states too, is the same after the way there and back."""
    made = arrays(pixels=pixels, tail=tail)
    path = save(tmp_path / "some-v0.npz", made)
    assert find_format(None, path).name == "ogbench"
    report = convert(path, tmp_path / "v")
    assert (report.num_steps, report.num_episodes) == (10 + tail, 4 + (tail > 0))
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == [3, 0, 1, 6, *[tail] * (tail > 0)]
        assert vault.episodes["truncated"].tolist() == [True] * 4 + [False] * (tail > 0)
        assert not vault.episodes["terminated"].any()
        assert not vault.episodes["validation"].any()
        first = vault[0]
        np.testing.assert_array_equal(first.steps["observation"], made["observations"][:3], strict=True)
        np.testing.assert_array_equal(first.final["observation"], made["observations"][3], strict=True)
        np.testing.assert_array_equal(first.steps["truncated"], [False, False, True])
        if not pixels:
            np.testing.assert_array_equal(first.final["infos"]["qpos"], made["qpos"][3], strict=True)
            assert first.steps["infos"]["button_states"].dtype == np.int64
        done = export(vault, tmp_path / "back.npz", "ogbench")
    assert done.notes == ()
    same_files(path, tmp_path / "back.npz")


def test_a_folder_of_a_pair_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Training and validation files, in shards, are one vault whose column tells them apart."""
    monkeypatch.setattr(npz_rows, "READ_BYTES", 200)
    (tmp_path / "in").mkdir()
    for number, name in enumerate(["a-v0-000", "a-v0-001", "a-v0-000-val"]):
        save(tmp_path / "in" / f"{name}.npz", arrays(seed=number))
    convert(tmp_path / "in", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["validation"].tolist() == [False] * 8 + [True] * 4
        files = vault.card["provenance"]["source"]["files"]
        assert files == ["a-v0-000.npz", "a-v0-001.npz", "a-v0-000-val.npz"]
        np.testing.assert_array_equal(vault[8].steps["observation"], arrays(seed=2)["observations"][:3])
        export(vault, tmp_path / "out", "ogbench", name="a-v0")
        only = vault.filter(lambda table: table["validation"])
        notes = export(only, tmp_path / "val.npz", "ogbench").notes
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a-v0-val.npz", "a-v0.npz"]
    same_files(tmp_path / "in/a-v0-000-val.npz", tmp_path / "out/a-v0-val.npz")
    same_files(tmp_path / "in/a-v0-000-val.npz", tmp_path / "val.npz")
    assert len(notes) == 1
    assert "-val.npz" in notes[0]


def test_what_cannot_be_held_is_said(tmp_path: Path):
    """Rewards, ends of tasks, unknown final rows, attributes: each is named, and the rest is whole."""
    step = {"observation": np.zeros(2, np.float32), "action": np.float32(0), "reward": np.float64(0)}
    with Vault.create(tmp_path / "v", steps=step | {"terminated": np.bool_(0)}) as vault:
        for known in (True, False):
            steps = {n: np.ones((3, *np.shape(v)), np.asarray(v).dtype) for n, v in step.items()}
            vault.append(
                Episode(
                    steps | {"terminated": np.arange(3) == 2},
                    final={"observation": np.full(2, 5.0, np.float32)} if known else None,
                    attributes={"task": "ö"},
                )
            )
        notes = " ".join(export(vault, tmp_path / "o.npz", "ogbench").notes)
    for said in (
        "`reward`",
        "2 episodes terminated",
        "The final row of 1 episodes",
        "attributes",
        "no final rows",
    ):
        assert said in notes
    with np.load(tmp_path / "o.npz") as found:
        assert found["terminals"].tolist() == [0, 0, 0, 1, 0, 0, 1]
        assert found["observations"][3].tolist() == [5.0, 5.0]
        assert found["actions"].tolist() == [1, 1, 1, 0, 1, 1, 1]


def test_a_vault_without_actions_is_refused(tmp_path: Path):
    """What OGBench must have and the vault has not is named, and nothing is left."""
    with Vault.create(tmp_path / "v", steps={"observation": np.float32(0)}) as vault:
        vault.append(Episode({"observation": np.ones(2, np.float32)}, truncated=True))
        with pytest.raises(ValueError, match="no leaf `action`"):
            export(vault, tmp_path / "o.npz", "ogbench")
    assert [entry.name for entry in tmp_path.iterdir()] == ["v"]


@pytest.mark.parametrize("key", ["observations", "actions", "terminals"])
def test_bad_files_are_told(tmp_path: Path, key: str):
    """A missing key, rows that disagree and flags that are none are named; nothing is left at the place."""
    made = arrays()
    bad = {k: v for k, v in made.items() if k != key}
    with pytest.raises(FormatError, match=f"missing.npz has no `{key}`"):
        convert(save(tmp_path / "missing.npz", bad), tmp_path / "v", format="ogbench")
    bad = made | {key: made[key][:-1]}
    with pytest.raises(FormatError, match=r"has 1[34] rows where `observations` has 1[34]"):
        convert(save(tmp_path / "short.npz", bad), tmp_path / "v", format="ogbench")
    bad = made | {"terminals": np.full(14, 0.5)}
    with pytest.raises(FormatError, match=r"`terminals` of .* must be 0 or 1 in every row: row 0 is 0.5"):
        convert(save(tmp_path / "flags.npz", bad), tmp_path / "v", format="ogbench")
    assert not (tmp_path / "v").exists()


def test_folders_of_several_datasets_are_refused(tmp_path: Path):
    """Files of two datasets, or of two shapes, are not run together."""
    save(tmp_path / "a-v0.npz", arrays())
    save(tmp_path / "b-v0.npz", arrays())
    with pytest.raises(FormatError, match=r"those of \['a-v0', 'b-v0'\]"):
        ogbench.read(tmp_path)
    (tmp_path / "b-v0.npz").unlink()
    save(tmp_path / "a-v0-val.npz", arrays() | {"qpos": np.zeros((14, 9), np.float32)})
    with pytest.raises(FormatError, match=r"\['infos/qpos'\] of .*a-v0-val\.npz are not"):
        ogbench.read(tmp_path)


def digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("name", ["cube-single-play-v0", "pointmaze-medium-navigate-v0-val"])
def test_the_vault_gives_what_ogbench_loads(tmp_path: Path, name: str):
    """Its own loader's arrays, regular and compact, are those that the vault's episodes make."""
    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    golden = json.loads((SAMPLES / "golden.json").read_text())[f"data/{name}.npz"]
    convert(SAMPLES / f"{name}.npz", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        episodes = list(vault)
        export(vault, tmp_path / "back.npz", "ogbench")
    same_files(SAMPLES / f"{name}.npz", tmp_path / "back.npz")

    def steps(of) -> np.ndarray:
        return np.concatenate([of(one) for one in episodes])

    def following(one: Episode) -> np.ndarray:
        return np.concatenate([one.steps["observation"][1:], one.final["observation"][None]])

    regular = {
        "observations": steps(lambda one: one.steps["observation"]),
        "actions": steps(lambda one: one.steps["action"]),
        "next_observations": steps(following),
        "terminals": steps(lambda one: one.steps["truncated"]).astype(np.float32),
        "qpos": steps(lambda one: one.steps["infos"]["qpos"]),
        "qvel": steps(lambda one: one.steps["infos"]["qvel"]),
    }
    for key, expected in golden["regular_info"].items():
        assert digest(regular[key]) == expected["sha256"], key

    def states(leaf: str) -> np.ndarray:
        return steps(lambda one: np.concatenate([one.steps[leaf], one.final[leaf][None]]))

    ends = steps(lambda one: np.append(one.steps["truncated"], True)).astype(np.float32)
    compact = {
        "observations": states("observation"),
        "actions": states("action"),
        "terminals": ends,
        "valids": 1 - steps(lambda one: np.arange(one.length + 1) == one.length).astype(np.float32),
    }
    for key, expected in golden["compact"].items():
        assert digest(compact[key]) == expected["sha256"], key


@pytest.mark.heavy
def test_ogbench_loads_what_is_written(tmp_path: Path):
    """Its own loader gives the same arrays of a file and of what came back of it."""
    utils = pytest.importorskip("ogbench.utils", reason="ogbench is not installed")
    path = save(tmp_path / "some-v0.npz", arrays(lengths=(4, 2, 7)))
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "back-v0.npz", "ogbench")
    for compact in (False, True):
        one, other = (
            utils.load_dataset(str(file), compact_dataset=compact, add_info=True)
            for file in (path, tmp_path / "back-v0.npz")
        )
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], strict=True)
