"""Windows from disk: 256 random windows of 32 steps, all leaves, from stores in the page cache.

Every contestant gets the same places, new ones each time. `np.memmap` holds each leaf in a file of its own
and is indexed with the rows of all windows at once; so is a copy in memory. HDF5 reads a slice a window.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from strongbax.vault import Ends, Vault
from strongbax.vault.gather import Windows

from .data import ANT, GAME, HOPPER, Steps, Workload, one_step, size
from .measure import Series, Target, Work, in_turns, seconds
from .peers import HDF5, OURS

MEMMAP, MEMORY, LOADER = "np.memmap", "in memory", "Strongbax, a loader's batch"
_COUNT, _LENGTH = 256, 32


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures one stream, 64 streams, and frames."""
    del who
    scale = 10 if quick else 1
    return [
        _measure(directory / "windows-1", HOPPER, 1_000_000 // scale, quick=quick, at_most=1.8),
        _measure(directory / "windows-64", ANT, 16_384 // scale, quick=quick, at_most=2.2),
        _measure(directory / "windows-frames", GAME, 40_000 // scale, quick=quick, at_most=None),
    ]


def _measure(folder: Path, workload: Workload, count: int, *, quick: bool, at_most: float | None) -> Work:
    steps = workload.make(count)
    folder.mkdir(parents=True)
    vault = _write(folder, steps, workload.streams)
    reads = _reads(folder, steps, vault, slices=workload.frames)
    random = np.random.default_rng(0)

    def places() -> tuple[Any, Any]:
        streams = random.integers(0, workload.streams, _COUNT)
        return streams, random.integers(0, count - _LENGTH, _COUNT)

    drawn = places()
    expected = reads[MEMORY](*drawn)
    for read in reads.values():
        for name, leaf in read(*drawn).items():
            assert np.array_equal(leaf, expected[name]), name
    loader = vault.loader(_COUNT, _LENGTH, seed=1)
    numbers = iter(range(1 << 30))
    repetitions, rounds = (2, 5) if quick else (5, 15)
    found: dict[str, list[list[float]]] = {who: [] for who in (*reads, LOADER)}
    for seed in range(-1, repetitions):
        runs = {who: lambda read=read: seconds(partial(read, *places())) for who, read in reads.items()}
        runs[LOADER] = lambda: seconds(lambda: loader.batch_numpy(next(numbers)))
        for who, taken in in_turns(runs, rounds, abs(seed)).items():
            if seed >= 0:
                found[who].append([1e3 * value for value in taken])
    what = f"{workload.streams} x {count:,} steps, {size(steps) / 1e6:.0f} MB"
    return Work(
        f"{_COUNT} windows x {_LENGTH} steps from disk{', frames' if workload.frames else ''}: {what}",
        "ms",
        {who: Series(values) for who, values in found.items()},
        OURS,
        (Target(MEMMAP, at_most=at_most),) if at_most else (),
        f"{repetitions} x {rounds} batches, warm",
    )


def _write(folder: Path, steps: Steps, streams: int) -> Vault:
    """Writes the steps to each store; in the vault a stream's steps are flushed 1,000 at a time."""
    count = next(iter(steps.values())).shape[1]
    with h5py.File(folder / "steps.h5", "w") as file:
        for name, leaf in steps.items():
            leaf.tofile(folder / name)
            rows = max(1, (1 << 20) // leaf[0, 0].nbytes)
            packed: dict[str, Any] = {"compression": "gzip"} if leaf[0, 0].nbytes > 1024 else {}
            shape = (1, min(rows, count), *leaf.shape[2:])
            file.create_dataset(name, data=leaf, chunks=shape, **packed)
    if streams == 1:
        with Vault.create(folder / "vault", steps=one_step(steps)) as vault:
            for at in range(0, count, 1000):
                part = {name: leaf[0, at : at + 1000] for name, leaf in steps.items()}
                last = np.array([len(part["done"])])
                vault.extend(part, Ends(last, np.ones(1, bool), np.zeros(1, bool)))
    else:
        with Vault.create(folder / "vault", steps=one_step(steps), streams=streams) as vault:
            vault.write(_State(dict(steps), np.int32(0), np.bool_(True), np.int32(1)))
    return Vault.open(folder / "vault")


class _State:
    """A buffer's state, full."""

    def __init__(self, experience: Any, index: Any, full: Any, laps: Any) -> None:
        self.experience, self.current_index, self.is_full, self.laps = experience, index, full, laps


def _reads(folder: Path, steps: Steps, vault: Vault, *, slices: bool) -> dict[str, Callable[..., Steps]]:
    maps = {n: np.memmap(folder / n, leaf.dtype, "r", shape=leaf.shape) for n, leaf in steps.items()}
    file = h5py.File(folder / "steps.h5", "r")
    snapshot = vault.selected().sources[0]
    within = np.arange(_LENGTH)

    def by_rows(leaves: Steps, streams: Any, starts: Any) -> Steps:
        return {n: leaf[streams[:, None], starts[:, None] + within] for n, leaf in leaves.items()}

    def by_slices(leaves: Any, streams: Any, starts: Any) -> Steps:
        places = list(zip(streams.tolist(), starts.tolist(), strict=True))
        out = {n: np.empty((_COUNT, _LENGTH, *leaf.shape[2:]), leaf.dtype) for n, leaf in steps.items()}
        for name, leaf in out.items():
            source = leaves[name]
            for place, (stream, start) in enumerate(places):
                leaf[place] = source[stream, start : start + _LENGTH]
        return out

    def ours(streams: Any, starts: Any) -> Steps:
        windows = Windows(streams, starts, starts, starts + _LENGTH, np.arange(_COUNT))
        out = {n: np.empty((_COUNT, _LENGTH, *leaf.shape[2:]), leaf.dtype) for n, leaf in steps.items()}
        for name, leaf in out.items():
            snapshot.gather(name, windows, leaf)
        return out

    plain = by_slices if slices else by_rows  # for frames a slice a window is faster
    return {
        MEMORY: partial(plain, steps),
        MEMMAP: partial(plain, maps),
        HDF5: partial(by_slices, file),
        OURS: ours,
    }
