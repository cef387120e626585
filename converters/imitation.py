"""imitation's `.npz` files of trajectories: observations one more than actions, infos as a pickle.

```
# obs     : [o0, o1, o2, o3,   o0, o1, ...]    -> observation, final (o3)
# acts    : [a0, a1, a2,       a0, ...]        -> action
# rews    : [r0, r1, r2,       r0, ...]        -> reward, where they are
# indices : [3, ...]                           the action that each trajectory but the first begins with
# terminal: [1, ...]                           -> terminated, one a trajectory
```
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .npy import Column
from .npz import read_array, require_rows
from .npz_rows import check_horizon, end_flags, has_keys, last_rows, read_some, require_keys
from .recorded import Recorded, blocks_of, undivided
from .source import Source
from .trajectories import cut_at, flags_of

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "imitation"
OPTIONS = ("horizon",)
REQUIRED = ("obs", "acts", "terminal", "indices")


@dataclass(frozen=True)
class Layout:
    """What holds for one file.

    Attributes:
      path: of the file.
      columns: its keys.
      leaves: keys with a row an action, by the leaf's name.
      lengths: actions of each trajectory, int64 `[E]`.
      terminal: whether each trajectory ended, bool `[E]`.
    """

    path: Path
    columns: Mapping[str, Column]
    leaves: Mapping[str, str]
    lengths: NpArray
    terminal: NpArray


def detect(path: Path) -> bool:
    """Says whether a file has imitation's keys.

    Raises:
      FormatError: if the file is called `.npz` and is cut off.

    Example:
      >>> detect(Path("nowhere.npz"))
      False
    """
    return has_keys(path, REQUIRED)


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,  # noqa: ARG001 - as every format's
    *,
    horizon: int | None = None,
) -> Source:
    """Opens a file of imitation's as a source.

    Args:
      path: of the file.
      entry: what the catalogue knows of it.
      horizon: steps after which the environment stops an episode: `terminal` at that very step means that
        time was up. None takes every `terminal` for the end of the MDP.

    Raises:
      FormatError: if the file is not what imitation's are, now or while it is read.
      ValueError: if `horizon` is no number of steps.

    Example:
      >>> rows = {"obs": np.arange(6), "acts": np.arange(4), "indices": [3], "terminal": [True, False]}
      >>> np.savez("two.npz", **rows)
      >>> [block.ends.stop.tolist() for block in read(Path("two.npz")).blocks(9)]
      [[3, 4]]
    """
    check_horizon(horizon)
    layout = _layout(path)
    kept = {"observation": "obs", **layout.leaves}
    example = {
        name: np.zeros(layout.columns[key].shape[1:], layout.columns[key].dtype) for name, key in kept.items()
    }
    example |= {name: np.zeros((), np.bool_) for name in ("terminated", "truncated")}
    pickled = [key for key, column in layout.columns.items() if column.is_pickle]
    return Source(
        example=example,
        lengths=np.array([layout.lengths.sum()]),
        finals=("observation",),
        blocks=blocks_of(
            partial(undivided, partial(_episodes, layout, horizon)), 1, example, ("observation",)
        ),
        facts={
            "keys": {key: column.to_dict() for key, column in layout.columns.items()},
            "left_out": dict.fromkeys(pickled, "a pickle, which is never loaded"),
        },
        horizon=horizon,
    )


def _layout(path: Path) -> Layout:
    found = require_keys(path, REQUIRED, "imitation")
    actions = require_rows(found, ["acts"], path)
    states = require_rows(found, ["obs"], path)
    terminal = flags_of(read_array(path, found["terminal"]), f"`terminal` of {path}")
    starts = read_array(path, found["indices"]).reshape(-1).astype(np.int64)
    bounds = np.concatenate([[0], starts, [actions]])
    lengths = np.diff(bounds)
    if len(terminal) != len(lengths) or (lengths < 0).any() or states != actions + len(lengths):
        raise FormatError(
            f"`indices` of {path} makes {len(lengths)} trajectories of {actions} actions, which want as many "
            f"flags in `terminal` and {actions + len(lengths)} rows of `obs`: there are {len(terminal)} and "
            f"{states}. The file was cut, or written by halves."
        )
    names = {"acts": "action", "rews": "reward"}
    require_rows(found, [key for key in names if key in found], path)
    leaves = {
        names.get(key, f"infos/{key}"): key
        for key, column in found.items()
        if key not in ("obs", "terminal", "indices")
        and not column.is_pickle
        and column.shape[:1] == (actions,)
    }
    return Layout(path, found, leaves, lengths, terminal)


def _episodes(layout: Layout, horizon: int | None) -> Iterator[Recorded]:
    acts = _pieces(layout, list(layout.leaves.values()), layout.lengths)
    states = _pieces(layout, ["obs"], layout.lengths + 1)
    rest = [layout.columns[key] for key in layout.leaves.values()]
    none = {column.key: np.zeros((0, *column.shape[1:]), column.dtype) for column in rest}
    for length, ended in zip(layout.lengths.tolist(), layout.terminal.tolist(), strict=True):
        rows = next(acts) if length else none
        obs = next(states)["obs"]
        stopped = ended and length == horizon
        over = ended and not stopped
        steps = {"observation": obs[:-1], **{name: rows[key] for name, key in layout.leaves.items()}}
        steps |= end_flags(length, terminated=over, truncated=stopped)
        yield Recorded(steps, terminated=over, truncated=stopped, final={"observation": obs[-1]})


def _pieces(layout: Layout, keys: list[str], lengths: NpArray) -> Iterator[Mapping[str, NpArray]]:
    """Yields rows of keys, so many at a time as trajectories that are not empty have."""
    blocks = read_some(layout.path, layout.columns, keys)
    return (rows for rows, _ in cut_at(blocks, last_rows(lengths)))
