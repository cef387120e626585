"""One, two and four processes that write one vault at once, each its own part; and as many raw files.

Every process flushes 1,000 steps at a time, as fast as it can, all beginning together. What is given is the
span of all divided by the flushes of all: the less, the more steps a second.
"""

import multiprocessing
import shutil
import time
from pathlib import Path
from typing import Any

from strongbax.vault import Episode, Vault

from .data import HOPPER, one_step
from .measure import Series, Work, in_turns
from .peers import OURS, RAW
from .peers.raw import Raw

_FLUSH, _FLUSHES, _MOST = 1_000, 60, (1, 2, 4)


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures 1, 2 and 4 writers."""
    del who
    return [_work(directory, count, 2 if quick else 5) for count in _MOST]


def _work(directory: Path, writers: int, repetitions: int) -> Work:
    found: dict[str, list[list[float]]] = {RAW: [], OURS: []}
    for seed in range(repetitions):
        runs = {
            name: (lambda name=name: _together(directory / f"writers-{writers}", name, writers))
            for name in found
        }
        for name, values in in_turns(runs, 1, seed).items():
            found[name].append(values)
    title = f"flush {_FLUSH:,} steps, {writers} writer{'s' * (writers > 1)} at once"
    return Work(title, "ms", {name: Series(values) for name, values in found.items()}, OURS)


def _together(folder: Path, name: str, writers: int) -> float:
    folder.mkdir(parents=True)
    if name == OURS:
        Vault.create(folder / "vault", steps=one_step(HOPPER.make(2))).close()
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(writers)
    with context.Pool(writers, _share, (start,)) as pool:
        spans = pool.starmap(_run, [(str(folder), name, number) for number in range(writers)], chunksize=1)
    shutil.rmtree(folder)
    begin, end = min(span[0] for span in spans), max(span[1] for span in spans)
    return 1e3 * (end - begin) / (writers * _FLUSHES)


_START: Any = None


def _share(start: Any) -> None:
    global _START  # noqa: PLW0603 - how a pool's processes are given what cannot be pickled
    _START = start


def _run(folder: str, name: str, number: int) -> tuple[float, float]:
    """Writes one part; gives when it began and ended, by a clock that all processes share."""
    batches = HOPPER.batches(_FLUSHES + 1)
    if name == OURS:
        part = Vault.open(Path(folder) / "vault", mode="a", part=f"writer-{number}")

        def flush(batch: Any) -> None:
            part.append(Episode({leaf: values[0] for leaf, values in batch.items()}))
    else:
        sink = Raw(Path(folder) / f"raw-{number}", HOPPER)

        def flush(batch: Any) -> None:
            sink.prepare(batch)
            sink.flush()

    flush(batches[0])
    _START.wait()
    begin = time.monotonic()
    for batch in batches[1:]:
        flush(batch)
    return begin, time.monotonic()
