"""Trajectories of imitation and Stable Baselines, and plain `.npz` files: no pickle, nothing lost."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from strongbax.converters import convert, imitation, npz_rows, plain_npz, stable_baselines
from strongbax.converters.exporting import export
from strongbax.converters.formats import find_format
from strongbax.vault.episodes import Episode
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault

LENGTHS = (3, 0, 1, 4)


def save(path: Path, made: dict[str, Any]) -> Path:
    np.savez_compressed(path, **made)
    return path


def theirs(lengths: tuple[int, ...] = LENGTHS) -> dict[str, Any]:
    """Four trajectories as imitation saves them, the second without a step, the last a fragment."""
    rng = np.random.default_rng(5)
    n = sum(lengths)
    infos = np.array([{"step": i} for i in range(n)], object)
    return {
        "obs": rng.normal(size=(n + len(lengths), 3)),
        "acts": rng.integers(0, 4, n),
        "rews": rng.normal(size=n).astype(np.float32),
        "infos": infos,
        "terminal": np.array([True, True, True, False]),
        "indices": np.cumsum(lengths)[:-1],
    }


def test_imitations_trajectories_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every observation, the last ones too, arrives; pickled infos are named and never loaded."""
    monkeypatch.setattr(npz_rows, "READ_BYTES", 50)
    made = theirs()
    path = save(tmp_path / "demos.npz", made)
    assert find_format(None, path).name == "imitation"
    convert(path, tmp_path / "v")
    states = np.split(made["obs"], made["indices"] + np.arange(3) + 1)  # as imitation itself parts them
    actions = np.split(made["acts"], made["indices"])
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == list(LENGTHS)
        assert vault.episodes["terminated"].tolist() == [True, True, True, False]
        for episode, obs, acts in zip(vault, states, actions, strict=True):
            whole = np.concatenate([episode.steps["observation"], episode.final["observation"][None]])
            np.testing.assert_array_equal(whole, obs, strict=True)
            np.testing.assert_array_equal(episode.steps["action"], acts, strict=True)
        rewards = vault.read_numpy(leaves=["reward"])["reward"][0]
        np.testing.assert_array_equal(rewards, made["rews"], strict=True)
        assert vault.card["provenance"]["source"]["left_out"] == {"infos": "a pickle, which is never loaded"}
    convert(path, tmp_path / "w", horizon=1)
    with Vault.open(tmp_path / "w") as vault:
        assert vault.episodes["truncated"].tolist() == [False, False, True, False]
        assert vault.episodes["terminated"].tolist() == [True, True, False, False]


@pytest.mark.parametrize("key", imitation.REQUIRED)
def test_imitations_bad_files_are_told(tmp_path: Path, key: str):
    """Missing and short keys are named, and nothing is left."""
    made = theirs()
    without = save(tmp_path / "a.npz", {k: v for k, v in made.items() if k != key})
    with pytest.raises(FormatError, match=rf"a\.npz has no `{key}`"):
        convert(without, tmp_path / "v", format="imitation")
    short = save(tmp_path / "b.npz", made | {key: made[key][:-1]})
    with pytest.raises(FormatError, match=r"`indices` of .*b\.npz makes|`obs`"):
        convert(short, tmp_path / "v", format="imitation")
    assert not (tmp_path / "v").exists()
    with pytest.raises(ValueError, match="`horizon` must be"):
        imitation.read(short, horizon=0)


@pytest.mark.parametrize("finished", [3, 2])
def test_stable_baselines_episodes_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: int):
    """Episodes end before the next one's start; the last one only if its return was recorded."""
    monkeypatch.setattr(npz_rows, "READ_BYTES", 40)
    rng = np.random.default_rng(6)
    made = {
        "obs": rng.normal(size=(9, 2)),
        "actions": rng.normal(size=(9, 1)).astype(np.float32),
        "rewards": rng.normal(size=(9, 1)),
        "episode_starts": np.isin(np.arange(9), [0, 4, 5]),
        "episode_returns": np.arange(finished, dtype=np.float64),
    }
    path = save(tmp_path / "expert.npz", made)
    assert find_format(None, path).name == "stable_baselines"
    convert(path, tmp_path / "v", horizon=4)
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == [4, 1, 4]
        assert vault.episodes["terminated"].tolist() == [False, True, False]
        assert vault.episodes["truncated"].tolist() == [True, False, finished == 3]
        rows = {name: values[0] for name, values in vault.read_numpy(leaves=vault.leaves).items()}
        for key, leaf in stable_baselines.LEAVES.items():
            values = made[key][:, 0] if key == "rewards" else made[key]
            np.testing.assert_array_equal(rows[leaf], values, strict=True)
    with pytest.raises(FormatError, match=r"`episode_starts` of .* has 8 rows where `obs` has 9"):
        stable_baselines.read(save(tmp_path / "b.npz", made | {"episode_starts": made["episode_starts"][1:]}))
    with pytest.raises(FormatError, match="has no `actions`"):
        stable_baselines.read(save(tmp_path / "c.npz", {k: v for k, v in made.items() if k != "actions"}))
    with pytest.raises(FormatError, match=r"`episode_starts` of .* must be 0 or 1"):
        stable_baselines.read(save(tmp_path / "d.npz", made | {"episode_starts": np.full(9, 3)}))


def write_vault(path: Path, **more: Any) -> None:
    step = {
        "observation": {"pixels": np.zeros((2, 2), np.uint8), "goal": np.float64(0)},
        "reward": np.float32(0),
        "text": np.zeros((), "U4"),
        "flag": np.bool_(0),
        "big": np.int64(0),
        **more,
    }
    attributes = {"task": "öffnen", "nested": {"a": [1, None]}}
    with Vault.create(path, steps=step, columns={"seed": np.int32}, attributes=attributes) as vault:
        for number, length in enumerate(LENGTHS):
            rng = np.random.default_rng(number)
            steps = {
                "observation": {
                    "pixels": rng.integers(0, 255, (length, 2, 2)).astype(np.uint8),
                    "goal": rng.normal(size=length),
                },
                "reward": np.full(length, np.nan if number == 0 else 2, np.float32),
                "text": np.full(length, "ß" * 4),
                "flag": np.arange(length) % 2 == 0,
                "big": np.full(length, 2**60),
                **{name: np.zeros((length, *np.shape(v)), np.asarray(v).dtype) for name, v in more.items()},
            }
            final = {"pixels": np.full((2, 2), 7, np.uint8), "goal": np.float64(-1)}
            vault.append(
                Episode(
                    steps,
                    final={"observation": final} if number % 2 else None,
                    terminated=number == 0,
                    truncated=number == 2,
                    columns={"seed": number},
                    attributes={"id": "ä" * number},
                )
            )


@pytest.mark.parametrize("compressed", [True, False])
def test_a_plain_file_holds_the_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressed: bool):
    """What goes out as plain arrays comes in again as the same vault, and NumPy reads every key."""
    monkeypatch.setattr(npz_rows, "READ_BYTES", 100)
    write_vault(tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert export(vault, tmp_path / "o.npz", "npz", compressed=compressed).notes == ()
        with np.load(tmp_path / "o.npz", allow_pickle=False) as found:
            for name, values in vault.read_numpy(leaves=vault.leaves).items():
                np.testing.assert_array_equal(found[name], values[0], strict=True)
            assert found["episode/length"].tolist() == list(LENGTHS)
        assert find_format(None, tmp_path / "o.npz").name == "npz"
        convert(tmp_path / "o.npz", tmp_path / "again")
        with Vault.open(tmp_path / "again") as again:
            assert again.attributes == vault.attributes
            assert again.schema.leaves == vault.schema.leaves
            assert again.schema.finals == vault.schema.finals
            for name in vault.episodes:
                np.testing.assert_array_equal(again.episodes[name], vault.episodes[name], strict=True)
            for one, other in zip(again, vault, strict=True):
                assert one.attributes == other.attributes
                np.testing.assert_array_equal(one.steps["big"], other.steps["big"], strict=True)
                assert (one.final is None) == (other.final is None)
    assert not (tmp_path / "o.npz.vault").exists()


def test_plain_files_that_do_not_fit_are_told(tmp_path: Path):
    """Actions that NumPy cannot save, leaves that are named as the table is, and files written by halves."""
    write_vault(tmp_path / "bf", action=ml_dtypes.bfloat16(0))
    write_vault(tmp_path / "taken", attributes=np.float32(0))
    for name, said in [("bf", "`action` is bfloat16"), ("taken", r"\['attributes'\] are named as")]:
        with Vault.open(tmp_path / name) as vault, pytest.raises(ValueError, match=said):
            export(vault, tmp_path / "o.npz", "npz")
    assert not (tmp_path / "o.npz").exists()
    write_vault(tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "o.npz", "npz")
    with np.load(tmp_path / "o.npz") as found:
        made = dict(found)
    short = save(tmp_path / "a.npz", made | {"episode/length": np.array([1, 1, 1, 1])})
    with pytest.raises(FormatError, match=r"`episode/length` of .* must add up to the 8 rows"):
        convert(short, tmp_path / "w")
    with pytest.raises(FormatError, match="has no `episode/length`"):
        plain_npz.read(save(tmp_path / "b.npz", {k: v for k, v in made.items() if k != "episode/length"}))
    with pytest.raises(FormatError, match="has 8 rows where `big` has 7"):
        plain_npz.read(save(tmp_path / "c.npz", made | {"big": made["big"][1:]}))


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_imitation_loads_the_same(tmp_path: Path):
    """imitation's own loader parts the file as we do."""
    serialize = pytest.importorskip("imitation.data.serialize", reason="imitation is not installed")
    path = save(tmp_path / "demos.npz", theirs((3, 2, 1, 4)))  # its loader refuses trajectories without steps
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        for episode, trajectory in zip(vault, serialize.load(path), strict=True):
            whole = np.concatenate([episode.steps["observation"], episode.final["observation"][None]])
            np.testing.assert_array_equal(whole, trajectory.obs)
            np.testing.assert_array_equal(episode.steps["reward"], trajectory.rews)
            assert episode.terminated == trajectory.terminal
