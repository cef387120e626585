"""Resume: a prioritised buffer of a million steps is saved so that a run goes on exactly, 1 % of it new.

Ours writes what is new, priorities and counters; Orbax, as most programs do, saves the state whole. Both are
durable when the clock stops. Orbax's step folders are removed untimed. Restoring is timed warm.
"""

import importlib.util
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import strongbax
from strongbax import Vault

from .disk import settle
from .measure import Series, Target, Work, in_turns, seconds
from .peers import OURS

ORBAX = "Orbax, whole state"
_FASTER = 10
_STREAMS = 16


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures saving and restoring."""
    del who
    steps, rounds = (100_000, 3) if quick else (1_000_000, 9)
    folder = directory / "resume"
    run = _Run(steps, folder)
    savers = {OURS: run.checkpoint}
    if importlib.util.find_spec("orbax"):
        savers[ORBAX] = run.save
    restorers = {OURS: run.restore} | ({ORBAX: run.load} if ORBAX in savers else {})
    targets = (Target(ORBAX, faster=_FASTER),) if ORBAX in savers else ()

    def save(name: str) -> float:
        run.write()  # so that 1 % is new to ours, whoever's turn was before
        run.play()
        settle()
        return seconds(savers[name])

    for name in savers:  # first files, compilation
        save(name)
    saved = in_turns({name: partial(save, name) for name in savers}, rounds)
    restored = in_turns({name: partial(seconds, restore) for name, restore in restorers.items()}, rounds)
    run.close()
    shutil.rmtree(folder)
    what = f"a prioritised buffer of {steps:,} steps"
    note = f"{rounds} rounds, {steps // 100:,} steps new in each"
    return [
        Work(f"checkpoint of {what}", "ms", _series(saved), OURS, targets, note),
        Work(f"restoring {what}", "ms", _series(restored), OURS, (), f"{rounds} rounds, warm"),
    ]


def _series(found: dict[str, list[float]]) -> dict[str, Series]:
    return {name: Series([[1e3 * value] for value in values]) for name, values in found.items()}


class _Run:
    """A run whose buffer is full."""

    def __init__(self, steps: int, folder: Path) -> None:
        self.folder, self._new = folder, steps // 100 // _STREAMS
        self._buffer = strongbax.make_prioritised_trajectory_buffer(
            add_batch_size=_STREAMS,
            sample_batch_size=256,
            sample_sequence_length=2,
            period=1,
            min_length_time_axis=2,
            max_length_time_axis=steps // _STREAMS,
        )
        step = {
            "observation": jnp.zeros(11),
            "action": jnp.zeros(3),
            "reward": jnp.zeros(()),
            "terminated": jnp.zeros((), bool),
        }
        self._turn = jax.jit(self._play, donate_argnums=0)
        self._key, self._state, self._number = jax.random.key(0), self._buffer.init(step), 0
        self._checkpointer: Any = None
        self._vault = Vault.create(folder / "ours.vault", like=self._state)
        for _ in range(steps // _STREAMS // self._new + 1):
            self.play()
            self.write()

    def play(self) -> None:
        """Adds 1 % of the steps, and sets priorities."""
        self._state, self._key = jax.block_until_ready(self._turn(self._state, self._key))

    def _play(self, state: Any, key: Any) -> Any:
        key, drawn, made = jax.random.split(key, 3)
        shape = (_STREAMS, self._new)
        steps = {
            "observation": jax.random.normal(made, (*shape, 11)),
            "action": jax.random.normal(made, (*shape, 3)),
            "reward": jax.random.normal(made, shape),
            "terminated": jax.random.bernoulli(made, 0.001, shape),
        }
        state = self._buffer.add(state, steps)
        sample = self._buffer.sample(state, drawn)
        return self._buffer.set_priorities(state, sample.indices, jnp.abs(sample.probabilities) + 0.1), key

    def write(self) -> None:
        self._vault.write(self._state)

    def checkpoint(self) -> None:
        self._vault.checkpoint(self._state, key=self._key)

    def restore(self) -> None:
        state, _ = self._vault.restore(self._buffer)
        jax.block_until_ready(state)

    def save(self) -> None:
        """Saves the state and the key with Orbax, and waits for the disk as ours does."""
        import orbax.checkpoint as ocp

        if self._checkpointer is None:
            self._checkpointer = ocp.StandardCheckpointer()
        folder = self.folder / f"orbax-{self._number}"
        self._checkpointer.save(folder, self._whole())
        self._checkpointer.wait_until_finished()
        for path in [folder, *folder.rglob("*")]:
            _sync(path)
        shutil.rmtree(self.folder / f"orbax-{self._number - 1}", ignore_errors=True)
        self._number += 1

    def load(self) -> None:
        assert self._checkpointer is not None
        jax.block_until_ready(
            self._checkpointer.restore(self.folder / f"orbax-{self._number - 1}", self._whole())
        )

    def _whole(self) -> Any:
        return {"state": dict(self._state), "key": jax.random.key_data(self._key)}

    def close(self) -> None:
        self._vault.close()
        if self._checkpointer is not None:
            self._checkpointer.close()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
