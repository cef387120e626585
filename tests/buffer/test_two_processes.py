"""Two processes share one sharded state, and do what one process with two devices does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import two_processes_run
from strongbax import Vault

SCRIPT = Path(two_processes_run.__file__)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.heavy
def test_two_processes_do_what_one_does(tmp_path):
    """Each process holds its half of the state and sample that one process gets, and flushes its streams."""
    Vault.create(tmp_path / "a.vault", steps=two_processes_run.STEP).close()
    command = [sys.executable, str(SCRIPT)]
    arguments = [str(free_port()), str(tmp_path)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    processes = [
        subprocess.Popen([*command, str(n), *arguments], env=environment, stderr=subprocess.PIPE)
        for n in range(2)
    ]
    said = [process.communicate(timeout=240)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    _, state, sample = two_processes_run.run(jax.devices()[:2])
    whole = jax.tree.leaves((state, sample))
    for number in range(2):
        with np.load(tmp_path / f"{number}.npz") as arrays:
            ready, *mine = (arrays[name] for name in arrays.files)
        assert ready
        for part, leaf in zip(mine, whole, strict=True):
            np.testing.assert_array_equal(part, leaf.addressable_data(number))
    with Vault.open(tmp_path / "a.vault") as vault:
        for number in range(2):
            part = vault.parts[f"process-{number}"]
            assert (part.streams, part.length) == (2, 8)
            newest = two_processes_run.steps(5)["id"][2 * number : 2 * number + 2]
            np.testing.assert_array_equal(part.read_numpy()["id"][:, -3:], newest)
