"""Memory: a conversion holds a few blocks, however long its source is."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

ROWS = 1_000_000
WIDTH = 111  # of Ant, the widest observation: 950 MB of rows in the file
LIMIT = 400  # MB; measured: 36

CODE = """
import resource, sys
from strongbax.converters import convert

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB, on Linux

convert(sys.argv[1], sys.argv[3] + "/small")
before = peak()
report = convert(sys.argv[2], sys.argv[3] + "/large")
print(report.num_steps, report.num_episodes, peak() - before)
"""


def write_repeating(path: Path, rows: int) -> None:
    """Writes a file of Ant's shape whose rows repeat, so that it is written and unpacked quickly."""
    pattern = np.random.default_rng(0).normal(size=(1000, WIDTH)).astype(np.float32)
    with h5py.File(path, "w") as file:
        options = {"compression": "gzip", "compression_opts": 1}
        made = {
            key: file.create_dataset(key, (rows, WIDTH), np.float32, chunks=(min(rows, 8000), 4), **options)
            for key in ("observations", "next_observations")
        }
        for start in range(0, rows, 200_000):
            part = np.tile(pattern, (200, 1))[: rows - start]
            made["observations"][start : start + len(part)] = part
            made["next_observations"][start : start + len(part)] = np.roll(part, -1, axis=0)
        file.create_dataset("actions", data=np.zeros((rows, 8), np.float32), **options)
        file.create_dataset("rewards", data=np.ones(rows, np.float32), **options)
        file.create_dataset("terminals", data=np.zeros(rows, np.bool_), **options)
        file.create_dataset("timeouts", data=np.arange(rows) % 1000 == 999, **options)


@pytest.mark.heavy
def test_a_million_rows_fit_in_a_few_blocks(tmp_path: Path):
    """Converting 950 MB of rows takes less than 400 MB more than converting 1 MB of them."""
    write_repeating(tmp_path / "small.hdf5", 1000)
    write_repeating(tmp_path / "large.hdf5", ROWS)
    try:
        done = subprocess.run(
            [sys.executable, "-c", CODE, tmp_path / "small.hdf5", tmp_path / "large.hdf5", tmp_path],
            capture_output=True,
            text=True,
            check=True,
            timeout=540,
        )
    finally:
        shutil.rmtree(tmp_path / "large", ignore_errors=True)
        (tmp_path / "large.hdf5").unlink()
    steps, episodes, growth = done.stdout.split()
    assert (int(steps), int(episodes)) == (ROWS, 1000)
    assert float(growth) < LIMIT, f"{growth} MB"
