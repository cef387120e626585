"""Files of each format into vaults, beside the plain read of the same file by the format's own library.

A conversion writes the vault, reads it and the file again, and compares; the plain read gives arrays and
forgets them. Both are warm, and take turns in an order shuffled each round.
"""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
from strongbax.converters import convert, export
from strongbax.vault import Episode, Vault

from .data import vectors
from .measure import Series, Target, Work, in_turns, seconds
from .peers import OURS
from .plain_reads import READERS

_EPISODE = 1_000  # steps, as in MuJoCo's tasks
_SHORT = 50  # steps, as demonstrations of robots are
_AT_MOST = 2.5
_FORMATS = tuple(READERS)
_MANY = ("minari", "robomimic", "d3rlpy", "rlds", "lerobot")  # which keep each episode by itself


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures every format that we write, since its files can be made here."""
    del who
    rounds, count = (2, 20_000) if quick else (5, 300_000)
    works: list[Work] = []
    for length, formats in ((_EPISODE, _FORMATS), (_SHORT, _MANY)):
        folder = directory / f"converting-{length}"
        steps = count if length == _EPISODE else count // 15
        vault = _vault(folder, steps, length)
        works += [_work(folder, vault, name, rounds, length) for name in formats]
        shutil.rmtree(folder)
    return works


def _vault(folder: Path, count: int, length: int) -> Path:
    """Writes episodes of one length with final rows, as a dataset of MuJoCo has them."""
    leaves = {name: rows[0] for name, rows in vectors(1, count + count // length, 11, 3).items()}
    step = {name: leaves[name][0] for name in ("observation", "action", "reward")}
    flags = {"terminated": np.zeros((), np.bool_), "truncated": np.zeros((), np.bool_)}
    with Vault.create(folder / "vault", steps=step | flags) as vault:
        for start in range(0, len(leaves["reward"]) - length, length + 1):
            rows = {name: leaves[name][start : start + length] for name in step}
            last = np.arange(length) == length - 1
            rows |= {"terminated": np.zeros(length, np.bool_), "truncated": last}
            final = {"observation": leaves["observation"][start + length]}
            vault.append(Episode(rows, final, terminated=False, truncated=True))
    return folder / "vault"


def _work(folder: Path, vault: Path, name: str, rounds: int, length: int) -> Work:
    library, read = READERS[name]
    options = {"fps": 20} if name == "lerobot" else {}
    file = folder / name
    with Vault.open(vault) as contents:
        report = export(contents, file, name, **options)
    size = sum(f.stat().st_size for f in file.rglob("*") if f.is_file()) or file.stat().st_size
    runs = {library: partial(seconds, partial(read, file)), OURS: partial(_convert, file, folder / "again")}
    in_turns(runs, 1)
    values = in_turns(runs, rounds)
    series = {who: Series([[1e3 * value] for value in taken]) for who, taken in values.items()}
    rate = report.num_steps / np.median(values[OURS])
    title = f"convert {name}: {report.num_steps:,} steps in episodes of {length:,}, {size / 1e6:.0f} MB"
    note = f"{rate:,.0f} steps a second, written, read back and compared"
    return Work(title, "ms", series, OURS, (Target(library, at_most=_AT_MOST),), note)


def _convert(file: Path, dst: Path) -> float:
    taken = seconds(lambda: convert(file, dst))
    shutil.rmtree(dst)
    return taken
