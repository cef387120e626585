"""Checkpoints by Orbax in processes of their own: killed at any moment, one process or two."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy

HERE = Path(__file__).parent
TURNS, KILLS = 30, 4


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def started(folder, count):
    """The processes of a run, each saying what it does into a file."""
    port, children = free_port(), []
    environment = {**os.environ, "PYTHONPATH": str(HERE), "JAX_NUM_CPU_DEVICES": "1"}
    for who in range(count):
        numbers = [str(number) for number in (TURNS, who, count, port)]
        command = [sys.executable, str(HERE / "orbax_child.py"), str(folder), *numbers]
        with (folder / f"said-{who}").open("w") as said:
            children.append(subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment))
    return children


def said(folder):
    return (folder / "said-0").read_text()


@pytest.mark.parametrize("count", [1, 2])
def test_a_killed_run_goes_on_exactly(tmp_path, count):
    """Killed at a random moment the run goes on from an earlier step, bit for bit, in every process."""
    chance, begun = random.Random(count), []
    for _ in range(KILLS):
        children = started(tmp_path, count)
        wanted = chance.randint(1, 4)
        while said(tmp_path).count("saves") < wanted and children[0].poll() is None:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.3))
        for child in children:
            child.send_signal(signal.SIGKILL)
        codes = [child.wait() for child in children]
        assert codes == [-signal.SIGKILL] * count, said(tmp_path)[-3000:]
        begun.append(int(said(tmp_path).split("from", 1)[1].split()[0]))
    children = started(tmp_path, count)
    codes = [child.wait(timeout=300) for child in children]
    assert codes == [0] * count, "\n".join(path.read_text()[-3000:] for path in tmp_path.glob("said-*"))
    assert begun == sorted(begun)
    assert begun[-1] > 0
