"""`qlearning` and `sequences`: D4RL's own two functions, number for number."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from d4rl_files import columns, families, policy, write
from hypothesis import given
from hypothesis import strategies as st
from strongbax.converters import convert, qlearning, sequences
from strongbax.converters.d4rl_reference import counted_timeouts
from strongbax.vault.vault import Vault


def fingerprint(array: Any) -> dict[str, Any]:
    """An array as golden.json describes it."""
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "sha256": hashlib.sha256(array.tobytes()).hexdigest()[:16],
        "sum": float(array.astype(np.float64).sum()),
    }


@pytest.mark.parametrize("origin", ["hdf5", "vault"])
def test_the_samples_give_what_d4rl_gives(tmp_path: Path, samples: Path, golden: dict[str, Any], origin: str):
    """From the file and from the vault, both functions return D4RL's arrays for every sample."""
    for name, expected in golden.items():
        horizon = expected["max_episode_steps"]
        source = samples / name
        if origin == "vault":
            timeless = name.startswith("hopper_nots")
            options = {"horizon": horizon} if timeless else {}
            convert(source, tmp_path / name, **options)
            source = tmp_path / name
        for terminate in (False, True):
            found = qlearning(source, terminate, horizon=horizon)
            wanted = expected[f"qlearning_dataset(terminate_on_end={terminate})"]
            assert {key: fingerprint(array) for key, array in found.items()} == wanted, name
        lengths = [len(episode["rewards"]) for episode in sequences(source, horizon=horizon)]
        assert lengths == expected["sequence_dataset_lengths"], name


@pytest.mark.parametrize("family", [*families()])
def test_a_vault_gives_what_its_file_gives(tmp_path: Path, family: str):
    """Both functions return the same from the vault as from the file it was made of, dtypes too."""
    made = families()[family]
    path = write(tmp_path / "file.hdf5", made)
    convert(path, tmp_path / "v", **({} if "timeouts" in made else {"horizon": 12}))
    for terminate in (False, True):
        of_file = qlearning(path, terminate, horizon=12)
        of_vault = qlearning(tmp_path / "v", terminate, horizon=12)
        assert of_file.keys() == of_vault.keys()
        for key, values in of_file.items():
            np.testing.assert_array_equal(of_vault[key], values, strict=True)
    pairs = zip(sequences(path, horizon=12), sequences(tmp_path / "v", horizon=12), strict=True)
    for of_file, of_vault in pairs:
        assert of_file.keys() == of_vault.keys()
        assert set(of_file) == {key for key in made if not key.startswith("metadata")}
        for key, values in of_file.items():
            np.testing.assert_array_equal(of_vault[key], values, strict=True)


class Reference:
    """D4RL's loaders as a step-by-step machine: the model that the vectorised ones must follow.

    One counter runs through the rows. It is reset where an episode ends and raised after every row
    that is kept, the ending row included: hence the off-by-one.
    """

    def __init__(self, made: dict[str, Any], horizon: int) -> None:
        self.made, self.horizon, self.counter = made, horizon, 0

    def stopped(self, row: int) -> bool:
        if "timeouts" in self.made:
            return bool(self.made["timeouts"][row])
        return self.counter == self.horizon - 1

    def transitions(self, terminate_on_end: bool) -> list[int]:
        kept: list[int] = []
        for row in range(len(self.made["rewards"]) - 1):
            stopped = self.stopped(row)
            if stopped and not terminate_on_end:
                self.counter = 0
                continue
            self.counter = 1 if stopped or self.made["terminals"][row] else self.counter + 1
            kept.append(row)
        return kept

    def stops(self) -> list[int]:
        found: list[int] = []
        for row in range(len(self.made["rewards"])):
            if over := self.stopped(row) or bool(self.made["terminals"][row]):
                found.append(row + 1)
            self.counter = 1 if over else self.counter + 1
        return found


@given(
    terminals=st.lists(st.booleans(), min_size=2, max_size=40),
    horizon=st.integers(1, 9),
    seed=st.one_of(st.none(), st.integers(0, 5)),
    terminate=st.booleans(),
)
def test_the_functions_follow_the_step_by_step_machine(
    tmp_path_factory: Any, terminals: list[bool], horizon: int, seed: int | None, terminate: bool
):
    """For any flags and any horizon the kept rows and the cuts are those of D4RL's loops."""
    n = len(terminals)
    made = columns(n, timeouts=None)
    made["terminals"] = np.array(terminals)
    made["observations"][:, 0] = np.arange(n)
    if seed is not None:
        made["timeouts"] = np.random.default_rng(seed).random(n) < 0.3
    path = write(tmp_path_factory.mktemp("machine") / "file.hdf5", made)
    rows = Reference(made, horizon).transitions(terminate)
    found = qlearning(path, terminate, horizon=horizon)
    assert found["observations"][:, 0].tolist() == rows
    assert found["next_observations"][:, 0].tolist() == [row + 1 for row in rows]
    assert found["terminals"].tolist() == [terminals[row] for row in rows]
    lengths = [len(episode["rewards"]) for episode in sequences(path, horizon=horizon)]
    assert np.cumsum(lengths).tolist() == Reference(made, horizon).stops()


def test_later_episodes_are_a_step_short():
    """Without timeouts the first episode has `horizon` rows and every later one `horizon - 1`."""
    final = counted_timeouts(np.zeros(450, bool), 150, skips=False)
    assert (np.nonzero(final)[0] + 1).tolist() == [150, 299, 448]


def test_the_horizon_comes_from_what_is_known(tmp_path: Path):
    """A published file and its vault know their horizon; elsewhere it has to be said."""
    made = columns(1600, timeouts=None, terminals=())
    path = write(tmp_path / "flow-merge-v0-idm.hdf5", made)
    convert(path, tmp_path / "v")
    assert [len(e["rewards"]) for e in sequences(path)] == [750, 749]
    assert [len(e["rewards"]) for e in sequences(tmp_path / "v")] == [750, 749]
    other = write(tmp_path / "other.hdf5", made)
    with pytest.raises(ValueError, match=r"`horizon` must be .*other\.hdf5 has no timeouts"):
        qlearning(other)
    convert(other, tmp_path / "w", horizon=0)
    with pytest.raises(ValueError, match=r"`horizon` must be .*the vault has no timeouts"):
        next(sequences(tmp_path / "w"))


def test_metadata_does_not_stop_sequences(tmp_path: Path):
    """Where the original fails on `metadata/*`, the episodes come without it."""
    path = write(tmp_path / "file.hdf5", columns() | policy())
    episode = next(sequences(path))
    assert set(episode) == set(columns())


def test_episodes_are_the_callers_own(tmp_path: Path):
    """What `sequences` yields can be written to, as D4RL's arrays can."""
    convert(write(tmp_path / "file.hdf5", columns()), tmp_path / "v")
    for episode in sequences(tmp_path / "v"):
        episode["observations"][:] = 0


def test_any_vault_of_one_stream_will_do(tmp_path: Path):
    """A vault that was never a D4RL file gives transitions, next observations across rows."""
    rng = np.random.default_rng(0)
    steps = {
        "observation": rng.normal(size=(20, 3)).astype(np.float32),
        "action": rng.integers(0, 4, 20),
        "reward": rng.normal(size=20),
        "terminated": np.arange(20) == 9,
        "truncated": np.arange(20) == 15,
    }
    example = {name: values[0] for name, values in steps.items()}
    with Vault.create(tmp_path / "v", steps=example) as vault:
        vault.extend(steps)
        found = qlearning(vault)
    keep = [row for row in range(19) if row != 15]
    np.testing.assert_array_equal(found["observations"], steps["observation"][keep], strict=True)
    assert found["actions"].dtype == np.float32
    assert found["terminals"].sum() == 1
    assert [len(episode["rewards"]) for episode in sequences(tmp_path / "v")] == [10, 6]


def test_vaults_that_do_not_fit_are_refused(tmp_path: Path):
    """Several streams, or leaves that D4RL does not have, are told in a sentence."""
    example = {"observation": np.zeros(3), "action": 0, "reward": 0.0, "terminated": False}
    with (
        Vault.create(tmp_path / "two", steps=example, streams=2) as vault,
        pytest.raises(ValueError, match=r"`source` must have one stream, .* this vault has 2"),
    ):
        qlearning(vault)
    with (
        Vault.create(tmp_path / "less", steps={"observation": np.zeros(3), "reward": 0.0}) as vault,
        pytest.raises(ValueError, match=r"the leaves observation, action, .* has observation, reward"),
    ):
        next(sequences(vault))
