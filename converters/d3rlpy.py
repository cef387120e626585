"""d3rlpy's HDF5 files: `ReplayBuffer.dump` of version 2.1, and `MDPDataset.dump` of d3rlpy 1.

```
# 2.1: observations_<i>, actions_<i> [T, A], rewards_<i> [T, 1], terminated_<i> (one flag an episode)
#      observations_<i>_<j> where an observation is a tuple
# 1:   observations, actions, rewards, terminals, episode_terminals: one row a step, episodes end to end
```
Neither holds what an episode's last action led to.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from ..vault.tree import component
from . import hdf5
from .bad import Bad
from .json_arrays import to_json
from .recorded import Recorded, blocks_of
from .source import Source
from .trajectories import trajectories

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "d3rlpy"
OPTIONS = ()
VERSION = "2.1"
LEAVES = {"observations": "observation", "actions": "action", "rewards": "reward"}
_FLAGS = ("terminals", "episode_terminals")
_OBSOLETE = "2.0"
_BLOCK_BYTES = 8 << 20


def detect(path: Path) -> bool:
    """Says whether a file has d3rlpy's keys, of version 2 or of version 1.

    Example:
      >>> detect(Path("nowhere.h5"))
      False
    """
    if not hdf5.is_hdf5(path):
        return False
    with hdf5.open_hdf5(path) as file:
        old = "terminals" in file and ("episode_terminals" in file or "discrete_action" in file)
        return old or ("columns" in file and "num_episodes" in file)


def read(path: Path, entry: "DatasetEntry | None" = None, *, bad: Bad | None = None) -> Source:
    """Opens a d3rlpy file as a source.

    Args:
      path: of the file.
      entry: what the catalogue knows of it.
      bad: takes what cannot be read and may be left out; none may by default.

    Raises:
      FormatError: if the file is not what d3rlpy's are, now or while it is read.

    Example:
      >>> import h5py
      >>> with h5py.File("old.h5", "w") as file:
      ...     for key in ("observations", "actions", "rewards"):
      ...         file[key] = np.arange(4.0)
      ...     file["terminals"], file["episode_terminals"] = [0, 0, 1, 0], [0, 0, 1, 0]
      >>> [block.ends.stop.tolist() for block in read(Path("old.h5")).blocks(4)]
      [[3, 4]]
    """
    del entry
    bad = bad or Bad()
    with hdf5.open_hdf5(path) as file:
        flat = "columns" not in file
        length, about = _old_layout(file, path) if flat else _new_layout(file, path, bad)
        single = about.pop("leaves", {})

    if flat:
        stops = _old_stops(path, length)
        lengths, episodes = np.diff(stops, prepend=0), partial(_old_episodes, path, length, stops)
    else:
        lengths, episodes = np.array(about.pop("lengths")), partial(_new_episodes, path)
    first = bad.first(range(len(lengths)), lambda unit: next(episodes(unit, unit + 1)))
    example: dict[str, NpArray] = {n: np.zeros(v.shape[1:], v.dtype) for n, v in first.steps.items()}
    return Source(
        example=example,
        lengths=lengths,
        finals=(),
        blocks=blocks_of(episodes, len(lengths), example),
        facts={"version": about.get("version", "1"), "final_observations": "absent"},
        attributes={NAME: about | single},
    )


# -- version 2


def _columns(file: Any) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in file["columns"][()]]


def _new_layout(file: Any, path: Path, bad: Bad) -> tuple[int, dict[str, Any]]:
    version = str(file["version"].asstr()[()]) if "version" in file else ""
    if version == _OBSOLETE or not version.startswith("2."):
        raise FormatError(
            f"{path} has version {version!r}; 2.1 and later are read. Load it with the d3rlpy that wrote it, "
            "and dump it again with a newer one."
        )
    count = int(file["num_episodes"][()])
    if count == 0:
        raise FormatError(f"{path} has no episodes: there is nothing to convert.")
    lengths = [bad.tried(row, partial(_length, file, path, row), 0) for row in range(count)]
    return sum(lengths), {"version": version, "lengths": lengths}


def _length(file: Any, path: Path, row: int) -> int:
    return int(_part(file, path, "rewards", row).shape[0])


def _part(file: Any, path: Path, column: str, row: int) -> Any:
    key = f"{column}_{row}"
    if key not in file:
        raise FormatError(
            f"{path} has no `{key}`; it speaks of {int(file['num_episodes'][()])} episodes with "
            f"{_columns(file)}. It was cut while it was written; dump it again."
        )
    return file[key]


def _new_episodes(path: Path, start: int, stop: int) -> Iterator[Recorded]:
    with hdf5.open_hdf5(path) as file:
        columns = _columns(file)
        for row in range(start, stop):
            length = len(_part(file, path, "rewards", row))
            terminated = np.asarray(_part(file, path, "terminated", row)[()])
            if terminated.size != 1 or terminated.ravel()[0] not in (0, 1):
                raise FormatError(f"`terminated_{row}` of {path} must be one flag: got {terminated}.")
            steps: dict[str, NpArray] = {}
            facts: dict[str, Any] = {}
            for column in columns:
                for name, values in _column(file, path, column, row):
                    if column == "terminated":
                        continue
                    if values.ndim and len(values) == length:
                        steps[name] = values
                    elif column in LEAVES:
                        raise FormatError(
                            f"`{column}_{row}` of {path} has shape {values.shape}, not {length} rows."
                        )
                    else:
                        facts[name] = to_json(values)
            steps["reward"] = steps["reward"].reshape(length)
            yield _recorded(steps, bool(terminated.ravel()[0]), facts)


def _column(file: Any, path: Path, column: str, row: int) -> Iterator[tuple[str, NpArray]]:
    name = LEAVES.get(column, component(column))
    if f"{column}_{row}_0" in file and f"{column}_{row}" not in file:
        part = 0
        while (key := f"{column}_{row}_{part}") in file:
            yield f"{name}/{part}", hdf5.read(file[key])
            part += 1
        return
    yield name, hdf5.read(_part(file, path, column, row))


def _recorded(steps: dict[str, NpArray], terminated: bool, facts: Mapping[str, Any]) -> Recorded:
    length = len(steps["reward"])
    last = np.arange(length) == length - 1
    flags = {"terminated": last & terminated, "truncated": last & (not terminated)}
    return Recorded(steps | flags, terminated=terminated, truncated=not terminated, attributes=facts)


# -- version 1


def _old_layout(file: Any, path: Path) -> tuple[int, dict[str, Any]]:
    found = hdf5.datasets(file)
    missing = [key for key in (*LEAVES, "terminals") if key not in found]
    if missing:
        raise FormatError(f"{path} has no `{missing[0]}`; it has {', '.join(found)}.")
    if "timeouts" in found and "episode_terminals" not in found:
        raise FormatError(
            f"{path} has `timeouts`, which d3rlpy does not know, and no `episode_terminals`: it is D4RL's. "
            "Convert it with format='d4rl', or 'dsrl' if it has `costs`."
        )
    length = int(found["rewards"].shape[0])
    if length == 0:
        raise FormatError(f"`rewards` of {path} has no rows: there is nothing to convert.")
    for key, node in found.items():
        if (key in (*LEAVES, *_FLAGS)) and node.shape[0] != length:
            raise FormatError(f"`{key}` of {path} has {node.shape[0]} rows where `rewards` has {length}.")
    rest = {key: node for key, node in found.items() if not _is_column(node, length)}
    return length, {"leaves": {key: hdf5.attribute(_plain(node)) for key, node in rest.items()}}


def _is_column(node: Any, length: int) -> bool:
    return node.ndim > 0 and node.shape[0] == length and node.dtype.kind in "biufc"


def _plain(node: Any) -> Any:
    value = node[()]
    return value.decode() if isinstance(value, bytes) else value


def _old_stops(path: Path, length: int) -> NpArray:
    """Returns the row after each episode's last one, int64 `[E]`."""
    with hdf5.open_hdf5(path) as file:
        keys = ["rewards", *(key for key in _FLAGS if key in file)]
        over = _over({key: hdf5.read(file[key]) for key in keys}, path)
    return np.union1d(np.flatnonzero(over) + 1, length)


def _old_episodes(path: Path, length: int, stops: NpArray, start: int, stop: int) -> Iterator[Recorded]:
    begin, end = np.concatenate([[0], stops])[[start, stop]].tolist()
    with hdf5.open_hdf5(path) as file:
        keys = [key for key, node in hdf5.datasets(file).items() if _is_column(node, length)]
        row_bytes = sum(file[key].dtype.itemsize * int(np.prod(file[key].shape[1:])) for key in keys)
        rows = max(1, _BLOCK_BYTES // max(1, row_bytes))
        blocks = (
            {key: hdf5.read(file[key], low, min(low + rows, end)) for key in keys}
            for low in range(begin, end, rows)
        )
        for columns, ended in trajectories(blocks, lambda block: _over(block, path)):
            count = len(columns["rewards"])
            terminated = bool(ended and columns["terminals"].reshape(count)[-1])
            steps = {LEAVES.get(key, component(key)): v for key, v in columns.items() if key not in _FLAGS}
            steps["reward"] = steps["reward"].reshape(count)
            flags = np.arange(count) == count - 1
            steps |= {"terminated": flags & terminated, "truncated": flags & (ended and not terminated)}
            yield Recorded(steps, terminated=terminated, truncated=ended and not terminated)


def _over(block: Mapping[str, NpArray], path: Path) -> NpArray:
    over = np.zeros(len(block["rewards"]), np.bool_)
    for key in _FLAGS:
        if key in block:
            flags = block[key].reshape(len(over))
            if not ((flags == 0) | (flags == 1)).all():
                raise FormatError(f"`{key}` of {path} must be 0 or 1 in every row.")
            over |= flags != 0
    return over
