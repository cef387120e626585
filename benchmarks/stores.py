"""Stores that random windows are read from: the same steps in each, and how each is asked for windows.

A reader takes the windows' streams and starts, int64 `[N]`, and gives leaves `[N, W, ...]`. Each store is
asked in the way that is fastest for it: all rows of all windows at once, or a slice a window.
"""

import contextlib
import importlib
import importlib.util
import io
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from strongbax.vault import Ends, Vault
from strongbax.vault.gather import Windows

from .data import Steps, one_step
from .peers import FLASHBAX, HDF5, OURS

MEMMAP, LANCE, TORCHRL = "np.memmap", "Lance", "TorchRL, memmap storage"
Read = Callable[[Any, Any], Steps]
Open = Callable[[], Read]


def write(folder: Path, steps: Steps, length: int, *, frames: bool, flashbax: bool) -> dict[str, Open]:
    """Writes every store that can be, and gives how each is opened anew."""
    folder.mkdir(parents=True)
    _write_files(folder, steps)
    _write_vault(folder / "vault", steps)
    opens: dict[str, Open] = {
        MEMMAP: lambda: _memmap(folder, steps, length, slices=frames),
        HDF5: lambda: partial(_by_slices, h5py.File(folder / "steps.h5", "r"), steps, length),
        OURS: lambda: _ours(folder / "vault", steps, length),
    }
    if importlib.util.find_spec("lance") and not frames:
        opens[LANCE] = _write_lance(folder / "steps.lance", steps, length)
    if importlib.util.find_spec("torchrl"):
        opens[TORCHRL] = _write_torchrl(folder / "torchrl", steps, length)
    if flashbax:
        opens[FLASHBAX] = _write_flashbax(folder, steps, length)
    return opens


def by_rows(leaves: Steps, length: int, streams: Any, starts: Any) -> Steps:
    """Reads all rows of all windows at once."""
    within = np.arange(length)
    return {n: leaf[streams[:, None], starts[:, None] + within] for n, leaf in leaves.items()}


def _by_slices(leaves: Any, steps: Steps, length: int, streams: Any, starts: Any) -> Steps:
    places = list(zip(streams.tolist(), starts.tolist(), strict=True))
    out = _room(steps, length, len(places))
    for name, leaf in out.items():
        source = leaves[name]
        for place, (stream, start) in enumerate(places):
            leaf[place] = source[stream, start : start + length]
    return out


def in_memory(steps: Steps, length: int, *, frames: bool) -> Read:
    """Reads from NumPy arrays; for frames a slice a window is faster."""
    return partial(_by_slices, steps, steps, length) if frames else partial(by_rows, steps, length)


def _room(steps: Steps, length: int, count: int) -> dict[str, Any]:
    return {n: np.empty((count, length, *leaf.shape[2:]), leaf.dtype) for n, leaf in steps.items()}


def _write_files(folder: Path, steps: Steps) -> None:
    with h5py.File(folder / "steps.h5", "w") as file:
        for name, leaf in steps.items():
            leaf.tofile(folder / name)
            rows = max(1, (1 << 20) // leaf[0, 0].nbytes)
            packed: dict[str, Any] = {"compression": "gzip"} if leaf[0, 0].nbytes > 1024 else {}
            shape = (1, min(rows, leaf.shape[1]), *leaf.shape[2:])
            file.create_dataset(name, data=leaf, chunks=shape, **packed)


def _memmap(folder: Path, steps: Steps, length: int, *, slices: bool) -> Read:
    maps = {n: np.memmap(folder / n, leaf.dtype, "r", shape=leaf.shape) for n, leaf in steps.items()}
    return partial(_by_slices, maps, steps, length) if slices else partial(by_rows, maps, length)


def _write_vault(path: Path, steps: Steps) -> None:
    """Writes a vault; one stream's steps are flushed 1,000 at a time."""
    streams, count = next(iter(steps.values())).shape[:2]
    with Vault.create(path, steps=one_step(steps), streams=streams) as vault:
        if streams > 1:
            vault.write(_State(dict(steps), np.int32(0), np.bool_(True), np.int32(1)))
            return
        for at in range(0, count, 1000):
            part = {name: leaf[0, at : at + 1000] for name, leaf in steps.items()}
            last = np.array([len(part["done"])])
            vault.extend(part, Ends(last, np.ones(1, bool), np.zeros(1, bool)))


class _State:
    """A buffer's state, full."""

    def __init__(self, experience: Any, index: Any, full: Any, laps: Any) -> None:
        self.experience, self.current_index, self.is_full, self.laps = experience, index, full, laps


def _ours(path: Path, steps: Steps, length: int) -> Read:
    snapshot = Vault.open(path).selected().sources[0]

    def read(streams: Any, starts: Any) -> Steps:
        windows = Windows(streams, starts, starts, starts + length, np.arange(len(starts)))
        out = _room(steps, length, len(starts))
        for name, leaf in out.items():
            snapshot.gather(name, windows, leaf)
        return out

    return read


def _rows(steps: Steps, length: int, streams: Any, starts: Any) -> Any:
    """Where the windows' rows lie when streams stand end to end."""
    count = next(iter(steps.values())).shape[1]
    return ((streams * count + starts)[:, None] + np.arange(length)).reshape(-1)


def _write_lance(path: Path, steps: Steps, length: int) -> Open:
    lance, arrow = importlib.import_module("lance"), importlib.import_module("pyarrow")
    columns: dict[str, Any] = {}
    for name, leaf in steps.items():
        flat = arrow.array(leaf.reshape(-1))
        width = int(np.prod(leaf.shape[2:]))
        columns[name] = arrow.FixedSizeListArray.from_arrays(flat, width) if leaf.ndim > 2 else flat
    lance.write_dataset(arrow.table(columns), str(path))

    def opened() -> Read:
        dataset = lance.dataset(str(path))

        def read(streams: Any, starts: Any) -> Steps:
            table = dataset.take(_rows(steps, length, streams, starts))
            found: dict[str, Any] = {}
            for name, leaf in steps.items():
                column = table[name].combine_chunks()
                flat = column.flatten() if leaf.ndim > 2 else column
                values = flat.to_numpy(zero_copy_only=False)
                found[name] = values.reshape(len(starts), length, *leaf.shape[2:])
            return found

        return read

    return opened


def _write_torchrl(path: Path, steps: Steps, length: int) -> Open:
    data, torch = importlib.import_module("torchrl.data"), importlib.import_module("torch")
    logging.getLogger("torchrl").setLevel(logging.WARNING)
    table = importlib.import_module("tensordict").TensorDict
    flat = {n: torch.from_numpy(leaf.reshape(-1, *leaf.shape[2:])) for n, leaf in steps.items()}
    count = len(flat["done"])
    storage = data.LazyMemmapStorage(count, scratch_dir=str(path))
    storage.set(range(count), table(flat, [count]))

    def opened() -> Read:
        held = table.load_memmap(path)

        def read(streams: Any, starts: Any) -> Steps:
            rows = torch.from_numpy(_rows(steps, length, streams, starts))
            found = held[rows]
            return {
                n: found[n].numpy().reshape(len(starts), length, *leaf.shape[2:]) for n, leaf in steps.items()
            }

        return read

    return opened


def _write_flashbax(folder: Path, steps: Steps, length: int) -> Open:
    """Its Vault, and its TensorStore arrays, of which a slice a window is asked for, all at once."""
    from flashbax.vault import Vault as Theirs

    place: dict[str, Any] = {"rel_dir": str(folder.resolve()), "vault_uid": "0"}
    count = next(iter(steps.values())).shape[1]
    full = _State(dict(steps), np.int32(0), np.bool_(True), np.int32(1))
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = Theirs("flashbax", {n: v[:, :1] for n, v in steps.items()}, **place)
        theirs.write(full, source_interval=(0, count), dest_start=0)

    def opened() -> Read:
        with contextlib.redirect_stdout(io.StringIO()):
            stores = Theirs("flashbax", **place)._all_datastores  # noqa: SLF001 - it reads intervals of all streams only

        def read(streams: Any, starts: Any) -> Steps:
            places = list(zip(streams.tolist(), starts.tolist(), strict=True))
            asked = {name: [stores[name][s, t : t + length].read() for s, t in places] for name in steps}
            return {name: np.stack([part.result() for part in parts]) for name, parts in asked.items()}

        return read

    return opened
