"""Where OGBench's loader errs we do not. Needs OGBench (`make peers`)."""

from pathlib import Path

import numpy as np
import pytest
from strongbax.converters import convert
from strongbax.vault.vault import Vault
from test_ogbench import arrays, save

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]  # Gymnasium's own
ogbench = pytest.importorskip("ogbench.utils", reason="needs OGBench: `make peers`")


def test_a_trajectory_that_was_cut_is_whole(tmp_path: Path):
    """OGBench gives a step more than next observations, and says of the last one that it ended."""
    made = arrays((4, 3), tail=3)
    path = save(tmp_path / "cube-v0.npz", made)
    found = ogbench.load_dataset(path)
    assert len(found["observations"]) == 3 + 2 + 3
    assert len(found["next_observations"]) == 3 + 2 + 2
    assert found["terminals"][-1] == 1
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == [3, 2, 3]
        assert vault.episodes["truncated"].tolist() == [True, True, False]
        assert vault.episodes["final_known"].tolist() == [True, True, False]
        np.testing.assert_array_equal(vault[2].steps["observation"], made["observations"][-3:], strict=True)


def test_pixels_stay_bytes(tmp_path: Path):
    """OGBench goes by the file's name: pixels become float32, four times as large, where it says nothing."""
    made = arrays((4, 3), pixels=True)
    path = save(tmp_path / "mine.npz", made)
    assert ogbench.load_dataset(path)["observations"].dtype == np.float32
    assert ogbench.load_dataset(path)["actions"].dtype == np.float32
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        rows = vault.read_numpy(leaves=["observation", "action"])
        assert (rows["observation"].dtype, rows["action"].dtype) == (np.uint8, np.int32)
        np.testing.assert_array_equal(vault[0].final["observation"], made["observations"][3], strict=True)
