"""AntMaze repaired: walks whole, ended where the ant was put back, not where it stood at its goal.

```
# observations' x, y : 7.9  8.0  8.1  8.0 | 0.1  0.0          a jump: the environment was reset
# terminals          :  0    1    1    1     0    0    -> infos/at_goal; terminated is false throughout
# timeouts           :  0    0    0    0     1    0    -> truncated, here or at a jump
```
IQL and HIQL end a trajectory where a row that was dropped breaks the chain of observations, which is at a
timeout; HIQL does not let the goal end one. In v1 and v2 the ends are the same here; in v0, whose flags are
out of step with the resets, jumps find those too.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from . import hdf5
from .d4rl_layout import Layout

REPAIRS = ("jumps",)
# In the maze's units. A corridor is 4 wide, and a step, of 0.1 s, moves an ant by less than 1.
JUMP = 2.0
AT_GOAL, JUMPED = "infos/at_goal", "infos/jump"


def check_repair(layout: Layout, repair: str | None) -> None:
    """Checks that a file can be repaired.

    Raises:
      ValueError: if the repair is not known, or its rows begin with no position.
    """
    if repair not in (None, *REPAIRS):
        raise ValueError(f"`repair` must be one of {', '.join(REPAIRS)}: got {repair!r}.")
    rows = layout.column("observations")
    if repair and (rows is None or len(rows.shape) != 1 or rows.shape[0] < 2 or rows.dtype.kind != "f"):
        raise ValueError(
            "`repair` is for AntMaze, whose observations begin with a position: "
            f"those of {layout.path} do not."
        )


def jumps(observations: Any, start: int, stop: int) -> NpArray:
    """Says after which rows the position jumps, bool `[stop - start]`.

    Args:
      observations: the dataset, `[N, ...]`, position first.
      start: the first row.
      stop: the row after the last one; it is looked at too, where it is there.

    Example:
      >>> jumps(np.array([[0.0, 0], [0.5, 0], [9, 9], [9, 9.5]]), 0, 2)
      array([False,  True])
    """
    more = min(stop + 1, observations.shape[0])
    places = hdf5.read(observations, start, more)[:, :2].astype(np.float64)
    away = np.linalg.norm(np.diff(places, axis=0), axis=1) > JUMP
    return np.concatenate([away, np.zeros(stop - start - len(away), np.bool_)])


def repaired(rows: Mapping[str, NpArray], jumped: NpArray) -> dict[str, NpArray]:
    """Returns rows whose episodes end at timeouts and jumps alone.

    Args:
      rows: with the file's own flags, as `terminated` and `truncated`.
      jumped: after which of them the position jumps.

    Example:
      >>> flags = {"terminated": np.array([1, 1, 0], bool), "truncated": np.array([0, 0, 1], bool)}
      >>> found = repaired(flags, np.array([1, 0, 0], bool))
      >>> {name: rows.astype(int).tolist() for name, rows in found.items()}
      {'terminated': [0, 0, 0], 'truncated': [1, 0, 1], 'infos/at_goal': [1, 1, 0], 'infos/jump': [1, 0, 0]}
    """
    return {
        **rows,
        "terminated": np.zeros_like(rows["terminated"]),
        "truncated": rows["truncated"] | jumped,
        AT_GOAL: rows["terminated"],
        JUMPED: jumped & ~rows["truncated"],
    }
