"""DSRL's files: D4RL's layout with `costs`, for safe offline RL.

Everything of D4RL's holds (see `d4rl`); `costs` becomes the leaf `cost`, and each episode's sum of them the
column `cost_return`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from . import d4rl, hdf5
from .source import Block, Source

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "dsrl"
OPTIONS = ("skip", "keep_next_observation")
KEYS = ("observations", "next_observations", "actions", "rewards", "costs", "terminals", "timeouts")
RETURN = "cost_return"
_FILE = re.compile(r"(?P<task>.+-v\d+)-(?P<cost>\d+(?:\.\d+)?)-(?P<count>\d+)\.hdf5$")


def detect(path: Path) -> bool:
    """Says whether a file has D4RL's keys and `costs`.

    Example:
      >>> detect(Path("nowhere.hdf5"))
      False
    """
    if not hdf5.is_hdf5(path):
        return False
    with hdf5.open_hdf5(path) as file:
        keys = set(file)  # at its top; not all of a file of a thousand groups
    return "costs" in keys and len(keys & set(KEYS)) > 3


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,
    *,
    skip: Sequence[str] = (),
    keep_next_observation: bool = False,
) -> Source:
    """Opens a DSRL file as a source.

    Args:
      path: of the file.
      entry: what the catalogue knows of it.
      skip: keys, or groups of keys, to leave out.
      keep_next_observation: as for D4RL.

    Raises:
      FormatError: if the file is not what DSRL's are, now or while it is read.
      ValueError: if `skip` names what is needed.

    Example:
      >>> import h5py
      >>> with h5py.File("safe.hdf5", "w") as file:
      ...     for key in KEYS:
      ...         file[key] = np.arange(3) == 2 if key in ("terminals", "timeouts") else np.ones(3)
      >>> [block.ends.columns["cost_return"].tolist() for block in read(Path("safe.hdf5")).blocks(2)]
      [[], [3.0]]
    """
    with hdf5.open_hdf5(path) as file:
        keys = hdf5.datasets(file)
        missing = [key for key in KEYS if key not in keys]
        if missing:
            raise FormatError(
                f"A DSRL file has the keys {', '.join(KEYS)}, one row a step; {path} has no `{missing[0]}`. "
                f"It has {', '.join(keys)}."
            )
        costs = keys["costs"]
        if int(np.prod(costs.shape[1:])) != 1 or costs.dtype.kind not in "biuf":
            raise FormatError(
                f"`costs` of {path} must hold one number a step; its shape is {costs.shape}, its type "
                f"{costs.dtype}."
            )
    needed = sorted(set(skip) & set(KEYS))
    if needed:
        raise ValueError(f"`skip` must name keys that can be spared: got {needed[0]!r}.")
    source = d4rl.read(path, entry, skip=skip, keep_next_observation=keep_next_observation)
    told = _FILE.search(path.name)
    about = {"max_cost": float(told["cost"]), "trajectories": int(told["count"])} if told else {}
    return replace(
        source,
        example=_renamed({**source.example, "costs": np.zeros((), source.example["costs"].dtype)}),
        blocks=partial(_blocks, source),
        facts={**source.facts, "file_name": about},
        columns={RETURN: np.dtype(np.float64)},
    )


def _renamed(leaves: Mapping[str, NpArray]) -> dict[str, NpArray]:
    return {"cost" if name == "costs" else name: leaf for name, leaf in leaves.items()}


def _blocks(source: Source, num_steps: int, first: int = 0, last: int | None = None) -> Iterator[Block]:
    running = 0.0  # cost of the episode that goes on from the block before
    for block in source.blocks(num_steps, first, last):
        cost = block.steps["costs"].reshape(block.num_steps)
        sums: list[float] = []
        start = 0
        for stop in block.ends.stop.tolist():
            sums.append(_sum(running, cost[start:stop]))
            start, running = stop, 0.0
        running = _sum(running, cost[start:])
        ends = replace(block.ends, columns={RETURN: np.array(sums, np.float64)})
        yield replace(block, steps=_renamed({**block.steps, "costs": cost}), ends=ends)


def _sum(before: float, values: NpArray) -> float:
    # One after the other, so that the sum does not depend on where blocks begin.
    together: Any = np.cumsum(np.concatenate([[before], values.astype(np.float64)]))
    return float(together[-1])
