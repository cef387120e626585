"""Episode windows beside Flashbax's plain windows, which cross the ends of episodes: sample and add.

Both hold the same steps in 16 streams and give 32 windows of 80 steps; an episode lasts 200 steps on average.
Of ours, every choice of what becomes of short windows is measured, and drawing every episode alike.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from strongbax.buffer import make_episode_buffer

from .buffers import SEQUENCES, THEIRS, Contestant, add_in_scan, contestant, sample_in_scan
from .measure import Series, Target, Work, in_turns
from .peers import OURS

_STREAMS, _STEPS, _COUNT, _LENGTH, _MEAN = 16, 32, 32, 80, 200
_CHOICES = {
    OURS: {"short": "drop"},
    "short='pad'": {"short": "pad"},
    "short='pad_left'": {"short": "pad_left"},
    "short='shift'": {"short": "shift"},
    "weights='episodes'": {"weights": "episodes"},
}


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures every choice at several capacities."""
    del directory
    rivals = [THEIRS] if any(THEIRS in name for name in who) else []
    capacities = (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000)
    return [work for capacity in capacities for work in _run(capacity, rivals, 2 if quick else 5)]


def _run(capacity: int, rivals: list[str], repetitions: int) -> list[Work]:
    all_of_them = {who: filled(capacity, **choice) for who, choice in _CHOICES.items()}
    all_of_them |= {who: contestant(SEQUENCES, who, capacity) for who in rivals}
    title = f"episode windows, add {_STREAMS} x {_STEPS}, sample {_COUNT} x {_LENGTH}, {capacity:,} steps"
    return [
        _timed(f"{title}: {what}", {who: make(one) for who, one in all_of_them.items()}, repetitions, at_most)
        for what, make, at_most in (("sample", sample_in_scan, 1.0), ("add", add_in_scan, 1.5))
    ]


def filled(capacity: int, **choice: Any) -> Contestant:
    """Makes a full buffer of ours: the steps of the rivals, but that episodes end in them."""
    theirs = contestant(SEQUENCES, OURS, capacity)
    ends = np.random.default_rng(1).random((_STREAMS, _STEPS)) < 1 / _MEAN
    batch = {**theirs.batch, "discount": jnp.asarray(~ends, jnp.float32)}
    buffer = make_episode_buffer(_STREAMS, _COUNT, _LENGTH, capacity // _STREAMS, **choice)
    add, state = jax.jit(buffer.add, donate_argnums=0), buffer.init({k: v[0, 0] for k, v in batch.items()})
    for turn in range(-(-capacity // (_STREAMS * _STEPS))):
        ends = np.random.default_rng(turn).random((_STREAMS, _STEPS)) < 1 / _MEAN
        state = add(state, {**batch, "discount": jnp.asarray(~ends, jnp.float32)})
    return Contestant(buffer, jax.block_until_ready(state), batch, SEQUENCES.turns)


def _timed(name: str, runs: dict[str, Callable[[], float]], repetitions: int, at_most: float) -> Work:
    in_turns(runs, 2)
    found: dict[str, list[list[float]]] = {who: [] for who in runs}
    for seed in range(repetitions):
        for who, values in in_turns(runs, 10, seed).items():
            found[who].append([1e6 * value for value in values])
    targets = (Target(THEIRS, at_most=at_most),) if THEIRS in runs else ()
    return Work(name, "µs", {who: Series(values) for who, values in found.items()}, OURS, targets)
