"""Vaults as d3rlpy's files, version 2.1, as `ReplayBuffer.load` reads them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.contents import Contents
from .d3rlpy import VERSION, read
from .left_out import left_out
from .readback import compare
from .recorded import Recorded
from .standard import Standard, below, standard

OPTIONS = ()
_COLUMNS = ["observations", "actions", "rewards", "terminated"]
_PARTS = {"observation": "observations", "action": "actions"}


def write(contents: Contents, path: Path, progress: Callable[[int, int], None]) -> Sequence[str]:
    """Writes a vault or view as d3rlpy 2 has it.

    Args:
      contents: to write.
      path: of the file.
      progress: called with episodes.

    Returns:
      What d3rlpy could not hold.

    Raises:
      ValueError: if there is no observation, action or reward, or HDF5 lacks a dtype.
      CorruptionError: if what was written, read back, is not what was meant.
    """
    import h5py

    out = standard(contents)
    names = _names(out)
    count = 0
    with h5py.File(path, "w") as file:
        file.create_dataset("columns", data=_COLUMNS)
        for episode in _meant(out, names):
            length = len(episode.steps["reward"])
            for name, values in episode.steps.items():
                top, *part = name.split("/")
                if top in _PARTS:
                    file.create_dataset("_".join([_PARTS[top], str(count), *part]), data=values)
            file.create_dataset(f"rewards_{count}", data=episode.steps["reward"].reshape(length, 1))
            file.create_dataset(f"terminated_{count}", data=np.bool_(episode.terminated))
            count += 1
            progress(count, len(out))
        if not count:
            raise ValueError("`contents` must hold a step: d3rlpy has no episodes without.")
        file.create_dataset("num_episodes", data=count)
        file.create_dataset("version", data=VERSION)
    source = read(path)
    compare(_meant(out, names), source)
    return [*_notes(out, names), *left_out(contents, source)]


def _names(out: Standard) -> dict[str, str]:
    """The leaves that are written, and their names in the file: parts of a group by their place."""
    names: dict[str, str] = {"reward": "reward"}
    for group in _PARTS:
        leaves = [name for name in out.example if below(name, group)]
        parts = sorted(leaves, key=lambda name: (len(name), name) if name[-1].isdecimal() else (0, name))
        names |= {n: n if n == group else f"{group}/{place}" for place, n in enumerate(parts)}
    for name in names:
        if out.example[name].dtype.kind not in "biufc":
            raise ValueError(
                f"HDF5 has no place for {out.example[name].dtype}, as {name!r} is. Cast it first."
            )
    if out.example["reward"].shape:
        raise ValueError(f"`reward` must be one number a step; it is {list(out.example['reward'].shape)}.")
    return names


def _meant(out: Standard, names: Mapping[str, str]) -> Iterator[Recorded]:
    for episode in out.episodes():
        length = len(episode.steps["reward"])
        if not length:
            continue
        steps: dict[str, Any] = {names[name]: episode.steps[name] for name in names}
        if "action" in steps and steps["action"].ndim == 1:
            steps["action"] = steps["action"].reshape(length, 1)
        last = np.arange(length) == length - 1
        terminated = episode.terminated
        steps |= {"terminated": last & terminated, "truncated": last & (not terminated)}
        yield replace(
            episode, steps=steps, terminated=terminated, truncated=not terminated, final=None, columns={},
            attributes={},
        )  # fmt: skip


def _notes(out: Standard, names: Mapping[str, str]) -> list[str]:
    table = out.contents.episodes
    left = sorted(set(out.example) - {*names, "terminated", "truncated"})
    parts = {name: new for name, new in names.items() if name != new}
    known = int(table["final_known"].sum()) if out.finals else 0
    empty = int((table["length"] == 0).sum())
    odd = int((table["terminated"] == table["truncated"]).sum())
    told = any(table.attributes(row) for row in range(len(out)))
    notes = [
        (parts, f"Groups become tuples: {parts}."),
        (
            "action" in out.example and not out.example["action"].shape,
            "`action`, one number a step, has an axis of length 1: so d3rlpy has discrete ones.",
        ),
        (left, f"The leaves {left} are left out."),
        (
            known,
            f"The final rows of {known} episodes are left out; d3rlpy sees zeros, or drops the last step.",
        ),
        (empty, f"{empty} episodes without steps are left out."),
        (odd, f"{odd} episodes were cut, or both terminated and truncated: only `terminated` is kept."),
        (told, "The attributes of episodes are left out."),
    ]
    return [*out.notes, *(text for true, text in notes if true)]
