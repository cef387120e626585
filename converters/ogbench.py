"""OGBench's `.npz` files: trajectories end to end, the last row of each a state in which nothing was done.

```
#              |<------ trajectory 0 ------>|<- trajectory 1 ...
# observations: [o0, o1, o2,            o3,   o0, o1, ...]   -> observation, final (o3)
# actions     : [a0, a1, a2,            a3,   a0, a1, ...]   -> action; a3 led nowhere: final too
# terminals   : [ 0,  0,  0,             1,    0,  0, ...]   -> truncated, one row before
```
`terminals` says that a trajectory ended, never that a task did. A folder is one dataset: `id.npz`,
`id-val.npz` and their shards; the episode table's column `validation` says which of them an episode is from.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.errors import FormatError
from ..vault.tree import component
from .bad import Bad
from .json_arrays import to_json
from .npy import Column
from .npz import columns_of, is_npz, read_array
from .npz_rows import count_rows, end_flags, read_some, require_keys, require_number
from .recorded import Recorded, blocks_of
from .source import Source
from .trajectories import flags_of, trajectories

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "ogbench"
OPTIONS = ()
REQUIRED = ("observations", "actions", "terminals")
LEAVES = {"observations": "observation", "actions": "action"}
_ELSEWHERE = {"rewards", "next_observations", "timeouts"}  # keys by which D4RL's names tell another file
_VALIDATION = "-val"


@dataclass(frozen=True)
class Shard:
    """One file of a dataset.

    Attributes:
      path: of the file.
      columns: its keys with one row a state, by key.
      beside: the keys without rows.
      num_rows: in the file, final states included.
      num_steps: without them.
      validation: whether it is a `-val` file.
    """

    path: Path
    columns: Mapping[str, Column]
    beside: Mapping[str, Any]
    num_rows: int
    num_steps: int
    validation: bool

    @property
    def leaves(self) -> dict[str, Column]:
        """The columns that become leaves, by the leaf's name."""
        return {leaf_of(key): column for key, column in self.columns.items() if key != "terminals"}


def detect(path: Path) -> bool:
    """Says whether a file, or the first `.npz` of a folder, has OGBench's keys.

    Raises:
      FormatError: if the file is called `.npz` and is cut off.

    Example:
      >>> detect(Path("nowhere.npz"))
      False
    """
    first = min(path.glob("*.npz"), default=path) if path.is_dir() else path
    if not is_npz(first):
        return False
    keys = columns_of(first).keys()
    return set(REQUIRED) <= keys and not keys & _ELSEWHERE


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,  # noqa: ARG001 - as every format's
    *,
    bad: Bad | None = None,
) -> Source:
    """Opens a file of OGBench, or a folder of one dataset's files, as a source.

    Args:
      path: of the file or folder.
      entry: what the catalogue knows of it.
      bad: takes files that cannot be read and may be left out; none may by default.

    Raises:
      FormatError: if a file is not what OGBench's are, now or while it is read.

    Example:
      >>> np.savez("four.npz", observations=np.eye(4), actions=np.eye(4), terminals=[0, 1, 0, 1])
      >>> source = read(Path("four.npz"))
      >>> source.num_steps, [block.ends.stop.tolist() for block in source.blocks(4)]
      (2, [[1, 2]])
    """
    shards = _alike(_files(path), bad or Bad())
    first = shards[0]
    example = {name: np.zeros(c.shape[1:], c.dtype) for name, c in first.leaves.items()}
    flags = {name: np.zeros((), np.bool_) for name in ("terminated", "truncated")}
    columns = {"validation": np.dtype(np.bool_)}
    finals = tuple(example)
    return Source(
        example=example | flags,
        lengths=np.array([shard.num_steps for shard in shards]),
        finals=finals,
        blocks=blocks_of(partial(_of_files, shards), len(shards), example | flags, finals, columns),
        facts={
            "files": [shard.path.name for shard in shards],
            "keys": {key: column.to_dict() for key, column in first.columns.items()},
            "final_actions": "the last action of each trajectory, which led nowhere, is its final row",
        },
        attributes={f"{shard.path.name}/{key}": v for shard in shards for key, v in shard.beside.items()},
        columns=columns,
    )


def leaf_of(key: str) -> str:
    """Names the leaf that a key becomes.

    Example:
      >>> leaf_of("observations"), leaf_of("qpos")
      ('observation', 'infos/qpos')
    """
    return LEAVES.get(key, f"infos/{component(key)}")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.npz"), key=lambda file: (_is_validation(file), file.name))
    datasets = {re.sub(r"-\d+$", "", file.stem.removesuffix(_VALIDATION)) for file in files}
    if len(datasets) != 1:
        raise FormatError(
            f"A folder of OGBench's holds the .npz files of one dataset; {path} has those of "
            f"{sorted(datasets) or 'none'}. Convert a file, or make a folder for each."
        )
    return files


def _is_validation(file: Path) -> bool:
    return file.stem.endswith(_VALIDATION)


def _shard(path: Path) -> Shard:
    found = require_keys(path, REQUIRED, "OGBench", "a state")
    beside = {k: to_json(read_array(path, c)) for k, c in found.items() if not c.shape and k not in REQUIRED}
    columns = {key: column for key, column in found.items() if key not in beside}
    count = count_rows(columns, (*REQUIRED, *columns), path)
    flags = read_array(path, require_number(columns["terminals"], "a row", path))
    ends = flags_of(flags, f"`terminals` of {path}")
    return Shard(path, columns, beside, count, count - int(ends.sum()), _is_validation(path))


def _alike(files: Sequence[Path], bad: Bad) -> tuple[Shard, ...]:
    shards: list[Shard] = []
    for file in files:
        shard = bad.tried(file.name, partial(_shard, file), None)
        if shard is not None and bad.tried(
            file.name, partial(_check_alike, [*shards, shard][0], shard), False
        ):
            shards.append(shard)
    if not shards:
        raise FormatError(f"None of the files can be read: {next(iter(bad.files.values()))}")
    return tuple(shards)


def _check_alike(first: Shard, other: Shard) -> bool:
    def rows(shard: Shard) -> dict[str, Any]:
        return {name: (column.dtype, column.shape[1:]) for name, column in shard.leaves.items()}

    mine, others = rows(first), rows(other)
    wrong = sorted(name for name in mine.keys() | others.keys() if mine.get(name) != others.get(name))
    if wrong:
        raise FormatError(
            f"The files of one dataset have the same keys, dtypes and shapes: {wrong} of {other.path} are "
            f"not what they are in {first.path.name}. Convert the files one by one."
        )
    return True


def _of_files(shards: Sequence[Shard], start: int, stop: int) -> Iterator[Recorded]:
    for shard in shards[start:stop]:
        yield from _episodes(shard)


def _episodes(shard: Shard) -> Iterator[Recorded]:
    blocks = read_some(shard.path, shard.columns, shard.columns)
    for found, ended in trajectories(blocks, lambda block: block["terminals"].reshape(-1) != 0):
        leaves = {leaf_of(key): values for key, values in found.items() if key != "terminals"}
        count = len(found["terminals"]) - ended
        steps = {name: values[:count] for name, values in leaves.items()}
        yield Recorded(
            steps | end_flags(count, truncated=ended),
            terminated=False,
            truncated=ended,
            final={name: values[-1] for name, values in leaves.items()} if ended else None,
            columns={"validation": shard.validation},
        )
