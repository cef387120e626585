"""A call at a time: Strongbax and Flashbax under jit, beside buffers that live outside it.

TorchRL gives tensors and cpprb NumPy arrays, each in its own way; what is timed is one call until its result
is there. Inside a scan (the other rows) there is nothing of theirs to compare with.
"""

import importlib
import importlib.util
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .buffers import FLAT, THEIRS, Contestant, contestant
from .episode_windows import filled
from .measure import Series, Work, in_turns, seconds
from .peers import OURS
from .prioritised import PAIRS

CPPRB, TORCHRL = "cpprb", "TorchRL"
_CAPACITY, _ADDED, _DRAWN, _CALLS = 100_000, 64, 256, 50
_COUNT, _LENGTH, _EPISODE = 32, 80, 200
_WIDTHS: Mapping[str, tuple[int, ...]] = {"observation": (17,), "action": (6,), "reward": (), "discount": ()}
Calls = dict[str, Callable[[], object]]


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures add, sample, priorities and windows at one capacity."""
    del directory
    packages = [OURS, THEIRS] if any(THEIRS in name for name in who) else [OURS]
    uniform = {package: contestant(FLAT, package, _CAPACITY) for package in packages}
    prioritised = {package: contestant(PAIRS, package, _CAPACITY) for package in packages}
    adds: Calls = {package: _adder(one) for package, one in uniform.items()}
    samples: Calls = {package: _sampler(one) for package, one in uniform.items()}
    draws: Calls = {package: _sampler(one) for package, one in prioritised.items()}
    updates: Calls = {package: _updater(one) for package, one in prioritised.items()}
    windows: Calls = {OURS: _sampler(filled(_CAPACITY))}
    if _installed("cpprb"):
        _cpprb(adds, samples, draws, updates)
    if _installed("torchrl"):
        _torchrl(adds, samples, windows)
    repetitions = 2 if quick else 5
    title = f"a call outside jit, {_CAPACITY:,} steps"
    return [
        _timed(f"{title}: add {_ADDED}", adds, repetitions),
        _timed(f"{title}: sample {_DRAWN}", samples, repetitions),
        _timed(f"{title}: prioritised sample {_DRAWN}", draws, repetitions),
        _timed(f"{title}: set {_DRAWN} priorities", updates, repetitions),
        _timed(f"{title}: {_COUNT} windows x {_LENGTH} steps within episodes", windows, repetitions),
    ]


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _timed(name: str, runs: Calls, repetitions: int) -> Work:
    def per_call(run: Callable[[], object]) -> float:
        def calls() -> None:
            for _ in range(_CALLS):
                run()

        return seconds(calls) / _CALLS

    timed = {who: (lambda run=run: per_call(run)) for who, run in runs.items()}
    in_turns(timed, 2)
    found: dict[str, list[list[float]]] = {who: [] for who in runs}
    for seed in range(repetitions):
        for who, values in in_turns(timed, 5, seed).items():
            found[who].append([1e6 * value for value in values])
    return Work(name, "µs", {who: Series(values) for who, values in found.items()}, OURS)


class _Held:
    """A state that a call replaces, as a training loop has it."""

    def __init__(self, one: Contestant) -> None:
        self.state = jax.block_until_ready(jax.tree.map(jnp.copy, one.state))


def _adder(one: Contestant) -> Callable[[], object]:
    add, held = jax.jit(one.buffer.add, donate_argnums=0), _Held(one)

    def run() -> None:
        held.state = jax.block_until_ready(add(held.state, one.batch))

    return run


def _sampler(one: Contestant) -> Callable[[], object]:
    sample, keys = jax.jit(one.buffer.sample), iter(jax.random.split(jax.random.key(0), 100_000))
    return lambda: jax.block_until_ready(sample(one.state, next(keys)))


def _updater(one: Contestant) -> Callable[[], object]:
    change, held = jax.jit(one.buffer.set_priorities, donate_argnums=0), _Held(one)
    indices, values = (jnp.asarray(array) for array in _update())

    def run() -> None:
        held.state = jax.block_until_ready(change(held.state, indices, values))

    return run


def _update() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    return generator.integers(0, _CAPACITY, _DRAWN), generator.random(_DRAWN, np.float32) + np.float32(0.1)


def _rows(count: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=(count, *w)).astype(np.float32) for name, w in _WIDTHS.items()}


def _cpprb(adds: Calls, samples: Calls, draws: Calls, updates: Calls) -> None:
    cpprb = importlib.import_module("cpprb")
    shapes = {name: {"shape": shape or 1} for name, shape in _WIDTHS.items()}
    batch, (indices, values) = _rows(_ADDED), _update()
    uniform = cpprb.ReplayBuffer(_CAPACITY, shapes)
    prioritised = cpprb.PrioritizedReplayBuffer(_CAPACITY, shapes, alpha=0.6)
    for _ in range(_CAPACITY // _ADDED + 1):
        uniform.add(**batch)
        prioritised.add(**batch)
    adds[CPPRB] = lambda: uniform.add(**batch)
    samples[CPPRB] = lambda: uniform.sample(_DRAWN)
    draws[CPPRB] = lambda: prioritised.sample(_DRAWN, 0.4)
    updates[CPPRB] = lambda: prioritised.update_priorities(indices, values)


def _torchrl(adds: Calls, samples: Calls, windows: Calls) -> None:
    """Its prioritised sampler is compiled for one version of PyTorch, and passed over."""
    data, torch = importlib.import_module("torchrl.data"), importlib.import_module("torch")
    logging.getLogger("torchrl").setLevel(logging.WARNING)
    table = importlib.import_module("tensordict").TensorDict

    def rows(count: int) -> Any:
        return table({name: torch.from_numpy(values) for name, values in _rows(count).items()}, [count])

    def filled_with(steps: Any, sampler: Any, drawn: int) -> Any:
        storage = data.LazyTensorStorage(_CAPACITY)
        buffer = data.TensorDictReplayBuffer(storage=storage, sampler=sampler, batch_size=drawn)
        buffer.extend(steps)
        return buffer

    uniform, batch = filled_with(rows(_CAPACITY), data.RandomSampler(), _DRAWN), rows(_ADDED)
    samplers = importlib.import_module("torchrl.data.replay_buffers.samplers")
    steps = rows(_CAPACITY).set("episode", torch.arange(_CAPACITY) // _EPISODE)
    slices = samplers.SliceSampler(slice_len=_LENGTH, traj_key="episode", cache_values=True)
    whole = filled_with(steps, slices, _COUNT * _LENGTH)
    adds[TORCHRL] = lambda: uniform.extend(batch)
    samples[TORCHRL] = uniform.sample
    windows[TORCHRL] = whole.sample
