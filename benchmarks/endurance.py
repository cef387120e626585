"""A million steps in flushes of 1,000: what each costs as the store grows, what the disk was sent, and holds.

Every contestant runs in a process of its own, so that the system's counters are its own. `write_bytes` counts
the pages that were to be written, `wchar` the bytes given to write calls; the target is held to the former.
"""

import multiprocessing
import shutil
from dataclasses import dataclass
from pathlib import Path

from .data import HOPPER, size
from .disk import Held, held, sent, settle
from .measure import Series, Target, Work, seconds
from .peers import FLASHBAX, OURS, SINKS

_WARM_UP = 3
_BATCHES = 200  # made once and gone round, to spare memory


@dataclass(frozen=True)
class Endurance:
    """What one contestant's run took.

    Attributes:
      flushes: milliseconds of each.
      close: milliseconds.
      data: bytes that were to be kept.
      written: bytes that went to the disk (`write_bytes`), from the first flush until after `close`.
      given: bytes given to write calls (`wchar`), in the same time.
      kept: what is on the disk after `close`.
    """

    flushes: list[float]
    close: float
    data: int
    written: int
    given: int
    kept: Held


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Runs everybody, in turns, and gives the rows of time and those of bytes."""
    repetitions, flushes = (1, 200) if quick else (3, 1_000)
    runs: dict[str, list[Endurance]] = {name: [] for name in who}
    for repetition in range(repetitions):
        for name in who:
            if name != FLASHBAX:
                runs[name].append(_apart(name, directory / f"endurance-{repetition}-{name}", flushes))
    if FLASHBAX in who:
        runs[FLASHBAX].append(_apart(FLASHBAX, directory / "endurance-flashbax", flushes // 5))
    return [*_times(runs, flushes), *_bytes(runs, flushes)]


def run(name: str, folder: Path, flushes: int) -> Endurance:
    """Runs one contestant, in the process that is its own."""
    sink, batches = SINKS[name](folder, HOPPER), HOPPER.batches(min(flushes, _BATCHES))
    settle()
    before, times = sent(), list[float]()
    for flush in range(flushes):
        sink.prepare(batches[flush % len(batches)])
        times.append(1e3 * seconds(sink.flush))
    close = 1e3 * seconds(sink.close)
    settle()
    after = sent()
    written, given = (after[key] - before[key] for key in ("write_bytes", "wchar"))
    kept = held(folder)
    shutil.rmtree(folder)
    return Endurance(times, close, flushes * size(batches[0]), written, given, kept)


def _apart(name: str, folder: Path, flushes: int) -> Endurance:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (name, folder, flushes))


def _times(runs: dict[str, list[Endurance]], flushes: int) -> list[Work]:
    tenth, what = flushes // 10, _what(runs, flushes)
    warm = {name: [run.flushes[_WARM_UP:] for run in taken] for name, taken in runs.items()}

    def growth(times: list[float]) -> float:
        last, first = Series([times[-tenth:]]), Series([times[:tenth]])
        return last.quantile(0.5) / first.quantile(0.5)

    return [
        _work("every flush of 1,000 steps", "ms", {n: Series(t) for n, t in warm.items()}, (), what),
        *(
            _each(f"{label} of those flushes", "ms", warm, lambda times, q=q: Series([times]).quantile(q))
            for label, q in (("95th percentile", 0.95), ("longest", 1.0))
        ),
        _each("median flush, last tenth over first", "x", warm, growth, Target(None, at_most=1.3)),
        _each("close after those flushes", "ms", runs, lambda run: run.close),
    ]


def _bytes(runs: dict[str, list[Endurance]], flushes: int) -> list[Work]:
    what = _what(runs, flushes)
    at_most = (Target(None, at_most=2.2), Target(None, at_most=1.1))
    return [
        _each(
            "bytes sent to the disk, a byte of data",
            "x",
            runs,
            lambda r: r.written / r.data,
            at_most[0],
            what,
        ),
        _each("bytes given to write calls, a byte of data", "x", runs, lambda r: r.given / r.data),
        _each(
            "bytes in files after close, a byte of data",
            "x",
            runs,
            lambda r: r.kept.apparent / r.data,
            at_most[1],
        ),
        _each("bytes allocated after close, a byte of data", "x", runs, lambda r: r.kept.allocated / r.data),
        _each("files after close", "", runs, lambda r: r.kept.files),
    ]


def _each(name, unit, runs, figure, target=None, note="") -> Work:
    series = {who: Series([[float(figure(run))] for run in taken]) for who, taken in runs.items()}
    return _work(name, unit, series, (target,) if target else (), note)


def _work(name: str, unit: str, series: dict[str, Series], targets: tuple[Target, ...], note: str) -> Work:
    return Work(name, unit, series, OURS, targets, note)


def _what(runs: dict[str, list[Endurance]], flushes: int) -> str:
    few = f"; {FLASHBAX} 1 x {flushes // 5}" if FLASHBAX in runs else ""
    return f"{len(runs[OURS])} x {flushes:,} flushes{few}"
