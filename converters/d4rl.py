"""D4RL's HDF5 files: one row a step, episodes end to end, as published since 2020.

```
#                     |<---- episode 0 ---->|<- episode 1 ...
# observations      : [o0, o1, o2,            o0, o1, ...]   -> observation
# next_observations : [o1, o2, o3,            o1, ...]       -> final (o3), the rest is derived
# actions, rewards  : [ .,  .,  .,             .,  ., ...]   -> action, reward
# terminals         : [ 0,  0,  1,             0,  0, ...]   -> terminated
# timeouts          : [ 0,  0,  0,             0,  0, ...]   -> truncated
```
An episode ends where either flag is set. What follows the last end is the last episode, cut.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.episodes import Ends
from ..vault.errors import FormatError
from . import hdf5
from .d4rl_chunks import nodes as nodes_of
from .d4rl_jumps import AT_GOAL, JUMPED, check_repair, jumps, repaired
from .d4rl_layout import FLAGS, REQUIRED, SCALARS, Column, Layout, layout_of
from .d4rl_time_limit import TimeLimit, time_limit
from .source import Block, ReadAgain, Source

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

OPTIONS = ("horizon", "skip", "keep_next_observation", "repair", "chunk")
_FLAG_ROWS = 1 << 20  # flags read at a time


def detect(path: Path) -> bool:
    """Says whether a file has D4RL's keys at its top.

    Files that have `costs` too are DSRL's.

    Raises:
      FormatError: if the file begins like HDF5 but cannot be opened.

    Example:
      >>> detect(Path("nowhere.hdf5"))
      False
    """
    if not hdf5.is_hdf5(path):
        return False
    with hdf5.open_hdf5(path) as file:
        keys = {key.split("/")[0] for key in nodes_of(file)}
    return "observations" in keys and len(keys & set(REQUIRED)) > 1 and "costs" not in keys


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,
    *,
    horizon: int | None = None,
    skip: Sequence[str] = (),
    keep_next_observation: bool = False,
    repair: str | None = None,
    chunk: int | None = None,
) -> Source:
    """Opens a D4RL file as a source.

    Args:
      path: of the file.
      entry: what the catalogue knows of it.
      horizon: steps after which the environment stops an episode, for files without `timeouts`;
        0 if `terminals` alone end episodes. None takes the catalogue's word.
      skip: keys, or groups of keys, to leave out.
      keep_next_observation: store `next_observations` row by row, even where the vault can derive
        it. Where it cannot, this is done unasked.
      repair: `jumps` ends AntMaze's episodes where the environment was reset, and not at the goal.
      chunk: the only one to read of a chunked file.

    Raises:
      FormatError: if the file is not what D4RL's are, now or while it is read.
      ValueError: if an option does not fit the file.

    Example:
      >>> import h5py
      >>> with h5py.File("four.hdf5", "w") as file:
      ...     for key in ("observations", "actions", "rewards"):
      ...         file[key] = np.arange(4.0)
      ...     file["terminals"] = [0, 1, 0, 0]
      >>> source = read(Path("four.hdf5"), horizon=0)
      >>> [block.ends.stop.tolist() for block in source.blocks(4)]
      [[2, 4]]
    """
    layout = layout_of(path, skip, chunk)
    check_repair(layout, repair)
    limit = time_limit(layout, horizon, known=None if entry is None else entry.horizon)
    stops = _stops(layout, limit, repair)
    following = layout.column("next_observations")
    keep = following is not None and (keep_next_observation or not layout.next_is_derivable)
    example = {c.name: np.zeros(c.shape, c.dtype) for c in layout.columns if c != following}
    example |= {
        name: np.zeros((), np.bool_) for name in ("truncated", *((AT_GOAL, JUMPED) if repair else ()))
    }
    if following is not None and keep:
        example[following.name] = np.zeros(following.shape, following.dtype)
    return Source(
        example=example,
        lengths=np.diff(stops, prepend=0),
        finals=("observation",) if layout.next_is_derivable else (),
        blocks=partial(_blocks, layout, limit, keep, stops, repair),
        facts={
            "keys": layout.keys,
            "timeouts": limit.timeouts,
            "repair": repair,
            "next_observations": "absent" if following is None else "kept" if keep else "derived",
        },
        attributes=layout.attributes,
        arrays=layout.arrays,
        derived=() if following is None or keep else (following.name,),
        horizon=limit.horizon,
    )


def _stops(layout: Layout, limit: TimeLimit, repair: str | None) -> NpArray:
    """Returns the row after each episode's last one, int64 `[E]`, from the flags alone."""
    flags = [column for column in layout.columns if column.key in FLAGS]
    age = 0
    found: list[NpArray] = []
    with hdf5.open_hdf5(layout.path) as file:
        nodes = layout.nodes(file)
        for start in range(0, layout.num_steps, _FLAG_ROWS):
            stop = min(start + _FLAG_ROWS, layout.num_steps)
            rows = {c.name: _read_column(layout, nodes, c, start, stop) for c in flags}
            if limit.timeouts != "stored":
                rows["truncated"], age = limit.stop(rows["terminated"], age)
            if repair:
                rows = repaired(rows, jumps(nodes["observations"], start, stop))
            found.append(start + 1 + np.flatnonzero(rows["terminated"] | rows["truncated"]))
    return np.union1d(np.concatenate(found), layout.num_steps)


def _blocks(
    layout: Layout,
    limit: TimeLimit,
    keep: bool,
    stops: NpArray,
    repair: str | None,
    num_steps: int,
    first: int = 0,
    last: int | None = None,
) -> Iterator[Block]:
    """Reads the episodes `[first, last)`, `num_steps` rows at a time; only the last block may be shorter."""
    following = layout.column("next_observations")
    begin, end = np.concatenate([[0], stops])[[first, len(stops) if last is None else last]].tolist()
    age = 0  # steps that the open episode has at the block's start
    promised: NpArray | None = None  # what the last row so far says comes next in its episode
    with hdf5.open_hdf5(layout.path) as file:
        nodes = layout.nodes(file)
        for start in range(begin, end, num_steps):
            stop = min(start + num_steps, end)
            rows = {c.name: _read_column(layout, nodes, c, start, stop) for c in layout.columns}
            after = None if following is None else rows.pop(following.name)
            if limit.timeouts != "stored":
                rows["truncated"], age = limit.stop(rows["terminated"], age)
            if repair:
                rows = repaired(rows, jumps(nodes["observations"], start, stop))
            ends = _ends(rows, after, layout, last=stop == layout.num_steps)
            if after is None:
                yield Block(rows, ends)
            elif keep:
                yield Block(rows | {"next_observation": after}, ends)
            else:
                row = _first_disagreement(rows["observation"], after, ends, promised)
                if row is not None:
                    raise _keep_next_observation(layout, start + row)
                promised = None if stop in start + ends.stop else after[-1]
                yield Block(rows, ends, {"next_observation": after})


def _read_column(layout: Layout, nodes: Mapping[str, Any], column: Column, start: int, stop: int) -> NpArray:
    values = hdf5.read(nodes[column.key], start, stop)
    if column.key in SCALARS:
        values = values.reshape(stop - start)
    where = f"`{column.key}` of {layout.path}"
    if column.key in FLAGS and values.dtype != np.bool_:
        _refuse(~((values == 0) | (values == 1)), values, start, f"{where} must be 0 or 1")
        values = values != 0
    return values


def _refuse(bad: NpArray, values: NpArray, start: int, rule: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise FormatError(
            f"{rule} in every row; row {start + row} is {values[row]}, the first of {bad.sum()} "
            f"such rows in {len(values)}. Mend the file first."
        )


def _ends(rows: Mapping[str, NpArray], after: NpArray | None, layout: Layout, *, last: bool) -> Ends:
    over = rows["terminated"] | rows["truncated"]
    over[-1] |= last  # the file's last episode is cut where it has no end of its own
    (at,) = np.nonzero(over)
    final = None
    if after is not None and layout.next_is_derivable:
        final = {"observation": after[at]}
    return Ends(at + 1, rows["terminated"][at], rows["truncated"][at], final)


def _first_disagreement(
    observation: NpArray, after: NpArray, ends: Ends, promised: NpArray | None
) -> int | None:
    """Returns the first row whose next observation is not the observation one row on, if any.

    Bytes are compared, so that NaN equals itself and 0.0 is not -0.0. The row before the block, -1,
    is compared too where its episode goes on in the block: `promised` is its next observation.
    """
    if promised is not None and promised.tobytes() != observation[0].tobytes():
        return -1
    inside = np.ones(len(after), np.bool_)
    inside[ends.stop - 1] = False
    differs = inside[:-1] & (_bytes(after[:-1]) != _bytes(observation[1:])).any(axis=1)
    return int(differs.argmax()) if differs.any() else None


def _bytes(rows: NpArray) -> NpArray:
    return np.ascontiguousarray(rows).reshape(len(rows), prod(rows.shape[1:])).view(np.uint8)


def _keep_next_observation(layout: Layout, row: int) -> ReadAgain:
    return ReadAgain(
        f"`next_observations` of row {row} in {layout.path.name} is not the observation of row "
        f"{row + 1} in the same episode, so all of them are kept as the leaf `next_observation`.",
        keep_next_observation=True,
    )
