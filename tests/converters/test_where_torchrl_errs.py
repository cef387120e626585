"""Where TorchRL's readers of other datasets err we do not. Needs TorchRL (`make peers`)."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from d4rl_files import columns, write
from strongbax.converters import convert
from strongbax.vault.vault import Vault
from test_dqn_replay import added, episodes, save

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]  # torch's own
torchrl = pytest.importorskip("torchrl.data.datasets", reason="needs TorchRL: `make peers`")


def of_d4rl(path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `D4RLExperienceReplay` makes of a file, the download alone being ours."""
    from torchrl.data.datasets import d4rl

    def fetched(url: str, folder: str) -> str:
        return shutil.copy(path, folder)

    monkeypatch.setattr(d4rl, "_download_dataset_from_url", fetched)
    name = next(iter(d4rl.D4RL_DATASETS))
    return d4rl.D4RLExperienceReplay(name, batch_size=4, root=root, direct_download=True)[:]


@pytest.mark.parametrize("following", [False, True])
def test_final_observations_are_not_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, following: bool):
    """TorchRL puts zeros in their place, also where the file has them, and drops the last row."""
    made = columns(50, following=following)
    path = write(tmp_path / "file.hdf5", made)
    found = of_d4rl(path, tmp_path / "root", monkeypatch)
    ends = [9, 19, 30, 44]
    assert len(found) == 49
    assert not found["next", "observation"][ends].any()
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.num_steps == 50
        table = vault.episodes
        assert (table["start"] + table["length"] - 1).tolist() == [*ends, 49]
        if following:
            np.testing.assert_array_equal(
                vault.finals("observation")[:4], made["next_observations"][ends], strict=True
            )
        else:
            assert vault[0].final is None


def test_frames_of_zeros_are_no_steps(tmp_path: Path):
    """TorchRL keeps the rows that Dopamine puts before each episode, and a ring's slots where they lie."""
    made = episodes((9, 1, 20, 9))
    run = save(tmp_path, added(made), (51,), 40)
    logs = run / "replay_logs"
    files = {0: sorted(str(file) for file in logs.glob("*.gz") if "episode_end" not in file.name)}
    torchrl.AtariDQNExperienceReplay._preproc_run(tmp_path / "root" / "Pong" / "3" / "0", files, 0)
    from tensordict import TensorDict

    data = TensorDict.load_memmap(tmp_path / "root" / "Pong" / "3" / "0")["data"]
    frames = data["observation"][:40].numpy()
    assert (frames.reshape(40, -1).max(axis=1) == 0).sum() == 9
    # Eleven rows came after the ring was full: the newest stand in slots 0 to 10.
    np.testing.assert_array_equal(frames[10], made[3]["observation"][-1])
    np.testing.assert_array_equal(frames[38], made[2]["observation"][-1])
    convert(run, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        rows = vault.read_numpy(leaves=["observation"])["observation"][0]
        assert rows.reshape(len(rows), -1).max(axis=1).min() > 0
        np.testing.assert_array_equal(rows[-1], made[3]["observation"][-1], strict=True)
        assert vault.episodes["length"].tolist() == [1, 1, 20, 9]
