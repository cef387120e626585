"""A view that is larger than memory can be drawn from: what is taken does not grow with it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from strongbax.vault import Ends, Vault

SCRIPT = Path(__file__).parent / "bounded_process.py"
MIB = 1 << 20


def write(path, mebibytes, *, frames=False):
    """Writes episodes of 1000 steps until the vault holds so much, a hundredth of it not sealed."""
    step = {"observation": np.zeros(255, np.float32), "reward": np.float32(0)}
    if frames:
        step["frame"] = np.zeros((64, 64), np.uint8)
    vault = Vault.create(path, steps=step)
    size = sum(leaf.nbytes for leaf in step.values())
    rows = np.random.default_rng(0).integers(0, 256, (1000, 64, 64)).astype(np.uint8)
    for number in range(mebibytes * MIB // (1000 * size)):
        steps = {
            "observation": np.full((1000, 255), number, np.float32),
            "reward": np.ones(1000, np.float32),
            "frame": rows,
        }
        end = Ends(
            np.array([1000]),
            np.array([True]),
            np.array([False]),
            final={"observation": np.zeros((1, 255), np.float32)},
        )
        vault.extend({name: steps[name] for name in step}, end)
    vault.close()


def drawn(path, slack, batches, how):
    """Runs the process that may take `slack` MiB; gives its exit code and what it said."""
    run = subprocess.run(
        [sys.executable, SCRIPT, path, str(slack), str(batches), how],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return run.returncode, run.stderr


def test_numpy_batches_take_bounded_memory(tmp_path):
    """A vault of 128 MiB is drawn from in 72 MiB, in which it cannot be read whole."""
    write(tmp_path / "a.vault", 128)
    code, said = drawn(tmp_path / "a.vault", 72, 80, "numpy")
    assert code == 0, said
    code, said = drawn(tmp_path / "a.vault", 72, 0, "whole")
    assert code != 0
    assert "MemoryError" in said


@pytest.mark.heavy  # writes and draws half a GB: 15 s
def test_batches_on_a_device_take_bounded_memory(tmp_path):
    """A vault of 500 MiB, half of it compressed frames, is drawn from in 250 MiB, through to the device."""
    write(tmp_path / "a.vault", 500, frames=True)
    code, said = drawn(tmp_path / "a.vault", 250, 60, "device")
    assert code == 0, said
