"""Flush: new steps become durable. Fresh stores, the first flushes of each.

Within a repetition raw append, HDF5 and ours take turns flush by flush; Flashbax's Vault, which keeps both
cores busy for a tenth of a second a flush, does its flushes after them.
"""

import shutil
from functools import partial
from pathlib import Path

from .data import ANT, GAME, HOPPER, HOPPER_LONG, Steps, Workload
from .disk import settle
from .measure import Series, Target, Work, in_turns, seconds
from .peers import FLASHBAX, OURS, RAW, SINKS

_TARGETS = {
    HOPPER: (Target(RAW, at_most=1.3), Target(FLASHBAX, faster=150)),
    HOPPER_LONG: (Target(RAW, at_most=1.7), Target(FLASHBAX, faster=100)),
    ANT: (Target(RAW, at_most=1.5), Target(FLASHBAX, faster=60)),
    GAME: (Target(RAW, at_most=1.0),),
}
_FLUSHES = {HOPPER: 100, HOPPER_LONG: 50, ANT: 100, GAME: 20}
_FLASHBAX_FLUSHES = 20
_WARM_UP = 3  # compilation, first files


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures every workload."""
    return [one(work, directory, who, quick=quick) for work in _TARGETS]


def one(work: Workload, directory: Path, who: list[str], *, quick: bool) -> Work:
    """Measures one workload."""
    repetitions, flushes = (2, 20) if quick else (5, _FLUSHES[work])
    batches = work.batches(flushes + _WARM_UP)
    found: dict[str, list[list[float]]] = {name: [] for name in who}
    for repetition in range(repetitions):
        folder = directory / f"flush-{_slug(work.name)}-{repetition}"
        fast = [name for name in who if name != FLASHBAX]
        for name, values in repeat(work, folder, fast, batches, repetition).items():
            found[name].append(values)
        if FLASHBAX in who:
            few = batches[: _FLASHBAX_FLUSHES + _WARM_UP]
            found[FLASHBAX] += repeat(work, folder, [FLASHBAX], few, repetition).values()
        shutil.rmtree(folder)
    series = {name: Series([[1e3 * v for v in values] for values in found[name]]) for name in who}
    targets = tuple(target for target in _TARGETS[work] if target.peer in who)
    return Work(f"flush {work.name}", "ms", series, OURS, targets, f"{repetitions} x {flushes} flushes")


def repeat(
    work: Workload, folder: Path, who: list[str], batches: list[Steps], seed: int
) -> dict[str, list[float]]:
    """Lets contestants flush the same batches to fresh stores, in turns; gives seconds a flush."""
    sinks = {name: SINKS[name](folder / _slug(name), work) for name in who}
    left = {name: iter(batches) for name in who}

    def once(name: str) -> float:
        sinks[name].prepare(next(left[name]))
        return seconds(sinks[name].flush)

    settle()
    values = in_turns({name: partial(once, name) for name in who}, len(batches), seed)
    for sink in sinks.values():
        sink.close()
    return {name: taken[_WARM_UP:] for name, taken in values.items()}


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name).lower().split())
