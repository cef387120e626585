"""robomimic's own `SequenceDataset` reads what we write. Needs robomimic and torch."""

from pathlib import Path

import numpy as np
import pytest
import robomimic_files as made
from strongbax.converters import convert, export
from strongbax.vault.vault import Vault

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # robomimic's own
]
dataset = pytest.importorskip("robomimic.utils.dataset", reason="robomimic is the oracle here")


def opened(path: Path, filter_key: str | None = None):
    from robomimic.utils import obs_utils

    specs = {"obs": {"low_dim": ["eef"], "rgb": ["img"]}}
    obs_utils.initialize_obs_utils_with_obs_specs(specs)
    return dataset.SequenceDataset(
        str(path),
        obs_keys=("eef", "img"),
        dataset_keys=("actions", "rewards", "dones", "states"),
        frame_stack=1,
        seq_length=2,
        pad_seq_length=True,
        goal_mode=None,
        hdf5_cache_mode="low_dim",
        hdf5_use_swmr=False,
        hdf5_normalize_obs=False,
        filter_by_attribute=filter_key,
        load_next_obs=True,
    )


@pytest.mark.parametrize("filter_key", [None, "train"])
def test_sequences_are_those_of_the_source(tmp_path: Path, filter_key: str | None):
    """Every sequence that robomimic draws from an exported vault is the one that it draws from its source."""
    src = made.write(tmp_path / "demos.hdf5", made.demos())
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "out.hdf5", "robomimic")
    ours, theirs = opened(tmp_path / "out.hdf5", filter_key), opened(src, filter_key)
    assert len(ours) == len(theirs) == (7 if filter_key else 8)
    for place in range(len(ours)):
        one, other = ours[place], theirs[place]
        for group in ("obs", "next_obs"):
            for key in ("eef", "img"):
                np.testing.assert_array_equal(one[group][key], other[group][key])
        for key in ("actions", "rewards", "dones", "states"):
            np.testing.assert_array_equal(one[key], other[key])


def test_demonstrations_of_one_step_and_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of demonstrations of one step and of ten thousand the sequences are those of the source too."""
    monkeypatch.setattr(made, "DEMOS", {"demo_0": 1, "demo_1": 10_000, "demo_2": 1})
    src = made.write(tmp_path / "demos.hdf5", made.demos())
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "out.hdf5", "robomimic")
    ours, theirs = opened(tmp_path / "out.hdf5"), opened(src)
    assert len(ours) == len(theirs) == 10_002
    for place in (0, 1, 5_000, 10_000, 10_001):
        for group in ("obs", "next_obs"):
            for key in ("eef", "img"):
                np.testing.assert_array_equal(ours[place][group][key], theirs[place][group][key])
        np.testing.assert_array_equal(ours[place]["actions"], theirs[place]["actions"])
