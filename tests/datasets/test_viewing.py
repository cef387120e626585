"""`strongbax view`, as a process that is started and stopped."""

import re
import signal
import subprocess
import sys
import urllib.request

import numpy as np
from strongbax.vault import Vault


def test_view_serves_until_ctrl_c(tmp_path):
    """`view` prints its address, serves vault and page there, and ends well at Ctrl-C."""
    path = tmp_path / "toy.vault"
    Vault.create(path, steps={"reward": np.float32(0)}).close()
    command = [sys.executable, "-m", "strongbax", "view", str(path), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+/", said)[0]
        with urllib.request.urlopen(url) as answer:
            assert answer.read().startswith(b"<!doctype html>")
        with urllib.request.urlopen(url + "zarr.json") as answer:
            assert b"strongbax" in answer.read()
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (0, "Stopped.\n", "")


def test_view_says_what_is_no_vault(strongbax, tmp_path):
    """A folder that is no vault, and a URL without one, are refused in one line."""
    code, _, error = strongbax("view", tmp_path, "--no-open")
    assert code == 2
    assert "is not a vault" in error
    code, _, error = strongbax("view", "memory://nothing/toy.vault", "--no-open")
    assert code == 2
    assert "is not a vault" in error
