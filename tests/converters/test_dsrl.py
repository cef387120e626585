"""DSRL's files: D4RL's layout with costs."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from d4rl_files import columns, write
from strongbax.converters import convert, job
from strongbax.converters.formats import find_format
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault

SAMPLE = Path(__file__).parents[2] / "../shared/samples/dsrl/SafetyToyCircle-v0-80-3.hdf5"


def made(**more):
    rng = np.random.default_rng(5)
    return columns(following=True) | {"costs": rng.random(50).astype(np.float32)} | more


@pytest.mark.parametrize("flat", [True, False])
def test_costs_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flat: bool):
    """Costs are a leaf of their own dtype, and each episode has their sum, whatever the blocks are."""
    monkeypatch.setattr(job, "_rows_at_a_time", lambda source, block_steps: 7)
    data = made()
    costs = data["costs"]
    src = write(tmp_path / "SafetyToy-v0-40-5.hdf5", data | {"costs": costs if flat else costs[:, None]})
    assert find_format(None, src).name == "dsrl"
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        np.testing.assert_array_equal(vault.read_numpy(leaves=["cost"])["cost"][0], costs, strict=True)
        table = vault.episodes
        assert table["length"].tolist() == [10, 10, 11, 14, 5]
        wanted = [
            costs[s : s + n].astype(np.float64).sum()
            for s, n in zip(table["start"], table["length"], strict=True)
        ]
        np.testing.assert_allclose(table["cost_return"], wanted, rtol=1e-12)
        assert table["final_known"].all()
        facts = vault.card["provenance"]["source"]["file_name"]
        assert facts == {"max_cost": 40.0, "trajectories": 5}
        assert vault.select(table["cost_return"] < np.median(wanted)).num_episodes == 2


@pytest.mark.parametrize("key", ["next_observations", "timeouts", "rewards"])
def test_every_key_is_needed(tmp_path: Path, key: str):
    """A missing key is named."""
    data = made()
    del data[key]
    src = write(tmp_path / "file.hdf5", data)
    with pytest.raises(FormatError, match=f"file.hdf5 has no `{key}`"):
        convert(src, tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_costs_that_mean_nothing_are_refused(tmp_path: Path):
    """Two costs a step, or fewer costs than steps, are told by the key; what is needed is not skipped."""
    with pytest.raises(FormatError, match=r"`costs` of .* one number a step; its shape is \(50, 2"):
        convert(write(tmp_path / "two.hdf5", made(costs=np.zeros((50, 2)))), tmp_path / "v")
    with pytest.raises(FormatError, match=r"`costs` of .* has 49 rows where `observations` has 50"):
        convert(write(tmp_path / "few.hdf5", made(costs=np.zeros(49))), tmp_path / "v")
    with pytest.raises(ValueError, match="`skip` must name keys that can be spared: got 'costs'"):
        convert(write(tmp_path / "file.hdf5", made()), tmp_path / "v", skip=("costs",))


def test_next_observations_of_their_own_are_kept(tmp_path: Path):
    """As for D4RL: rows that say something else are kept as a leaf."""
    data = made()
    data["next_observations"][4] += 1
    report = convert(write(tmp_path / "file.hdf5", data), tmp_path / "v")
    assert "`next_observations` of row 4" in report.notes[0]


def test_the_recorded_sample_arrives(tmp_path: Path):
    """The sample's costs and ends stand in the vault."""
    if not SAMPLE.is_file():
        pytest.skip("the recorded samples are not beside this checkout")
    convert(SAMPLE, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault, h5py.File(SAMPLE) as file:
        np.testing.assert_array_equal(
            vault.read_numpy(leaves=["cost"])["cost"][0], file["costs"][:], strict=True
        )
        assert vault.num_episodes == int((file["terminals"][:] | file["timeouts"][:]).sum())
