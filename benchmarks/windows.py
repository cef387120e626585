"""Windows from disk: 256 random windows of 32 steps, all leaves, files in memory (warm) or not (cold).

Every contestant gets the same places, new ones each time. Cold is the first batch after opening, with no page
of the files in memory.
"""

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from strongbax.vault import Vault

from . import stores
from .data import ANT, GAME, HOPPER, Workload, size
from .disk import forget
from .measure import Series, Target, Work, in_turns, seconds
from .peers import FLASHBAX, OURS

MEMORY, LOADER = "in memory", "Strongbax, a loader's batch"
_COUNT, _LENGTH = 256, 32


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures one stream, 64 streams, and frames."""
    scale, flashbax = 10 if quick else 1, FLASHBAX in who
    one = (Target(stores.MEMMAP, at_most=1.8), Target(FLASHBAX, faster=40.0))
    many = (Target(stores.MEMMAP, at_most=2.2), Target(FLASHBAX, faster=40.0))
    works: list[Work] = []
    for name, workload, count, targets in (
        ("windows-1", HOPPER, 1_000_000 // scale, one),
        ("windows-64", ANT, 16_384 // scale, many),
        ("windows-frames", GAME, 40_000 // scale, (Target(FLASHBAX, faster=5.0),)),
    ):
        held = tuple(t for t in targets if flashbax or t.peer != FLASHBAX)
        works += _measure(directory / name, workload, count, held, quick=quick, flashbax=flashbax)
    return works


def _measure(
    folder: Path, workload: Workload, count: int, targets: tuple[Target, ...], *, quick: bool, flashbax: bool
) -> list[Work]:
    steps = workload.make(count)
    opens = stores.write(folder, steps, _LENGTH, frames=workload.frames, flashbax=flashbax)
    memory = stores.in_memory(steps, _LENGTH, frames=workload.frames)
    random = np.random.default_rng(0)

    def places() -> tuple[Any, Any]:
        streams = random.integers(0, workload.streams, _COUNT)
        return streams, random.integers(0, count - _LENGTH, _COUNT)

    reads = {MEMORY: memory} | {who: open_store() for who, open_store in opens.items()}
    drawn = places()
    expected = memory(*drawn)
    for read in reads.values():
        for name, leaf in read(*drawn).items():
            assert np.array_equal(leaf, expected[name]), name
    what = f"{workload.streams} x {count:,} steps, {size(steps) / 1e6:.0f} MB"
    title = f"{_COUNT} windows x {_LENGTH} steps from disk{', frames' if workload.frames else ''}: {what}"
    runs = {who: lambda read=read: seconds(partial(read, *places())) for who, read in reads.items()}
    runs[LOADER] = _loader_batches(folder / "vault")
    repetitions, rounds = (2, 3) if quick else (5, 15)
    warm = _timed(runs, repetitions, rounds)
    del reads, runs, read  # and so their files

    def first(who: str) -> float:
        forget(folder)
        read = opens[who]()
        return seconds(partial(read, *places()))

    cold = _timed({who: partial(first, who) for who in opens}, 2 if quick else 5, 2)
    return [
        Work(title, "ms", warm, OURS, targets, f"{repetitions} x {rounds} batches, warm"),
        Work(f"{title}, cold", "ms", cold, OURS, (), "the first batch after opening, no page in memory"),
    ]


def _loader_batches(path: Path) -> Callable[[], float]:
    loader, numbers = Vault.open(path).loader(_COUNT, _LENGTH, seed=1), itertools.count()
    return lambda: seconds(lambda: loader.batch_numpy(next(numbers)))


def _timed(runs: dict[str, Any], repetitions: int, rounds: int) -> dict[str, Series]:
    found: dict[str, list[list[float]]] = {who: [] for who in runs}
    for seed in range(-1, repetitions):
        for who, taken in in_turns(runs, rounds, abs(seed)).items():
            if seed >= 0:
                found[who].append([1e3 * value for value in taken])
    return {who: Series(values) for who, values in found.items()}
