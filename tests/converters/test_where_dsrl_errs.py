"""Where DSRL's loader errs we do not. Needs DSRL (`make peers`)."""

import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from d4rl_files import columns, write
from strongbax.converters import convert
from strongbax.vault.vault import Vault

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]  # Gymnasium's own


def test_no_row_and_no_digit_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """DSRL drops the rows behind the last end, and casts what is float64."""
    monkeypatch.setenv("DSRL_DATASET_DIR", str(tmp_path))
    monkeypatch.setenv("DSRL_SUPPRESS_IMPORT_ERROR", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pytest.importorskip(
            "dsrl.offline_env", reason="needs DSRL: `make peers`", exc_type=ImportError
        )
    made = columns(50, dtype=np.float64, following=True)
    made["costs"] = np.random.default_rng(1).random(50)
    path = write(tmp_path / "SafetyToy-v0-80-4.hdf5", made)
    env = peer.OfflineEnv()
    env.observation_space = types.SimpleNamespace(shape=(4,))
    env.action_space = types.SimpleNamespace(shape=(2,))
    found = env.pre_process_data(env.get_dataset(str(path)))
    assert len(found["rewards"]) == 45
    assert found["costs"].dtype == np.float32
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        rows = vault.read_numpy(leaves=["cost", "observation"])
        np.testing.assert_array_equal(rows["cost"][0], made["costs"], strict=True)
        np.testing.assert_array_equal(rows["observation"][0], made["observations"], strict=True)
        assert vault.episodes["length"].tolist() == [10, 10, 11, 14, 5]
