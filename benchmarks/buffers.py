"""Buffers in memory beside Flashbax's: uniform sample and add, in a scan and a call at a time, compiling.

The same calls, by the same names, from both packages. In a scan each drawn batch is carried to the next turn,
so that nothing of it can be left out; a state is donated to `add`, as in training.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .measure import Series, Target, Work, in_turns, seconds
from .peers import OURS

THEIRS = "Flashbax"
_MODULES = {OURS: "strongbax.buffer", THEIRS: "flashbax"}
_ADDED, _DRAWN = 64, 256
_SLOWER = 1 / 0.95

NpArray = np.ndarray[Any, Any]
VECTORS: Mapping[str, NpArray] = {
    name: np.zeros(shape, np.float32)
    for name, shape in {"observation": (17,), "action": (6,), "reward": (), "discount": ()}.items()
}
FRAMES: Mapping[str, NpArray] = {
    "observation": np.zeros((84, 84), np.uint8),
    "action": np.zeros((), np.int32),
    "reward": np.zeros((), np.float32),
    "discount": np.zeros((), np.float32),
}


@dataclass(frozen=True)
class Kind:
    """A buffer and what goes through it.

    Attributes:
      name: as the table says it.
      make: package, capacity in steps -> buffer.
      batch: leading axes of what is added.
      step: leaves of one step, by name.
      turns: of a scan.
      most: the largest capacity, in steps.
      period: steps between two places to draw from.
    """

    name: str
    make: Callable[[Any, int], Any]
    batch: tuple[int, ...]
    step: Mapping[str, NpArray] = field(default_factory=lambda: VECTORS)
    turns: int = 200
    most: int = 1_000_000
    period: int = 1


FLAT = Kind(
    f"flat, add {_ADDED}, sample {_DRAWN}",
    lambda package, capacity: package.make_flat_buffer(capacity, _DRAWN, _DRAWN, False, _ADDED),
    (_ADDED,),
)
ITEMS = Kind(
    f"item, add {_ADDED}, sample {_DRAWN}",
    lambda package, capacity: package.make_item_buffer(capacity, _DRAWN, _DRAWN, False, True),
    (_ADDED,),
)
SEQUENCES = Kind(
    "trajectory, add 16 x 32, sample 32 x 80",
    lambda package, capacity: package.make_trajectory_buffer(
        16, 32, 80, 1, 80, max_length_time_axis=capacity // 16
    ),
    (16, 32),
)
PIXELS = replace(FLAT, name=f"{FLAT.name}, frames 84 x 84", step=FRAMES, turns=20, most=100_000)
PIXEL_SEQUENCES = replace(
    SEQUENCES, name=f"{SEQUENCES.name}, frames 84 x 84", step=FRAMES, turns=20, most=100_000
)
_KINDS = (FLAT, ITEMS, SEQUENCES, PIXELS, PIXEL_SEQUENCES)


@dataclass(frozen=True)
class Contestant:
    """One package's buffer, filled.

    Attributes:
      buffer: its functions.
      state: full.
      batch: what is added.
      turns: of a scan.
      period: steps between two places to draw from.
    """

    buffer: Any
    state: Any
    batch: Any
    turns: int
    period: int = 1


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures every kind of buffer at several capacities."""
    del directory
    packages = [OURS, THEIRS] if any("Flashbax" in name for name in who) else [OURS]
    capacities = (10_000,) if quick else (10_000, 100_000, 1_000_000)
    works: list[Work] = []
    for kind in _KINDS:
        works += _compile(kind, packages, 2 if quick else 7)
        for capacity in (size for size in capacities if size <= kind.most):
            works += _run(kind, capacity, packages, 2 if quick else 5)
    return works


def added(kind: Kind) -> dict[str, Any]:
    """Gives the steps that are added, leaves `[*kind.batch, ...]`."""
    generator = np.random.default_rng(0)
    return {
        name: jnp.asarray((generator.random((*kind.batch, *leaf.shape)) * 100).astype(leaf.dtype))
        for name, leaf in kind.step.items()
    }


def contestant(kind: Kind, who: str, capacity: int) -> Contestant:
    buffer = kind.make(importlib.import_module(_MODULES[who]), capacity)
    batch = added(kind)
    add, state = jax.jit(buffer.add, donate_argnums=0), buffer.init(dict(kind.step))
    for _ in range(-(-capacity // int(np.prod(kind.batch)))):
        state = add(state, batch)
    return Contestant(buffer, jax.block_until_ready(state), batch, kind.turns, kind.period)


def _run(kind: Kind, capacity: int, packages: list[str], repetitions: int) -> list[Work]:
    both = {who: contestant(kind, who, capacity) for who in packages}
    title = f"{kind.name}, {capacity:,} steps"
    works = [
        _timed(f"{title}: {what}", {who: make(one) for who, one in both.items()}, repetitions)
        for what, make in {
            "sample in a scan": sample_in_scan,
            "sample a call": _sample_a_call,
            "add in a scan": add_in_scan,
            "add a call": _add_a_call,
        }.items()
    ]
    sizes = {
        who: Series([[sum(leaf.nbytes for leaf in jax.tree.leaves(one.state)) / 1e6]])
        for who, one in both.items()
    }
    return [*works, Work(f"{title}: state", "MB", sizes, OURS)]


def _timed(name: str, runs: dict[str, Callable[[], float]], repetitions: int) -> Work:
    in_turns(runs, 2)
    found: dict[str, list[list[float]]] = {who: [] for who in runs}
    for seed in range(repetitions):
        for who, values in in_turns(runs, 10, seed).items():
            found[who].append([1e6 * value for value in values])
    targets = (Target(THEIRS, at_most=round(_SLOWER, 2)),) if THEIRS in runs else ()
    return Work(name, "µs", {who: Series(values) for who, values in found.items()}, OURS, targets)


def sample_in_scan(one: Contestant) -> Callable[[], float]:
    def draw(state: Any, key: Any) -> Any:
        keys = jax.random.split(key, one.turns)
        nothing = jax.tree.map(jnp.zeros_like, one.buffer.sample(state, key))
        return jax.lax.scan(lambda _, key: (one.buffer.sample(state, key), None), nothing, keys)[0]

    run = jax.jit(draw)
    return lambda: seconds(lambda: jax.block_until_ready(run(one.state, jax.random.key(0)))) / one.turns


def _sample_a_call(one: Contestant) -> Callable[[], float]:
    run, keys = jax.jit(one.buffer.sample), list(jax.random.split(jax.random.key(0), one.turns))

    def calls() -> None:
        for key in keys:
            jax.block_until_ready(run(one.state, key))

    return lambda: seconds(calls) / one.turns


def add_in_scan(one: Contestant) -> Callable[[], float]:
    def fill(state: Any, batch: Any) -> Any:
        return jax.lax.scan(lambda s, _: (one.buffer.add(s, batch), None), state, length=one.turns)[0]

    return partial(donated, jax.jit(fill, donate_argnums=0), one, 1, one.turns)


def _add_a_call(one: Contestant) -> Callable[[], float]:
    return partial(donated, jax.jit(one.buffer.add, donate_argnums=0), one, one.turns, one.turns)


def donated(run: Callable[..., Any], one: Contestant, calls: int, adds: int) -> float:
    held = [jax.block_until_ready(jax.tree.map(jnp.copy, one.state))]  # kept: freeing it is not timed

    def go() -> None:
        for _ in range(calls):
            held[0] = jax.block_until_ready(run(held[0], one.batch))

    return seconds(go) / adds


def _compile(kind: Kind, packages: list[str], repetitions: int) -> list[Work]:
    found: dict[str, dict[str, list[list[float]]]] = {}
    for seed in range(repetitions):
        runs: dict[str, dict[str, Callable[[], float]]] = {"sample": {}, "add": {}}
        for who in packages:
            buffer = kind.make(importlib.import_module(_MODULES[who]), 10_000)
            state = jax.eval_shape(buffer.init, dict(kind.step))
            batch = {n: jax.ShapeDtypeStruct((*kind.batch, *v.shape), v.dtype) for n, v in kind.step.items()}
            key = jax.eval_shape(lambda: jax.random.key(0))
            runs["sample"][who] = partial(seconds, partial(_compiled, buffer.sample, state, key))
            runs["add"][who] = partial(seconds, partial(_compiled, buffer.add, state, batch))
        for what, by in runs.items():
            for who, values in in_turns(by, 1, seed).items():
                found.setdefault(what, {}).setdefault(who, []).append([1e3 * value for value in values])
    targets = (Target(THEIRS, at_most=0.7),) if THEIRS in packages else ()
    return [
        Work(f"{kind.name}: trace and compile {what}", "ms", _in_order(by, packages), OURS, targets)
        for what, by in found.items()
    ]


def _compiled(function: Callable[..., Any], *arguments: Any) -> None:
    jax.jit(partial(function)).lower(*arguments).compile()  # a new function: nothing is remembered


def _in_order(by: dict[str, list[list[float]]], packages: list[str]) -> dict[str, Series]:
    return {who: Series(by[who]) for who in packages}
