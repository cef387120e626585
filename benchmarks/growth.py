"""From 10^5 to 10^7 steps: what a flush, opening, and a batch of random windows cost as the vault grows.

The vault is filled with blocks of recorded steps, closed, and opened to write; then a buffer's flushes of
1,000 steps are timed, and batches of 256 windows of 32 steps are drawn from disk, files in memory.
"""

import itertools
from pathlib import Path

import jax
import numpy as np
import strongbax.buffer as fbx
from strongbax.vault import Ends, Vault

from .data import HOPPER, Steps, one_step
from .measure import Series, Work, seconds
from .peers import OURS

_SIZES = (100_000, 1_000_000, 10_000_000)
_PART, _FLUSH, _FLUSHES, _BATCHES, _OPENINGS = 100_000, 1_000, 60, 40, 20
_EPISODE = 500


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures each size; the least stands for a peer, so that the ratio is the growth."""
    del who
    sizes = _SIZES[:2] if quick else _SIZES
    found = {size: _at(directory / f"growth-{size}", size) for size in sizes}
    return [
        Work(
            f"as a vault grows: {what}",
            "ms",
            {_name(size): Series([found[size][what]]) for size in sizes},
            _name(sizes[-1]),
        )
        for what in found[sizes[0]]
    ]


def _name(size: int) -> str:
    return f"{OURS}, {size:,} steps"


def _at(folder: Path, size: int) -> dict[str, list[float]]:
    _fill(folder, size)
    return {
        f"flush {_FLUSH:,} steps": _flushes(folder),
        "open": [1e3 * seconds(lambda: Vault.open(folder)) for _ in range(_OPENINGS)],
        "open, and read the episode table": [
            1e3 * seconds(lambda: Vault.open(folder).episodes) for _ in range(_OPENINGS)
        ],
        "256 windows x 32 steps from disk": _batches(folder),
    }


def _fill(folder: Path, size: int) -> None:
    steps = HOPPER.make(_PART)
    stops = np.arange(_EPISODE, _PART + 1, _EPISODE)
    ends = Ends(stops, np.ones(len(stops), bool), np.zeros(len(stops), bool))
    with Vault.create(folder, steps=one_step(steps)) as vault:
        for _ in range(size // _PART):
            vault.extend({name: leaf[0] for name, leaf in steps.items()}, ends)


def _flushes(folder: Path) -> list[float]:
    batches: list[Steps] = HOPPER.batches(_FLUSHES)
    buffer = fbx.make_trajectory_buffer(1, 1, 2, 1, 2, max_length_time_axis=4 * _FLUSH)
    add, state = jax.jit(buffer.add, donate_argnums=0), buffer.init(one_step(batches[0]))
    times: list[float] = []
    with Vault.open(folder, mode="a") as vault:
        for batch in batches:
            state = jax.block_until_ready(add(state, dict(batch)))
            times.append(1e3 * seconds(lambda: vault.write(state, continues=False if not times else None)))  # noqa: B023 - called at once
    return times[5:]


def _batches(folder: Path) -> list[float]:
    loader, numbers = Vault.open(folder).loader(256, 32, seed=1), itertools.count()
    times = [1e3 * seconds(lambda: loader.batch_numpy(next(numbers))) for _ in range(_BATCHES)]
    return times[_BATCHES // 4 :]
