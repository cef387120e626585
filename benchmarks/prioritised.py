"""Prioritised buffers beside Flashbax's: draw, set priorities, add, and all three, in a scan.

Flashbax has two ways to update its tree: one leaf after the other ("scan", which it takes on CPUs), and all
at once with a count over the whole capacity ("bincount", on accelerators). Both are measured here.
"""

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from .buffers import FRAMES, THEIRS, Contestant, Kind, add_in_scan, contestant, donated, sample_in_scan
from .measure import Series, Target, Work, in_turns
from .peers import OURS

BINCOUNT = "Flashbax, bincount"
_ADDED, _DRAWN = 64, 256

PAIRS = Kind(
    f"prioritised flat, add {_ADDED}, sample {_DRAWN}",
    lambda package, capacity: package.make_prioritised_flat_buffer(capacity, _DRAWN, _DRAWN, False, _ADDED),
    (_ADDED,),
)
RECURRENT = Kind(
    "prioritised trajectory as in R2D2, frames 84 x 84, add 16 x 40, sample 32 x 80 a 40",
    lambda package, capacity: package.make_prioritised_trajectory_buffer(
        16, 32, 80, 40, 80, max_length_time_axis=capacity // 16 // 40 * 40
    ),
    (16, 40),
    step=FRAMES,
    turns=20,
    most=100_000,
    period=40,
)


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures at several capacities."""
    del directory
    packages = [OURS, THEIRS] if any(THEIRS in name for name in who) else [OURS]
    capacities = (10_000,) if quick else (10_000, 100_000, 1_000_000)
    return [
        work
        for kind in (PAIRS, RECURRENT)
        for capacity in capacities
        if capacity <= kind.most
        for work in _run(kind, capacity, packages, 2 if quick else 5)
    ]


def _run(kind: Kind, capacity: int, packages: list[str], repetitions: int) -> list[Work]:
    both = {who: contestant(kind, who, capacity) for who in packages}
    title = f"{kind.name}, {capacity:,} steps"
    setters = {who: _set_in_scan(one, one.buffer.set_priorities) for who, one in both.items()}
    if THEIRS in both:
        setters[BINCOUNT] = _set_in_scan(both[THEIRS], _by_bincount())
    targets = (Target(THEIRS, faster=2.0), Target(BINCOUNT, faster=15.0)) if capacity == 1_000_000 else ()
    changed = _drawn(both[OURS])
    return [
        _timed(f"{title}: sample", {who: sample_in_scan(one) for who, one in both.items()}, repetitions),
        _timed(f"{title}: set {changed} priorities", setters, repetitions, targets),
        _timed(f"{title}: add", {who: add_in_scan(one) for who, one in both.items()}, repetitions),
        _timed(
            f"{title}: add, sample, set", {who: _all_in_scan(one) for who, one in both.items()}, repetitions
        ),
    ]


def _timed(
    name: str, runs: dict[str, Callable[[], float]], repetitions: int, targets: tuple[Target, ...] = ()
) -> Work:
    in_turns(runs, 2)
    found: dict[str, list[list[float]]] = {who: [] for who in runs}
    for seed in range(repetitions):
        for who, values in in_turns(runs, 10, seed).items():
            found[who].append([1e6 * value for value in values])
    held = tuple(target for target in targets if target.peer in runs)
    return Work(name, "µs", {who: Series(values) for who, values in found.items()}, OURS, held)


def _by_bincount() -> Callable[..., Any]:
    theirs = importlib.import_module("flashbax.buffers.prioritised_trajectory_buffer")
    return partial(theirs.set_priorities, priority_exponent=0.6, device="tpu")


def _set_in_scan(one: Contestant, setter: Callable[..., Any]) -> Callable[[], float]:
    key_indices, key_values = jax.random.split(jax.random.key(1))
    drawn = _drawn(one)
    indices = jax.random.randint(
        key_indices, (one.turns, drawn), 0, one.state.experience["reward"].size // one.period
    )
    values = jax.random.uniform(key_values, (one.turns, drawn), minval=0.1)

    def change(state: Any, batch: Any) -> Any:
        del batch
        return jax.lax.scan(lambda s, x: (setter(s, *x), None), state, (indices, values))[0]

    return partial(donated, jax.jit(change, donate_argnums=0), one, 1, one.turns)


def _drawn(one: Contestant) -> int:
    """How many priorities a draw gives."""
    return jax.eval_shape(one.buffer.sample, one.state, jax.random.key(0)).indices.size


def _all_in_scan(one: Contestant) -> Callable[[], float]:
    def turn(state: Any, key: Any, batch: Any) -> Any:
        state = one.buffer.add(state, batch)
        drawn = one.buffer.sample(state, key)
        rewards = getattr(drawn.experience, "first", drawn.experience)["reward"]
        errors = jnp.abs(rewards).reshape(len(drawn.indices), -1).mean(1) + 0.1
        return one.buffer.set_priorities(state, drawn.indices, errors), None

    def train(state: Any, batch: Any) -> Any:
        keys = jax.random.split(jax.random.key(2), one.turns)
        return jax.lax.scan(lambda s, k: turn(s, k, batch), state, keys)[0]

    return partial(donated, jax.jit(train, donate_argnums=0), one, 1, one.turns)
