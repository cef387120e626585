"""Bad D4RL files: one clear sentence each, with the file, the key, the row and the mend."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from d4rl_files import columns, write
from strongbax.converters import convert, d4rl
from strongbax.vault.errors import FormatError, NotFoundError
from strongbax.vault.vault import Vault


def drain(path: Path, **options: Any) -> None:
    for _ in d4rl.read(path, **options).blocks(16):
        pass


@pytest.mark.parametrize("key", ["observations", "actions", "rewards", "terminals"])
def test_a_missing_key_is_named(tmp_path: Path, key: str):
    """A file without one of the four keys is refused with the key's name and what it has."""
    made = {k: v for k, v in columns().items() if k != key}
    path = write(tmp_path / "file.hdf5", made)
    with pytest.raises(FormatError, match=rf"file\.hdf5 has no `{key}`\. It has .*timeouts"):
        drain(path)


def test_lengths_that_disagree_are_named(tmp_path: Path):
    """A key with fewer rows than there are steps is refused with both numbers."""
    made = columns()
    path = write(tmp_path / "file.hdf5", made | {"actions": made["actions"][:-1]})
    with pytest.raises(FormatError, match=r"`actions` of .*file\.hdf5 has 49 rows .* has 50"):
        drain(path)
    path = write(tmp_path / "infos.hdf5", made | {"infos/qpos": np.zeros((49, 3))})
    with pytest.raises(FormatError, match=r"`infos/qpos` of .* has 49 rows .*skip=\('infos/qpos',"):
        drain(path)
    drain(path, skip=("infos/qpos",))


def test_a_reward_that_is_no_number_is_kept(tmp_path: Path):
    """NaN among the rewards arrives in its rows, and the returns of its episodes are NaN."""
    made = columns()
    made["rewards"][[37, 40]] = np.nan
    convert(write(tmp_path / "file.hdf5", made), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        rewards = vault.read_numpy(leaves=["reward"])["reward"][0]
        np.testing.assert_array_equal(rewards, made["rewards"], strict=True)
        assert np.isnan(vault.episodes["return"]).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(("key", "value"), [("terminals", 2.0), ("timeouts", np.nan)])
def test_a_flag_that_is_neither_is_found(tmp_path: Path, key: str, value: float):
    """A flag other than 0 and 1 is refused, never rounded to one of them."""
    made = columns()
    made[key] = made[key].astype(np.float32)
    made[key][21] = value
    path = write(tmp_path / "file.hdf5", made)
    with pytest.raises(FormatError, match=f"`{key}` of .* must be 0 or 1 in every row; row 21 is"):
        drain(path)


def test_a_missing_time_limit_is_asked_for(tmp_path: Path):
    """Without `timeouts`, horizon and catalogue the ends are not guessed."""
    path = write(tmp_path / "file.hdf5", columns(timeouts=None))
    with pytest.raises(ValueError, match=r"`timeouts` is missing .* Pass `horizon=`.*`horizon=0`"):
        drain(path)
    with pytest.raises(ValueError, match=r"`horizon` must be a number of steps.* got -5"):
        drain(path, horizon=-5)


def test_a_horizon_that_would_be_ignored_is_refused(tmp_path: Path):
    """A file with `timeouts` takes no horizon, so that nobody believes it was used."""
    path = write(tmp_path / "file.hdf5", columns())
    with pytest.raises(ValueError, match=r"`horizon` is for files without .*skip=\('timeouts',\)"):
        drain(path, horizon=25)


def test_a_skip_that_fits_nothing_is_refused(tmp_path: Path):
    """`skip` names keys that are there and can be spared."""
    path = write(tmp_path / "file.hdf5", columns())
    with pytest.raises(ValueError, match=r"`skip` must name .* got 'infos'\. It has actions"):
        drain(path, skip=("infos",))
    with pytest.raises(ValueError, match=r"got 'actions'.* are needed"):
        drain(path, skip=("actions",))


def test_shapes_and_types_that_mean_nothing_are_refused(tmp_path: Path):
    """Two rewards a step, text instead of numbers, no rows: each is told by its key."""
    made = columns()
    path = write(tmp_path / "two.hdf5", made | {"rewards": np.zeros((50, 2))})
    with pytest.raises(FormatError, match=r"`rewards` of .* one number a step; its shape is \(50, 2"):
        drain(path)
    path = write(tmp_path / "text.hdf5", made)
    with h5py.File(path, "a") as file:
        file["infos/note"] = ["a"] * 50
    with pytest.raises(FormatError, match=r"`infos/note` of .* must hold numbers; .*skip=\("):
        drain(path)
    path = write(tmp_path / "complex.hdf5", made | {"terminals": np.zeros(50, complex)})
    with pytest.raises(FormatError, match=r"`terminals` of .* its type complex128"):
        drain(path)
    empty = {key: values[:0] for key, values in made.items()}
    with pytest.raises(FormatError, match=r"`observations` of .*empty\.hdf5 has no rows"):
        drain(write_plain(tmp_path / "empty.hdf5", empty))


def test_two_keys_for_one_leaf_are_refused(tmp_path: Path):
    """A file with both `observation` and `observations` would lose one of them."""
    path = write(tmp_path / "file.hdf5", columns() | {"observation": np.zeros(50)})
    with pytest.raises(FormatError, match=r"both `observations` and `observation`"):
        drain(path)


def test_a_file_that_is_not_hdf5_is_told_apart_from_a_damaged_one(tmp_path: Path):
    """No file, no HDF5, cut off, and damaged within are four different sentences."""
    with pytest.raises(NotFoundError, match=r"there is no file .*gone\.hdf5"):
        drain(tmp_path / "gone.hdf5")
    (tmp_path / "page.hdf5").write_text("<html>503</html>")
    with pytest.raises(FormatError, match=r"page\.hdf5 \(16 bytes\) does not begin like one"):
        drain(tmp_path / "page.hdf5")
    path = write(tmp_path / "whole.hdf5", columns(2000, obs=30))
    data = path.read_bytes()
    (tmp_path / "cut.hdf5").write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match=r"cut\.hdf5 begins like .* It is probably cut off"):
        drain(tmp_path / "cut.hdf5")
    (tmp_path / "cut.hdf5").write_bytes(data[:100])
    with pytest.raises(FormatError, match=r"cut\.hdf5 begins like .* It is probably cut off"):
        d4rl.detect(tmp_path / "cut.hdf5")


def test_damage_within_a_file_is_told_with_its_rows(tmp_path: Path):
    """Bytes that no longer unpack are refused with the key and the rows that hold them."""
    path = write(tmp_path / "file.hdf5", columns(2000, obs=30))
    with h5py.File(path, "r") as file:
        where = file["observations"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[where + 10 : where + 40] = b"\xff" * 30
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"`observations` of .*file\.hdf5 cannot be read in rows 0"):
        drain(path)


def write_plain(path: Path, made: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for key, values in made.items():
            file[key] = values
    return path
