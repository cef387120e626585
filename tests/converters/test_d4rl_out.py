"""Vaults as D4RL files, read by D4RL's rules."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from d4rl_files import HORIZONS, columns, families, write
from strongbax.converters import convert, export, qlearning, sequences
from strongbax.vault.episodes import Episode
from strongbax.vault.errors import CorruptionError
from strongbax.vault.vault import Vault

STEP = {
    "observation": np.zeros(3, np.float32),
    "action": np.zeros((), np.int64),
    "reward": np.zeros((), np.float64),
    "terminated": np.zeros((), np.bool_),
}


def contents_of(path: Path) -> dict:
    found = {}

    def visit(name, node):
        if isinstance(node, h5py.Dataset):
            found[name] = (node.dtype, node.shape, np.asarray(node[()]).tobytes())

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@pytest.mark.parametrize("family", families())
def test_every_family_comes_back_to_the_bit(tmp_path: Path, family: str):
    """Every key of a converted file stands in the exported one with its dtype, shape and bytes."""
    src = write(tmp_path / "file.hdf5", families()[family])
    options = {"horizon": HORIZONS[family]} if family in HORIZONS else {}
    convert(src, tmp_path / "v", **options)
    with Vault.open(tmp_path / "v") as vault:
        report = export(vault, tmp_path / "out.hdf5", "d4rl")
    before, after = contents_of(src), contents_of(tmp_path / "out.hdf5")
    assert set(after) - set(before) <= {"timeouts"}
    assert {key: after[key] for key in before} == before
    assert report.notes == ()


@pytest.mark.parametrize(
    "name",
    [
        "door-human_real",
        "hopper_medium-v2",
        "hopper_medium_replay-v1",
        "maze2d-umaze-sparse-v1",
        "antmaze-v0_desync",
    ],
)
def test_recorded_files_come_back(tmp_path: Path, samples: Path, name: str):
    """Real files do too, and D4RL's own loaders give the same of both."""
    src = samples / f"{name}.hdf5"
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "out.hdf5", "d4rl")
    assert contents_of(tmp_path / "out.hdf5") == contents_of(src)
    for one, other in ((qlearning(src), qlearning(tmp_path / "out.hdf5")),):
        for key, values in one.items():
            np.testing.assert_array_equal(other[key], values, strict=True)


def test_next_observations_of_their_own_come_back(tmp_path: Path):
    """Where a file's next observations were kept row by row they are written so."""
    made = columns(following=True)
    made["next_observations"][3] += 1
    src = write(tmp_path / "file.hdf5", made)
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "out.hdf5", "d4rl")
    assert contents_of(tmp_path / "out.hdf5") == contents_of(src)


def episode(
    length: int, *, terminated: bool = False, truncated: bool = False, seed: int = 0, **more
) -> Episode:
    rng = np.random.default_rng(seed)
    steps = {
        "observation": rng.normal(size=(length, 3)).astype(np.float32),
        "action": rng.integers(0, 5, length),
        "reward": rng.normal(size=length),
        "terminated": (np.arange(length) == length - 1) & terminated,
    }
    final = rng.normal(size=3).astype(np.float32)
    return Episode(steps, final=final, terminated=terminated, truncated=truncated, **more)


def test_a_training_vault_reads_by_d4rls_rules(tmp_path: Path):
    """Episodes end where they ended, cut ones with a timeout but the last; next rows are exact."""
    with Vault.create(tmp_path / "v", steps=STEP, attributes={"env": "Toy"}) as vault:
        vault.append(episode(3, terminated=True, seed=1))
        vault.append(episode(1, truncated=True, seed=2, attributes={"task": "öffne"}))
        vault.append(episode(2, seed=3))
        vault.append(episode(4, seed=4))
        report = export(vault, tmp_path / "out.hdf5", "d4rl")
        finals = vault.finals("observation")
        wanted = list(vault)
    notes = " ".join(report.notes)
    for said in ("1 episodes were cut", "own attributes are left out", "attributes ['env'] are not written"):
        assert said in notes
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert file["terminals"][:].tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
        assert file["timeouts"][:].tolist() == [0, 0, 0, 1, 0, 1, 0, 0, 0, 0]
        np.testing.assert_array_equal(file["next_observations"][[2, 3, 5, 9]], finals, strict=True)
        assert (file["actions"].dtype, file["rewards"].dtype) == (np.int64, np.float64)
    lengths = [len(one["rewards"]) for one in sequences(tmp_path / "out.hdf5")]
    assert lengths == [3, 1, 2]  # D4RL drops the rows after the last end
    convert(tmp_path / "out.hdf5", tmp_path / "w")
    with Vault.open(tmp_path / "w") as again:
        for one, other in zip(again, wanted, strict=True):
            np.testing.assert_array_equal(one.steps["reward"], other.steps["reward"], strict=True)
            np.testing.assert_array_equal(one.final["observation"], other.final["observation"], strict=True)
        assert again.episodes["truncated"].tolist() == [False, True, True, False]


def test_final_rows_that_are_not_all_known_are_left_out(tmp_path: Path):
    """Without every final row there are no `next_observations`, and that is said."""
    with Vault.create(tmp_path / "v", steps=STEP) as vault:
        vault.append(episode(3, terminated=True))
        vault.append(Episode(episode(2).steps, terminated=False, truncated=True))
        notes = export(vault, tmp_path / "out.hdf5", "d4rl").notes
    assert "The final rows of ['observation'] are left out" in " ".join(notes)
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert "next_observations" not in file


def test_a_view_can_be_written(tmp_path: Path):
    """The best episodes of a vault make a file of their own."""
    src = write(tmp_path / "file.hdf5", columns(following=True))
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        view = vault.select([3, 1])
        report = export(view, tmp_path / "out.hdf5", "d4rl")
        wanted = np.concatenate([vault[3].steps["observation"], vault[1].steps["observation"]])
    assert (report.num_steps, report.num_episodes) == (len(wanted), 2)
    with h5py.File(tmp_path / "out.hdf5") as file:
        np.testing.assert_array_equal(file["observations"][:], wanted, strict=True)


@pytest.mark.parametrize(
    ("leaves", "said"),
    [
        ({"observation": {"a": np.zeros(2)}}, "one array of `observation`; this vault has a group"),
        ({"reward": np.zeros(2)}, r"`reward` must be one number a step; it is \[2\]"),
        ({"action": np.zeros((), "U4")}, "HDF5 has no place for <U4, as `action` is"),
    ],
)
def test_what_a_file_cannot_be_is_refused(tmp_path: Path, leaves, said: str):
    """Groups, several rewards and texts are refused before anything stands at the place."""
    step = STEP | leaves
    rows = {n: {"a": np.zeros((2, 2))} if isinstance(v, dict) else np.stack([v, v]) for n, v in step.items()}
    with Vault.create(tmp_path / "v", steps=step) as vault:
        vault.append(Episode(rows, terminated=True, truncated=False))
        with pytest.raises(ValueError, match=said):
            export(vault, tmp_path / "out.hdf5", "d4rl")
    assert not (tmp_path / "out.hdf5").exists()


def test_a_fault_in_the_writing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file is read back before it is put in place."""
    from strongbax.converters import d4rl_out

    real = d4rl_out._write

    def wrong(columns, following, one, start):
        stop = real(columns, following, one, start)
        columns["action"][start] = 99
        return stop

    monkeypatch.setattr(d4rl_out, "_write", wrong)
    with Vault.create(tmp_path / "v", steps=STEP) as vault:
        vault.append(episode(3, terminated=True))
        with pytest.raises(CorruptionError, match="`action` of episode 0 has other values"):
            export(vault, tmp_path / "out.hdf5", "d4rl")
    assert not (tmp_path / "out.hdf5").exists()
