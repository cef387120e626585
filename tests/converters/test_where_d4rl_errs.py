"""Where D4RL's own loaders err we do not: the fault seen in theirs, and not in the vault.

Theirs are `d4rl.qlearning_dataset` and `d4rl.sequence_dataset` themselves where D4RL is installed
(`make peers`), and `qlearning` and `sequences` too, which give the same numbers.
"""

import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from d4rl_files import columns, policy, write
from strongbax.converters import attached, convert, qlearning, sequences
from strongbax.vault.vault import Vault

HORIZON = 10


@dataclass(frozen=True)
class Loaders:
    """D4RL's two functions, on a file of an environment of `HORIZON` steps."""

    transitions: Callable[..., dict[str, Any]]
    episodes: Callable[[Path], list[dict[str, Any]]]


@pytest.fixture(params=["reproduced", pytest.param("genuine", marks=pytest.mark.heavy)])
def theirs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loaders:
    if request.param == "reproduced":
        return Loaders(
            lambda path, terminate=False: qlearning(path, terminate, horizon=HORIZON),
            lambda path: list(sequences(path, horizon=HORIZON)),
        )
    d4rl = genuine(tmp_path, monkeypatch)

    def env(path: Path) -> Any:
        made = d4rl.offline_env.OfflineEnv()
        with h5py.File(path) as file:
            for name, key in (("observation_space", "observations"), ("action_space", "actions")):
                setattr(made, name, types.SimpleNamespace(shape=file[key].shape[1:]))
        made._max_episode_steps = HORIZON
        return made

    return Loaders(
        lambda path, terminate=False: d4rl.qlearning_dataset(
            env(path), terminate_on_end=terminate, h5path=path
        ),
        lambda path: list(d4rl.sequence_dataset(env(path), h5path=path)),
    )


def genuine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """D4RL, which warns of the environments that it cannot make, and makes a folder while it is imported."""
    import warnings

    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    monkeypatch.setenv("D4RL_SUPPRESS_IMPORT_ERROR", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("d4rl", reason="needs d4rl and gym: `make peers`", exc_type=ImportError)


def vault_of(path: Path, **options: Any) -> Vault:
    convert(path, path.with_suffix(".vault"), **options)
    return Vault.open(path.with_suffix(".vault"))


def test_no_row_is_lost(tmp_path: Path, theirs: Loaders):
    """D4RL's transitions lack the last row, its episodes all rows after the last end; the vault has all."""
    made = columns(50, terminals=(9, 30), timeouts=(19, 44))
    path = write(tmp_path / "file.hdf5", made)
    assert not (theirs.transitions(path)["observations"] == made["observations"][-1]).all(axis=1).any()
    assert sum(len(one["rewards"]) for one in theirs.episodes(path)) == 45
    with vault_of(path) as vault:
        np.testing.assert_array_equal(
            vault.read_numpy(leaves=["observation"])["observation"][0], made["observations"]
        )
        assert vault.episodes["length"].tolist() == [10, 10, 11, 14, 5]


def test_the_next_observation_of_a_terminal_row_is_its_own(tmp_path: Path, theirs: Loaders):
    """D4RL takes the next episode's first observation, whatever the file's `next_observations` say."""
    made = columns(50, terminals=(9, 30), timeouts=(), following=True)
    path = write(tmp_path / "file.hdf5", made)
    found = theirs.transitions(path)
    (at,) = np.nonzero(found["terminals"])
    np.testing.assert_array_equal(found["next_observations"][at], made["observations"][[10, 31]])
    with vault_of(path) as vault:
        finals = vault.finals("observation")[:2]
    np.testing.assert_array_equal(finals, made["next_observations"][[9, 30]], strict=True)
    assert (finals != found["next_observations"][at]).any(axis=1).all()


def test_a_timeout_leads_to_its_own_observation(tmp_path: Path, theirs: Loaders):
    """D4RL's `terminate_on_end` neither ends there, as it says, nor leads to what came."""
    made = columns(50, terminals=(), timeouts=(19, 44), following=True)
    path = write(tmp_path / "file.hdf5", made)
    assert len(theirs.transitions(path)["rewards"]) == 49 - 2
    found = theirs.transitions(path, terminate=True)
    assert not found["terminals"].any()
    np.testing.assert_array_equal(found["next_observations"][[19, 44]], made["observations"][[20, 45]])
    with vault_of(path) as vault:
        assert vault.episodes["truncated"].tolist() == [True, True, False]
        np.testing.assert_array_equal(vault.finals("observation")[:2], made["next_observations"][[19, 44]])


def test_every_episode_has_the_horizons_length(tmp_path: Path, theirs: Loaders):
    """Without `timeouts` D4RL's later episodes are a step short: the count is raised after it is reset."""
    path = write(tmp_path / "file.hdf5", columns(40, terminals=(), timeouts=None))
    assert [len(one["rewards"]) for one in theirs.episodes(path)] == [10, 9, 9, 9]
    with vault_of(path, horizon=HORIZON) as vault:
        assert vault.episodes["length"].tolist() == [10, 10, 10, 10]
        assert vault.episodes["truncated"].all()


def test_demonstrations_that_are_longer_than_the_horizon_are_whole(tmp_path: Path, theirs: Loaders):
    """D4RL cuts Kitchen's demonstrations, which have no `timeouts`, a step before the horizon."""
    made = columns(36, terminals=(11, 23, 35), timeouts=None)
    path = write(tmp_path / "file.hdf5", made | {"infos": np.repeat([0, 1, 2], 12)})
    assert [len(one["rewards"]) for one in theirs.episodes(path)] == [10, 2, 9, 3, 9, 3]
    with vault_of(path, horizon=0) as vault:
        assert vault.episodes["length"].tolist() == [12, 12, 12]
        assert [set(episode.steps["infos"].tolist()) for episode in vault] == [{0}, {1}, {2}]


def test_no_precision_is_lost(tmp_path: Path, theirs: Loaders):
    """D4RL's transitions are float32, whatever the file is."""
    made = columns(50, dtype=np.float64)
    path = write(tmp_path / "file.hdf5", made)
    found = theirs.transitions(path)
    assert {found[key].dtype for key in ("observations", "actions", "rewards")} == {np.dtype(np.float32)}
    assert (found["observations"][0] != made["observations"][0]).any()
    with vault_of(path) as vault:
        rows = vault.read_numpy(leaves=["observation", "action", "reward"])
    for leaf, key in (("observation", "observations"), ("action", "actions"), ("reward", "rewards")):
        np.testing.assert_array_equal(rows[leaf][0], made[key], strict=True)


@pytest.mark.heavy
def test_a_file_with_a_policy_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """D4RL's `sequence_dataset` fails on `metadata`, which every v1 and v2 file of MuJoCo's has."""
    d4rl = genuine(tmp_path, monkeypatch)
    made = columns() | policy()
    path = write(tmp_path / "file.hdf5", made)
    with pytest.raises(IndexError, match="invalid index to scalar variable"):
        next(d4rl.sequence_dataset(None, dataset={key: np.asarray(value)[()] for key, value in made.items()}))
    assert len(next(sequences(path))["rewards"]) == 10
    with vault_of(path) as vault:
        assert vault.attributes["metadata/algorithm"] == "SAC"
    weights = attached(tmp_path / "file.vault")["metadata/policy/fc0/weight"]
    np.testing.assert_array_equal(weights, made["metadata/policy/fc0/weight"])
