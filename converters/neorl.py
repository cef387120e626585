"""NeoRL's and NeoRL-2's `.npz` files: transitions end to end, with an index of where trajectories end.

```
#           |<- trajectory 0 ->|<- trajectory 1 ...
# obs       : [o0, o1, o2,       o0, o1, ...]    -> observation
# next_obs  : [o1, o2, o3,       o1, ...]        -> final (o3), the rest is derived
# done      : [ 0,  0,  1,        0,  0, ...]    -> terminated
# truncated : [ 0,  0,  0,        0,  0, ...]    -> truncated; NeoRL-2 alone has it
# index     : [3, ...]                           the row after each trajectory's last one
```
An episode ends where `done` or `truncated` is set or the index says so. What follows is the last one, cut.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..vault.attachments import can_attach
from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from ..vault.tree import component
from .following import derivable, keep, next_name
from .json_arrays import to_json
from .npy import Column
from .npz import read_array, require_rows
from .npz_rows import check_horizon, count_rows, has_keys, read_some, require_keys, require_number
from .recorded import Recorded, blocks_of, undivided
from .source import Source
from .trajectories import cut_at, flags_of

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "neorl"
OPTIONS = ("horizon", "keep_next_observation")
REQUIRED = ("obs", "action", "reward", "done")
LEAVES = {"obs": "observation", "next_obs": "next_observation", "action": "action", "reward": "reward"}
FLAGS = ("done", "truncated")
INDEX = "index"


@dataclass(frozen=True)
class Layout:
    """What holds for one file.

    Attributes:
      path: of the file.
      columns: keys with one row a step, by key; the flags among them.
      rest: the other keys, by key; the index is not among them.
      stops: int64, the row after each trajectory's last one.
      done: bool `[N]`.
      truncated: bool `[N]`, as stored; False everywhere where it is not.
      cut: whether the file goes on behind the last stop.
    """

    path: Path
    columns: Mapping[str, Column]
    rest: Mapping[str, NpArray]
    stops: NpArray
    done: NpArray
    truncated: NpArray
    cut: bool

    @property
    def leaves(self) -> dict[str, Column]:
        """The columns that become leaves, by key; the flags do not."""
        return {key: column for key, column in self.columns.items() if key not in FLAGS}


def detect(path: Path) -> bool:
    """Says whether a file has NeoRL's keys.

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
    keep_next_observation: bool = False,
) -> Source:
    """Opens a file of NeoRL's or NeoRL-2's as a source.

    Args:
      path: of the file.
      entry: what the catalogue knows of it.
      horizon: steps after which the environment stops an episode: `done` at that very step, without
        `truncated`, means that time was up. None takes every `done` for the end of the MDP.
      keep_next_observation: store `next_obs` row by row, even where the vault can derive it. Where it
        cannot, this is done unasked.

    Raises:
      FormatError: if the file is not what NeoRL's are, now or while it is read.
      ValueError: if `horizon` is no number of steps.

    Example:
      >>> rows = {key: np.arange(4.0)[:, None] for key in ("obs", "action", "reward")}
      >>> np.savez("four.npz", **rows, done=np.zeros((4, 1)), index=np.array([2.0, 4.0]))
      >>> [block.ends.stop.tolist() for block in read(Path("four.npz")).blocks(4)]
      [[2, 4]]
    """
    check_horizon(horizon)
    layout = _layout(path)
    has_next = "next_obs" in layout.columns
    kept = has_next and (keep_next_observation or not _alike(layout.columns))
    example = {_leaf(key): np.zeros(_shape(key, c), c.dtype) for key, c in layout.leaves.items()}
    if not kept:
        example.pop("next_observation", None)
    example |= {name: np.zeros((), np.bool_) for name in ("terminated", "truncated")}
    finals = ("observation",) if has_next and _alike(layout.columns) else ()
    rewards = read_array(path, layout.columns["reward"])
    return Source(
        example=example,
        lengths=np.array([len(layout.done)]),
        finals=finals,
        blocks=blocks_of(
            partial(undivided, partial(_episodes, layout, horizon, kept=kept)), 1, example, finals
        ),
        facts={
            "keys": {key: column.to_dict() for key, column in layout.columns.items()},
            "next_obs": "absent" if not has_next else "kept" if kept else "derived",
            "nan_rewards": int(np.isnan(rewards).sum()) if rewards.dtype.kind == "f" else 0,
        },
        attributes={k: to_json(v) for k, v in layout.rest.items() if not _is_array(v)},
        arrays={k: v for k, v in layout.rest.items() if _is_array(v)},
        horizon=horizon,
    )


def _leaf(key: str) -> str:
    return LEAVES.get(key, f"infos/{component(key)}")


def _is_array(values: NpArray) -> bool:
    return values.ndim > 0 and can_attach(values.dtype)


def _shape(key: str, column: Column) -> tuple[int, ...]:
    return () if key == "reward" else column.shape[1:]


def _alike(columns: Mapping[str, Column]) -> bool:
    one, other = columns["obs"], columns["next_obs"]
    return (one.dtype, one.shape) == (other.dtype, other.shape)


def _layout(path: Path) -> Layout:
    found = require_keys(path, REQUIRED, "NeoRL", "a step")
    known = [key for key in (*REQUIRED, "next_obs", "truncated") if key in found]
    count = count_rows(found, known, path)
    rows = {k: c for k, c in found.items() if k in known or (k != INDEX and c.shape[:1] == (count,))}
    require_rows(rows, rows, path)
    for key in ("reward", "done", "truncated"):
        if key in rows:
            require_number(rows[key], "a step", path)
    done, truncated = (
        flags_of(read_array(path, rows[key]), f"`{key}` of {path}")
        if key in rows
        else np.zeros(count, np.bool_)
        for key in FLAGS
    )
    stops = np.flatnonzero(done | truncated) + 1
    if INDEX in found:
        stops = np.union1d(stops, _stops(read_array(path, found[INDEX]), count, path))
    rest = {k: read_array(path, c) for k, c in found.items() if k not in rows and k != INDEX}
    return Layout(path, rows, rest, stops, done, truncated, cut=not len(stops) or int(stops[-1]) < count)


def _stops(index: NpArray, count: int, path: Path) -> NpArray:
    """Returns the stops that an index names, whether it has the trajectories' ends or their starts."""
    values = index.reshape(-1)
    whole = values.astype(np.int64) if values.dtype.kind in "iuf" and np.isfinite(values).all() else None
    if whole is None or (whole != values).any() or (np.diff(whole) <= 0).any():
        raise FormatError(f"`index` of {path} must be rows that rise: it is {values[:5]}… ({values.dtype}).")
    if len(whole) and (whole[0] < 0 or whole[-1] > count):
        raise FormatError(
            f"`index` of {path} goes from {whole[0]} to {whole[-1]}, and `obs` has {count} rows: the file "
            "was cut while it was written. Fetch it again."
        )
    starts = len(whole) > 0 and whole[0] == 0
    return np.append(whole[1:], count) if starts else whole


def _episodes(layout: Layout, horizon: int | None, *, kept: bool) -> Iterator[Recorded]:
    last = np.zeros(len(layout.done), np.bool_)
    last[layout.stops - 1] = True
    start = 0
    blocks = read_some(layout.path, layout.columns, layout.leaves)
    for number, (found, ended) in enumerate(cut_at(blocks, last)):
        stop = start + len(found["obs"])
        steps = {
            _leaf(key): found[key].reshape(stop - start, *_shape(key, c)) for key, c in layout.leaves.items()
        }
        done, truncated = layout.done[start:stop].copy(), layout.truncated[start:stop].copy()
        if ended and horizon == stop - start and done[-1] and not truncated[-1]:
            done[-1], truncated[-1] = False, True
        if ended and not done[-1]:
            truncated[-1] = True
        final = _final(steps, number, layout, kept=kept)
        yield Recorded(
            steps | {"terminated": done, "truncated": truncated},
            terminated=bool(done[-1]),
            truncated=bool(truncated[-1]),
            final=final,
        )
        start = stop


def _final(
    steps: dict[str, NpArray], number: int, layout: Layout, *, kept: bool
) -> dict[str, NpArray] | None:
    """Gives the final rows, and takes the next observations out where they are derived."""
    if "next_obs" not in layout.columns:
        return None
    name = next_name("observation")
    following = steps[name] if kept else steps.pop(name)
    if not kept and not derivable(steps, {"observation": following}):
        keep(layout.path.name, number, "next_obs")
    return {"observation": following[-1]} if _alike(layout.columns) else None
