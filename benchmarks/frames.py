"""Frames on disk: megabytes the game's frames take after `close`, and how well they compress at all."""

import shutil
from pathlib import Path

from numcodecs import Zstd

from .data import GAME, Steps, size
from .disk import held
from .measure import Series, Target, Work
from .peers import OURS, SINKS

_INNER = 32  # frames compressed together, as in our shards
_ON_DISK = 3.5 / 353  # what the target allows, a byte of data


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures the sizes of closed stores."""
    flushes = 5 if quick else 50
    batches = GAME.batches(flushes)
    megabytes = sum(map(size, batches)) / 1e6
    kept: dict[str, float] = {}
    pictures = 0.0
    for place, name in enumerate(who):
        folder = directory / f"frames-{place}"
        sink = SINKS[name](folder, GAME)
        for batch in batches:
            sink.prepare(batch)
            sink.flush()
        sink.close()
        kept[name] = held(folder).apparent / 1e6
        if name == OURS:
            pictures = held(folder / "steps" / "observation").apparent / 1e6
        shutil.rmtree(folder)
    ratio = _zstd(batches[0])
    return [
        Work(
            f"frames on disk after close: {flushes * GAME.flush:,} frames, {megabytes:.0f} MB",
            "MB",
            {name: Series([[value]]) for name, value in kept.items()},
            OURS,
            (Target(None, at_most=round(_ON_DISK * megabytes, 2)),),
            f"ours: {pictures:.2f} MB are pictures; zstd-1 of {_INNER} together: {ratio:.0f} times smaller",
        )
    ]


def _zstd(steps: Steps) -> float:
    pictures = steps["observation"][0]
    parts = [pictures[at : at + _INNER] for at in range(0, len(pictures) - _INNER + 1, _INNER)]
    return sum(part.nbytes for part in parts) / sum(len(Zstd(1).encode(part)) for part in parts)
