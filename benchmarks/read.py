"""Read everything: a store of a million steps, in the page cache, into fresh NumPy arrays, and into JAX.

Each store is written once, closed, opened anew; the contestants take turns, in an order shuffled each round.
"""

import contextlib
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import strongbax.buffer as fbx
from strongbax.vault import Vault

from .data import HOPPER, Steps, one_step, size
from .measure import Series, Target, Work, in_turns, seconds
from .peers import FLASHBAX, HDF5, OURS

FROMFILE, MEMMAP = "np.fromfile", "np.memmap, copied"
_LOOK_EVERY = 997  # steps between those that are compared with what was written

Reads = dict[str, Callable[[], Any]]


def measure(directory: Path, who: list[str], *, quick: bool) -> list[Work]:
    """Measures reading to NumPy and to JAX."""
    steps = HOPPER.make(100_000 if quick else 1_000_000)
    folder = directory / "read"
    _write_files(folder, steps)
    _write_vault(folder, steps)
    vault = Vault.open(folder / "vault")
    numpy, on_device = _numpy_reads(folder, steps, vault), _jax_reads(folder, steps, vault)
    if FLASHBAX in who:
        flashbax = _flashbax(folder, steps)
        numpy[FLASHBAX] = lambda: jax.tree.map(np.asarray, flashbax.read().experience)
        on_device[FLASHBAX] = lambda: jax.block_until_ready(flashbax.read())
    megabytes, count = size(steps) / 1e6, len(steps["done"][0])
    for read in numpy.values():
        _compare(read(), steps)
    what = f"{count:,} steps, {megabytes:.0f} MB"
    return [
        _work(f"read all to NumPy: {what}", numpy, quick=quick, at_most=1.15),
        _work(f"read all to a JAX buffer state: {what}", on_device, quick=quick, at_most=None),
    ]


def _work(name: str, reads: Reads, *, quick: bool, at_most: float | None) -> Work:
    repetitions, rounds = (2, 5) if quick else (5, 7)
    found: dict[str, list[list[float]]] = {who: [] for who in reads}
    in_turns({who: partial(seconds, read) for who, read in reads.items()}, 2)
    for seed in range(repetitions):
        values = in_turns({who: partial(seconds, read) for who, read in reads.items()}, rounds, seed)
        for who, taken in values.items():
            found[who].append([1e3 * value for value in taken])
    targets = (Target(FROMFILE, at_most=at_most),) if at_most else ()
    series = {who: Series(values) for who, values in found.items()}
    return Work(name, "ms", series, OURS, targets, f"{repetitions} x {rounds} reads, warm")


def _numpy_reads(folder: Path, steps: Steps, vault: Vault) -> Reads:
    kinds = {name: (leaf.dtype, leaf.shape) for name, leaf in steps.items()}
    file = h5py.File(folder / "steps.h5", "r")

    def from_files() -> Steps:
        return {n: np.fromfile(folder / n, dtype).reshape(shape) for n, (dtype, shape) in kinds.items()}

    def from_maps() -> Steps:
        return {
            n: np.array(np.memmap(folder / n, dtype, "r", shape=shape)) for n, (dtype, shape) in kinds.items()
        }

    return {
        FROMFILE: from_files,
        MEMMAP: from_maps,
        HDF5: lambda: {name: file[name][:] for name in kinds},
        OURS: vault.read_numpy,
    }


def _jax_reads(folder: Path, steps: Steps, vault: Vault) -> Reads:
    numpy, buffer = _numpy_reads(folder, steps, vault), _buffer(len(steps["done"][0]))

    def moved(read: Callable[[], Any]) -> Any:
        return jax.block_until_ready(jax.tree.map(jax.numpy.asarray, read()))

    return {
        f"{FROMFILE}, jnp.asarray": lambda: moved(numpy[FROMFILE]),
        f"{HDF5}, jnp.asarray": lambda: moved(numpy[HDF5]),
        OURS: lambda: jax.block_until_ready(vault.load(buffer)),
    }


def _buffer(capacity: int) -> Any:
    return fbx.make_trajectory_buffer(1, 1, 2, 1, 2, max_length_time_axis=capacity)


def _write_files(folder: Path, steps: Steps) -> None:
    folder.mkdir(parents=True)
    with h5py.File(folder / "steps.h5", "w") as file:
        for name, leaf in steps.items():
            leaf.tofile(folder / name)
            rows = max(1, (1 << 20) // leaf[0, 0].nbytes)
            file.create_dataset(name, data=leaf, chunks=(1, min(rows, leaf.shape[1]), *leaf.shape[2:]))


def _write_vault(folder: Path, steps: Steps) -> None:
    with Vault.create(folder / "vault", steps=one_step(steps)) as vault:
        for at in range(0, len(steps["done"][0]), 1000):
            vault.extend({name: leaf[0, at : at + 1000] for name, leaf in steps.items()})


def _flashbax(folder: Path, steps: Steps) -> Any:
    """Writes a Flashbax Vault in one go, and opens it again."""
    import flashbax
    from flashbax.vault import Vault as Theirs

    count = len(steps["done"][0])
    buffer = flashbax.make_trajectory_buffer(1, 1, 2, 1, 2, max_length_time_axis=count + 1)
    state = jax.jit(buffer.add, donate_argnums=0)(buffer.init(one_step(steps)), dict(steps))
    place: dict[str, Any] = {"rel_dir": str(folder.resolve()), "vault_uid": "0"}
    with contextlib.redirect_stdout(io.StringIO()):
        Theirs("flashbax", state.experience, **place).write(state)
        return Theirs("flashbax", **place)


def _compare(read: Steps, steps: Steps) -> None:
    for name, leaf in steps.items():
        assert np.array_equal(np.asarray(read[name])[:, ::_LOOK_EVERY], leaf[:, ::_LOOK_EVERY]), name
