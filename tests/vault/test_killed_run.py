"""The proof of exact resume: a training run is killed again and again, and ends as if it never was."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from resume_run import bits
from strongbax.vault import Vault

EXAMPLES = Path(__file__).parents[2] / "examples"


def started(folder, name, rounds, seed=0):
    """The example in a process of its own; what one process compiled the next one finds."""
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiles sooner; both runs compile alike
    }
    command = [sys.executable, str(EXAMPLES / "resume.py"), str(folder / f"{name}.vault")]
    command += [str(rounds), str(seed)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def finished(folder, name, rounds, seed=0):
    said, _ = (child := started(folder, name, rounds, seed)).communicate(timeout=500)
    assert child.returncode == 0, said[-3000:]
    return said


def killed(folder, name, rounds, moment, chance, seed=0):
    """Starts the run and kills it some rounds later, in the midst of anything; from which round, at which."""
    child = started(folder, name, rounds, seed)
    line = child.stdout.readline()
    begun = int(re.fullmatch(r"goes on from round (\d+)\n", line)[1])
    for _ in range(moment):
        line = child.stdout.readline()
    time.sleep(chance.uniform(0, 0.02))
    child.send_signal(signal.SIGKILL)
    rest, _ = child.communicate()
    assert child.returncode == -signal.SIGKILL, line + rest
    reached = re.findall(r"round (\d+)[:\n]", line + rest)
    return begun, int(reached[-1])


def ends(path):
    """All that a run leaves: state, weights, key, curve; each step of the vault, and its episodes."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        from resume import buffer
    finally:
        sys.path.remove(str(EXAMPLES))
    with Vault.open(path) as vault:
        assert vault.gaps == ()
        assert vault.verify().ok
        steps = {name: leaf.tobytes() for name, leaf in vault.read_numpy(leaves=vault.leaves).items()}
        episodes = [vault.episodes[name].tobytes() for name in ("stream", "start", "length", "return")]
        return bits(vault.restore(buffer)), steps, episodes


def prove(folder, moments, rounds, seed=0):
    finished(folder, "never", rounds, seed)
    chance = random.Random()
    lives = [killed(folder, "often", rounds, moment, chance, seed) for moment in moments]
    finished(folder, "often", rounds, seed)
    for one, other in zip(ends(folder / "never.vault"), ends(folder / "often.vault"), strict=True):
        assert one == other
    return lives


def test_a_run_killed_twice_ends_as_if_it_never_was(tmp_path):
    """Weights, ring, priorities, keys, curve, vault and episodes are those of a run that was not killed."""
    lives = prove(tmp_path, moments=[6, 7], rounds=24)
    assert lives[1][0] >= 4


@pytest.mark.heavy
def test_a_run_killed_twenty_times_ends_as_if_it_never_was(tmp_path):
    """The same over a run whose ring goes round, with rounds that were played and flushed more than once."""
    lives = prove(tmp_path, moments=[random.randint(0, 9) for _ in range(20)], rounds=200)
    begun, gone = np.array(lives).T
    assert (gone[:-1] + 1 >= begun[1:]).all()  # a checkpoint may be there before its round is announced
    assert (gone[:-1] > begun[1:]).any()
    print(f"from which round each life went, and where it was killed: {lives}")


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(5))
def test_whole_runs_that_are_killed_learn_alike(tmp_path, seed):
    """Of every seed: a whole run that is killed three times ends with the weights of one that never was."""
    prove(tmp_path, moments=[150, 300, 450], rounds=2_000, seed=seed)
