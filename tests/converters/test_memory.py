"""Memory: a conversion holds a few blocks, however long its source is."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from strongbax.converters import export
from strongbax.vault.episodes import Ends
from strongbax.vault.vault import Vault

ROWS = 1_000_000
WIDTH = 111  # of Ant, the widest observation: 950 MB of rows in the file
LIMIT = 400  # MB; measured: 36

CODE = """
import sys
from pathlib import Path
from strongbax.converters import convert

def peak():  # MB, of this program alone: what getrusage gives begins with the parent's
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

convert(sys.argv[1], sys.argv[3] + "/small")
before = peak()
report = convert(sys.argv[2], sys.argv[3] + "/large")
print(report.num_steps, report.num_episodes, peak() - before, before)
"""
SOME = 40  # numbers of an observation: 10^6 steps are 180 MB
GROWTH = 300  # MB; docs/converters.md has what was measured


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
    steps, episodes, growth, _ = done.stdout.split()
    assert (int(steps), int(episodes)) == (ROWS, 1000)
    assert float(growth) < LIMIT, f"{growth} MB"


def write_vault(path: Path, steps: int) -> Vault:
    """Makes a vault of episodes of 1000 steps."""
    example = {
        "observation": np.zeros(SOME, np.float32),
        "action": np.zeros(3, np.float32),
        "reward": np.float32(0),
        "terminated": np.bool_(0),
        "truncated": np.bool_(0),
    }
    vault = Vault.create(path, steps=example, finals=["observation"])
    rng = np.random.default_rng(0)
    stop = np.arange(1000, 10_001, 1000)
    for _ in range(steps // 10_000):
        rows = {name: rng.normal(size=(10_000, *np.shape(leaf))) for name, leaf in example.items()}
        flags = {"terminated": np.zeros(10_000, np.bool_), "truncated": np.arange(10_000) % 1000 == 999}
        rows = {name: values.astype(example[name].dtype) for name, values in rows.items()} | flags
        final = {"observation": rows["observation"][:10]}
        vault.extend(rows, Ends(stop, np.zeros(10, np.bool_), np.ones(10, np.bool_), final))
    return vault


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["d4rl", "minari", "rlds", "lerobot"])
def test_memory_does_not_grow_with_the_dataset(tmp_path: Path, name: str):
    """Converting 10^6 steps takes no more memory than converting 10^4, but for a few blocks."""
    for size, steps in (("small", 10_000), ("large", 1_000_000)):
        with write_vault(tmp_path / f"{size}.vault", steps) as vault:
            export(vault, tmp_path / f"{size}-v0", name, **({"fps": 10} if name == "lerobot" else {}))
        shutil.rmtree(tmp_path / f"{size}.vault")
    done = subprocess.run(
        [sys.executable, "-c", CODE, tmp_path / "small-v0", tmp_path / "large-v0", tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=540,
    )
    shutil.rmtree(tmp_path)
    steps, episodes, growth, before = done.stdout.split()
    print(f"{name}: {before} MB for 10^4 steps, {growth} MB more for 10^6")
    assert (int(steps), int(episodes)) == (1_000_000, 1000)
    assert float(growth) < GROWTH, f"{growth} MB"
