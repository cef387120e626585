"""Where robomimic's conversion of D4RL errs we do not. Needs robomimic, D4RL and Gym (`make peers`)."""

import runpy
import sys
import types
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from d4rl_files import columns, write
from strongbax.converters import convert, export
from strongbax.vault.vault import Vault

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]  # Gym's and robomimic's own


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of robomimic's own converter."""
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path))
    monkeypatch.setenv("D4RL_SUPPRESS_IMPORT_ERROR", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for peer in ("gym", "d4rl", "robomimic"):
            found = pytest.importorskip(peer, reason=f"needs {peer}: `make peers`", exc_type=ImportError)
    return Path(found.__file__).parent / "scripts/conversion/convert_d4rl.py"


def theirs(script: Path, folder: Path, made: dict, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs it on the columns of a file, with an environment that has nothing but them."""
    import gym

    class Env(gym.Env):
        observation_space = gym.spaces.Box(-9, 9, (4,))
        action_space = gym.spaces.Box(-1, 1, (2,))

        def get_dataset(self):
            return {key: np.asarray(values) for key, values in made.items()}

    def make(name, **_):
        env = Env()
        env.env, env.spec = env, types.SimpleNamespace(id=name, max_episode_steps=10, kwargs={})
        return env

    monkeypatch.setattr(gym, "make", make)
    monkeypatch.setattr(sys, "argv", ["convert_d4rl.py", "--env", "toy-v0", "--folder", str(folder)])
    runpy.run_path(str(script), run_name="__main__")
    return folder / "d4rl" / "converted" / "toy_v0.hdf5"


def test_a_timeout_is_no_end_and_nothing_stands_still(
    tmp_path: Path, script: Path, monkeypatch: pytest.MonkeyPatch
):
    """robomimic makes ends of timeouts, lets each episode's last step lead nowhere, and drops the rest."""
    made = columns(50, following=True)
    found = theirs(script, tmp_path, made, monkeypatch)
    with h5py.File(found) as file:
        demos = [file[f"data/demo_{i}"] for i in range(len(file["data"]))]
        assert [len(demo["actions"]) for demo in demos] == [10, 10, 11, 14]
        assert [int(demo["dones"][-1]) for demo in demos] == [1, 1, 1, 1]
        for demo in demos:
            np.testing.assert_array_equal(demo["next_obs/flat"][-1], demo["obs/flat"][-1])
    convert(write(tmp_path / "file.hdf5", made), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "ours.hdf5", "robomimic")
    with h5py.File(tmp_path / "ours.hdf5") as file:
        demos = [file[f"data/demo_{i}"] for i in range(len(file["data"]))]
        assert [len(demo["actions"]) for demo in demos] == [10, 10, 11, 14, 5]
        assert [int(demo["dones"][-1]) for demo in demos] == [1, 0, 1, 0, 0]
        for demo, row in zip(demos, (9, 19, 30, 44, 49), strict=True):
            np.testing.assert_array_equal(demo["next_obs/flat"][-1], made["next_observations"][row])
