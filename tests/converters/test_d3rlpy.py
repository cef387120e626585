"""d3rlpy's files: version 2.1 in and out, version 1 in."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from strongbax.converters import convert, export
from strongbax.converters.formats import find_format
from strongbax.vault.episodes import Episode
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault

SAMPLES = Path(__file__).parents[2] / "../shared/samples/d3rlpy"
LENGTHS = (3, 1, 4)


def episodes(*, tuples=False):
    rng = np.random.default_rng(1)
    for number, n in enumerate(LENGTHS):
        rows = {"": rng.normal(size=(n, 2)).astype(np.float32)}
        if tuples:
            rows = {"_0": rows[""], "_1": rng.integers(0, 256, (n, 1, 3, 3)).astype(np.uint8)}
        yield {f"observations_{number}{part}": values for part, values in rows.items()} | {
            f"actions_{number}": rng.integers(0, 4, (n, 1)),
            f"rewards_{number}": rng.normal(size=(n, 1)).astype(np.float32),
            f"terminated_{number}": np.bool_(number % 2),
        }


def write(path: Path, *, tuples: bool = False) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("columns", data=["observations", "actions", "rewards", "terminated"])
        file.create_dataset("num_episodes", data=len(LENGTHS))
        for episode in episodes(tuples=tuples):
            for key, values in episode.items():
                file.create_dataset(key, data=values)
        file.create_dataset("version", data="2.1")
    return path


def write_old(path: Path, **more) -> Path:
    rng = np.random.default_rng(2)
    made = {
        "observations": rng.integers(0, 256, (9, 1, 4, 4)).astype(np.uint8),
        "actions": rng.integers(0, 3, 9).astype(np.int32),
        "rewards": rng.normal(size=(9, 1)).astype(np.float32),
        "terminals": np.isin(np.arange(9), [2]).astype(np.float32),
        "episode_terminals": np.isin(np.arange(9), [2, 6]).astype(np.float32),
        "discrete_action": np.bool_(True),
        "version": "1.0",
    } | more
    with h5py.File(path, "w") as file:
        for key, values in made.items():
            if values is not None:
                file.create_dataset(key, data=values)
    return path


def contents_of(path: Path) -> dict:
    with h5py.File(path) as file:
        nodes = {key: (node, np.asarray(node[()])) for key, node in file.items()}
        return {
            key: (node.dtype, node.shape, values.tolist() if values.dtype == object else values.tobytes())
            for key, (node, values) in nodes.items()
        }


@pytest.mark.parametrize("tuples", [True, False])
def test_version_2_arrives_and_comes_back_to_the_bit(tmp_path: Path, tuples: bool):
    """Every array stands in the vault, no final row is invented, and out comes the file that went in."""
    src = write(tmp_path / "buffer.h5", tuples=tuples)
    assert find_format(None, src).name == "d3rlpy"
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert not vault.episodes["final_known"].any()
        for number, (episode, one) in enumerate(zip(vault, episodes(tuples=tuples), strict=True)):
            seen = episode.steps["observation"]
            for part in ("0", "1") if tuples else ():
                np.testing.assert_array_equal(seen[part], one[f"observations_{number}_{part}"], strict=True)
            if not tuples:
                np.testing.assert_array_equal(seen, one[f"observations_{number}"], strict=True)
            np.testing.assert_array_equal(episode.steps["action"], one[f"actions_{number}"], strict=True)
            np.testing.assert_array_equal(
                episode.steps["reward"], one[f"rewards_{number}"][:, 0], strict=True
            )
            ended = bool(number % 2)
            assert (bool(episode.terminated), bool(episode.truncated)) == (ended, not ended)
            assert episode.steps["terminated"][-1] == ended
        report = export(vault, tmp_path / "out.h5", "d3rlpy")
    assert report.notes == ()
    assert contents_of(tmp_path / "out.h5") == contents_of(src)


@pytest.mark.parametrize("timeouts", [True, False])
def test_version_1_arrives(tmp_path: Path, timeouts: bool):
    """Rows are cut where either flag is set; what follows the last end is kept, as a cut episode."""
    src = write_old(tmp_path / "old.h5", **({} if timeouts else {"episode_terminals": None}))
    assert find_format(None, src).name == "d3rlpy"
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        table = vault.episodes
        assert table["length"].tolist() == ([3, 4, 2] if timeouts else [3, 6])
        assert table["terminated"].tolist() == ([True, False, False] if timeouts else [True, False])
        assert table["truncated"].tolist() == ([False, True, False] if timeouts else [False, False])
        assert vault.attributes["d3rlpy"] == {"discrete_action": True, "version": "1.0"}
        with h5py.File(src) as file:
            rows = vault.read_numpy(leaves=vault.leaves)
            np.testing.assert_array_equal(rows["observation"][0], file["observations"][:], strict=True)
            np.testing.assert_array_equal(rows["reward"][0], file["rewards"][:, 0], strict=True)
            np.testing.assert_array_equal(rows["action"][0], file["actions"][:], strict=True)


def test_a_training_vault_becomes_a_buffer(tmp_path: Path):
    """Groups become tuples, whole numbers get an axis, and what is lost is said."""
    step = {
        "observation": {"b": np.zeros(2), "a": np.zeros((), np.float32)},
        "action": np.zeros((), np.int64),
        "reward": np.zeros(()),
        "terminated": np.zeros((), np.bool_),
        "cost": np.zeros(()),
    }
    rows = {
        "observation": {"b": np.ones((3, 2)), "a": np.zeros(3, np.float32)},
        "action": np.arange(3),
        "reward": np.ones(3),
        "terminated": np.array([False, False, True]),
        "cost": np.ones(3),
    }
    with Vault.create(tmp_path / "v", steps=step) as vault:
        vault.append(
            Episode(
                rows, final={"observation": {"b": np.ones(2), "a": np.float32(0)}}, attributes={"seed": 1}
            )
        )
        vault.append(Episode(rows | {"terminated": np.zeros(3, np.bool_)}, terminated=False, truncated=False))
        notes = " ".join(export(vault, tmp_path / "out.h5", "d3rlpy").notes)
    for said in (
        "'observation/a': 'observation/0'",
        "['cost'] are left out",
        "final rows of 1",
        "1 episodes were cut",
    ):
        assert said in notes
    assert "The attributes of episodes are left out" in notes
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["actions_0"].shape == (3, 1)
        assert file["observations_1_1"].shape == (3, 2)
        assert [bool(file[f"terminated_{row}"][()]) for row in range(2)] == [True, False]


def break_it(file, what):
    if what == "missing":
        del file["actions_1"]
    elif what == "short":
        rows = file["observations_2"][:-1]
        del file["observations_2"]
        file["observations_2"] = rows
    elif what == "flag":
        file["terminated_0"][...] = False
        del file["terminated_0"]
        file["terminated_0"] = 3
    elif what in ("2.0", "9"):
        del file["version"]
        file["version"] = what
    elif what == "none":
        file["num_episodes"][...] = 0


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("missing", r"buffer\.h5 has no `actions_1`; it speaks of 3 episodes"),
        ("short", r"`observations_2` of .* has shape \(3, 2\), not 4 rows"),
        ("flag", r"`terminated_0` of .* must be one flag: got 3"),
        ("2.0", r"has version '2\.0'; 2\.1 and later are read"),
        ("9", r"has version '9'"),
        ("none", r"has no episodes"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, what: str, said: str):
    """A broken file is told by its key, and nothing is left behind."""
    src = write(tmp_path / "buffer.h5")
    with h5py.File(src, "a") as file:
        break_it(file, what)
    with pytest.raises(FormatError, match=said):
        convert(src, tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_what_is_wrong_with_version_1_is_named(tmp_path: Path):
    """Lengths that disagree, flags that are none and missing keys are told."""
    with pytest.raises(FormatError, match=r"`actions` of .* has 4 rows where `rewards` has 9"):
        convert(write_old(tmp_path / "a.h5", actions=np.zeros(4)), tmp_path / "v")
    with pytest.raises(FormatError, match=r"`terminals` of .* must be 0 or 1"):
        convert(write_old(tmp_path / "b.h5", terminals=np.full(9, 0.5)), tmp_path / "v")
    with pytest.raises(FormatError, match=r"has no `observations`"):
        convert(write_old(tmp_path / "c.h5", observations=None), tmp_path / "v")


@pytest.mark.parametrize("name", ["cartpole_random", "pendulum_random", "tuple_obs"])
def test_what_d3rlpy_dumped_comes_back(tmp_path: Path, name: str):
    """d3rlpy's own files come back to the bit, and hold the episodes that d3rlpy counts."""
    src = SAMPLES / f"{name}.h5"
    if not src.is_file():
        pytest.skip("the recorded sample is not beside this checkout")
    golden = json.loads((SAMPLES / "golden.json").read_text())[src.name]
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        table = vault.episodes
        assert table["length"].tolist() == golden["sizes"]
        assert table["terminated"].tolist() == golden["terminated"]
        assert int((table["length"] - table["truncated"]).sum()) == golden["transitions"]
        export(vault, tmp_path / "out.h5", "d3rlpy")
    assert contents_of(tmp_path / "out.h5") == contents_of(src)
