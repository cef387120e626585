"""Buffers in memory beside Flashbax's: uniform sample and add, in a scan and a call at a time, compiling.

The same calls, by the same names, from both packages. In a scan each drawn batch is carried to the next turn,
so that nothing of it can be left out; a state is donated to `add`, as in training.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
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
TURNS = 200  # of a scan
_SLOWER = 1 / 0.95

NpArray = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Kind:
    """A buffer and what goes through it.

    Attributes:
      name: as the table says it.
      make: package, capacity in steps -> buffer.
      batch: leading axes of what is added.
    """

    name: str
    make: Callable[[Any, int], Any]
    batch: tuple[int, ...]


FLAT = Kind(
    f"flat, add {_ADDED}, sample {_DRAWN}",
    lambda package, capacity: package.make_flat_buffer(capacity, _DRAWN, _DRAWN, False, _ADDED),
    (_ADDED,),
)
SEQUENCES = Kind(
    "trajectory, add 16 x 32, sample 32 x 80",
    lambda package, capacity: package.make_trajectory_buffer(
        16, 32, 80, 1, 80, max_length_time_axis=capacity // 16
    ),
    (16, 32),
)


@dataclass(frozen=True)
class Contestant:
    """One package's buffer, filled.

    Attributes:
      buffer: its functions.
      state: full.
      batch: what is added.
    """

    buffer: Any
    state: Any
    batch: Any


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures both kinds of buffer at several capacities."""
    del directory
    packages = [OURS, THEIRS] if any("Flashbax" in name for name in who) else [OURS]
    capacities = (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000)
    works: list[Work] = []
    for kind in (FLAT, SEQUENCES):
        works += _compile(kind, packages, 2 if quick else 7)
        for capacity in capacities:
            works += _run(kind, capacity, packages, 2 if quick else 5)
    return works


def _step() -> dict[str, NpArray]:
    widths = {"observation": (17,), "action": (6,), "reward": (), "discount": ()}
    return {name: np.zeros(shape, np.float32) for name, shape in widths.items()}


def contestant(kind: Kind, who: str, capacity: int) -> Contestant:
    buffer = kind.make(importlib.import_module(_MODULES[who]), capacity)
    generator = np.random.default_rng(0)
    batch = {
        name: jnp.asarray(generator.normal(size=(*kind.batch, *leaf.shape)).astype(np.float32))
        for name, leaf in _step().items()
    }
    add, state = jax.jit(buffer.add, donate_argnums=0), buffer.init(_step())
    for _ in range(-(-capacity // int(np.prod(kind.batch)))):
        state = add(state, batch)
    return Contestant(buffer, jax.block_until_ready(state), batch)


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
        keys = jax.random.split(key, TURNS)
        nothing = jax.tree.map(jnp.zeros_like, one.buffer.sample(state, key))
        return jax.lax.scan(lambda _, key: (one.buffer.sample(state, key), None), nothing, keys)[0]

    run = jax.jit(draw)
    return lambda: seconds(lambda: jax.block_until_ready(run(one.state, jax.random.key(0)))) / TURNS


def _sample_a_call(one: Contestant) -> Callable[[], float]:
    run, keys = jax.jit(one.buffer.sample), list(jax.random.split(jax.random.key(0), TURNS))

    def calls() -> None:
        for key in keys:
            jax.block_until_ready(run(one.state, key))

    return lambda: seconds(calls) / TURNS


def add_in_scan(one: Contestant) -> Callable[[], float]:
    def fill(state: Any, batch: Any) -> Any:
        return jax.lax.scan(lambda s, _: (one.buffer.add(s, batch), None), state, length=TURNS)[0]

    return partial(donated, jax.jit(fill, donate_argnums=0), one, 1, TURNS)


def _add_a_call(one: Contestant) -> Callable[[], float]:
    return partial(donated, jax.jit(one.buffer.add, donate_argnums=0), one, TURNS, TURNS)


def donated(run: Callable[..., Any], one: Contestant, calls: int, adds: int) -> float:
    state = jax.block_until_ready(jax.tree.map(jnp.copy, one.state))

    def go() -> None:
        held = state
        for _ in range(calls):
            held = jax.block_until_ready(run(held, one.batch))

    return seconds(go) / adds


def _compile(kind: Kind, packages: list[str], repetitions: int) -> list[Work]:
    found: dict[str, dict[str, list[list[float]]]] = {}
    for seed in range(repetitions):
        runs: dict[str, dict[str, Callable[[], float]]] = {"sample": {}, "add": {}}
        for who in packages:
            buffer = kind.make(importlib.import_module(_MODULES[who]), 10_000)
            state = jax.eval_shape(buffer.init, _step())
            batch = {
                n: jax.ShapeDtypeStruct((*kind.batch, *leaf.shape), leaf.dtype) for n, leaf in _step().items()
            }
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
