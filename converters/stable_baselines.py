"""Stable Baselines' `.npz` files of expert trajectories (`generate_expert_traj`): steps end to end.

```
# obs, actions, rewards: one row a step           -> observation, action, reward
# episode_starts       : [1, 0, 0,  1, 0, ...]    an episode ends before the next one's start
# episode_returns      : one number an episode that was finished
```
Nothing says why an episode ended, nor what its last action led to.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.tree import component
from .npy import Column
from .npz import read_array
from .npz_rows import check_horizon, count_rows, end_flags, has_keys, read_some, require_keys
from .recorded import Recorded, blocks_of, undivided
from .source import Source
from .trajectories import cut_at, flags_of

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "stable_baselines"
OPTIONS = ("horizon",)
REQUIRED = ("obs", "actions", "episode_starts")
LEAVES = {"obs": "observation", "actions": "action", "rewards": "reward"}
_BESIDE = ("episode_starts", "episode_returns")


def detect(path: Path) -> bool:
    """Says whether a file has Stable Baselines' keys.

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
    """Opens a file of Stable Baselines' as a source.

    Args:
      path: of the file.
      entry: what the catalogue knows of it.
      horizon: steps after which the environment stops an episode: one of that length was truncated. None
        takes every end for the end of the MDP.

    Raises:
      FormatError: if the file is not what Stable Baselines' are, now or while it is read.
      ValueError: if `horizon` is no number of steps.

    Example:
      >>> rows = {key: np.arange(4.0) for key in ("obs", "actions", "rewards")}
      >>> np.savez("two.npz", **rows, episode_starts=[1, 0, 1, 0], episode_returns=[1.0])
      >>> (block,) = read(Path("two.npz")).blocks(9)
      >>> block.ends.stop.tolist(), block.ends.terminated.tolist()
      ([2, 4], [True, False])
    """
    check_horizon(horizon)
    found = require_keys(path, REQUIRED, "Stable Baselines")
    count = count_rows(found, [key for key in (*REQUIRED, "rewards") if key in found], path)
    starts = flags_of(read_array(path, found["episode_starts"]), f"`episode_starts` of {path}")
    starts[0] = True
    returns = read_array(path, found["episode_returns"]) if "episode_returns" in found else np.zeros(0)
    rows = {
        k: c for k, c in found.items() if c.shape[:1] == (count,) and not c.is_pickle and k not in _BESIDE
    }
    example = {_leaf(key): np.zeros(_shape(key, c), c.dtype) for key, c in rows.items()}
    example |= {name: np.zeros((), np.bool_) for name in ("terminated", "truncated")}
    finished = len(returns) >= int(starts.sum())
    episodes = partial(_episodes, path, rows, starts, horizon, finished=finished)
    left = [key for key in found if key not in rows and key not in _BESIDE]
    return Source(
        example=example,
        lengths=np.array([count]),
        finals=(),
        blocks=blocks_of(partial(undivided, episodes), 1, example),
        facts={
            "keys": {key: column.to_dict() for key, column in found.items()},
            "left_out": left,
            "ends": "nothing says why an episode ended: it counts as terminated",
        },
        arrays={"episode_returns": returns} if len(returns) else {},
        horizon=horizon,
    )


def _leaf(key: str) -> str:
    return LEAVES.get(key, f"infos/{component(key)}")


def _shape(key: str, column: Column) -> tuple[int, ...]:
    return () if key == "rewards" and column.shape[1:] == (1,) else column.shape[1:]


def _episodes(
    path: Path, columns: Mapping[str, Column], starts: NpArray, horizon: int | None, *, finished: bool
) -> Iterator[Recorded]:
    last = np.append(starts[1:], finished)
    for rows, ended in cut_at(read_some(path, columns, columns), last):
        count = len(rows["obs"])
        steps = {_leaf(key): rows[key].reshape(count, *_shape(key, c)) for key, c in columns.items()}
        stopped = ended and count == horizon
        over = ended and not stopped
        flags = end_flags(count, terminated=over, truncated=stopped)
        yield Recorded(steps | flags, terminated=over, truncated=stopped)
