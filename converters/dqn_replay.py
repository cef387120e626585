"""The DQN Replay dataset: checkpoints of Dopamine's replay buffer, a gzipped array a key.

```
# slots of checkpoint 0 : [ 0, 0, 0, f0, f1, ... ]                 a ring that is not full yet
# slots of checkpoint 1 : [ newest ..., | oldest ... ]             `add_count` says where it goes round
# an episode            : 0, 0, 0, f0, f1, ..., fT                 three rows of zeros, then its steps
```
Steps are read in the order in which they were added; what two checkpoints share is taken once, rows of zeros
are left out, and episodes go on over checkpoints.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..vault.errors import FormatError
from ..vault.tree import component
from .bad import Bad
from .dqn_replay_ring import (
    ACTION,
    OBSERVATION,
    REWARD,
    TERMINAL,
    Checkpoint,
    open_checkpoint,
)
from .dqn_replay_runs import Run, runs_of
from .recorded import Recorded, blocks_of
from .source import Source
from .trajectories import trajectories

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "dqn_replay"
OPTIONS = ("checkpoints", "stack_size")
LEAVES = {OBSERVATION: "observation", ACTION: "action", REWARD: "reward", TERMINAL: "terminated"}
STACK_SIZE = 4  # of Dopamine's Atari agents
_LOGS = "replay_logs"
_FIRST = re.compile(r"\$store\$_observation_ckpt\.(\d+)\.gz")


def detect(path: Path) -> bool:
    """Says whether a folder, or `replay_logs` in it, has Dopamine's checkpoints.

    Example:
      >>> detect(Path("nowhere"))
      False
    """
    return path.is_dir() and bool(_numbers(_folder(path)))


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,  # noqa: ARG001 - as every format's
    *,
    checkpoints: Sequence[int] | None = None,
    stack_size: int = STACK_SIZE,
    bad: Bad | None = None,
) -> Source:
    """Opens checkpoints as a source.

    Args:
      path: of the folder of a game's run, or of `replay_logs` in it.
      entry: what the catalogue knows of it.
      checkpoints: their numbers; all of them by default.
      stack_size: frames that the agent stacked; before each episode stand as many rows of zeros, less one.
      bad: takes checkpoints that cannot be read and may be left out; none may by default.

    Raises:
      FormatError: if the files are not what Dopamine writes, now or while they are read.
      ValueError: if there is no checkpoint of such a number, or `stack_size` is none.

    Example:
      >>> import gzip
      >>> Path("replay_logs").mkdir()
      >>> rows = {"observation": [[0], [0], [0], [7], [8]], "action": [0, 0, 0, 1, 1], "reward": [0.0] * 5}
      >>> for key, values in (rows | {"terminal": [0, 0, 0, 0, 1]}).items():
      ...     with gzip.open(f"replay_logs/$store$_{key}_ckpt.0.gz", "w") as file:
      ...         np.save(file, np.array(values))
      >>> [block.steps["observation"].tolist() for block in read(Path()).blocks(9)]
      [[[7], [8]]]
    """
    if stack_size < 1:
        raise ValueError(f"`stack_size` must be at least 1, which is no stacking: got {stack_size}.")
    folder = _folder(path)
    there = _numbers(folder)
    numbers = there if checkpoints is None else sorted(checkpoints)
    missing = [number for number in numbers if number not in there]
    if missing or not numbers:
        raise ValueError(f"`checkpoints` must be of those in {folder}, {there}: got {checkpoints}.")
    opened = _opened(folder, numbers, bad or Bad())
    first = opened[0]
    for other in opened[1:]:
        _check_alike(first, other)
    runs = runs_of(opened, stack_size - 1)
    example = {_leaf(key): np.zeros(c.shape[1:], c.dtype) for key, c in first.columns.items()}
    example |= {name: np.zeros((), np.bool_) for name in ("terminated", "truncated")}
    columns = {"checkpoint": np.dtype(np.int32), "from_start": np.dtype(np.bool_)}
    return Source(
        example=example,
        lengths=np.array([run.num_steps for run in runs]),
        finals=(),
        blocks=blocks_of(partial(_episodes, runs), len(runs), example, (), columns),
        facts={
            "checkpoints": list(numbers),
            "add_counts": [one.count for one in opened],
            "pieces": [[piece.checkpoint.number, piece.rows] for run in runs for piece in run.pieces],
            "rows_of_zeros_left_out": sum(run.num_padding for run in runs),
            "files_left_out": sorted({name for one in opened for name in one.ignored}),
            "rewards": "as the agent saw them, which Dopamine clips to [-1, 1]",
            "ends": "a time limit is not told from a lost game",
        },
        attributes=_game(folder),
        columns=columns,
    )


def _folder(path: Path) -> Path:
    return path / _LOGS if (path / _LOGS).is_dir() else path


def _numbers(folder: Path) -> list[int]:
    found = (_FIRST.fullmatch(file.name) for file in folder.glob("$store$_observation_ckpt.*.gz"))
    return sorted(int(match[1]) for match in found if match)


def _game(folder: Path) -> dict[str, str | int]:
    """What the folders' names say, `<Game>/<run>/replay_logs`."""
    *_, game, run, logs = ("", "", *folder.absolute().parts)
    return {"game": game, "run": int(run)} if logs == _LOGS and run.isdigit() else {}


def _opened(folder: Path, numbers: Sequence[int], bad: Bad) -> list[Checkpoint]:
    """Opens checkpoints; where some may be left out, those of which all can be unpacked."""

    def whole(number: int) -> Checkpoint:
        one = open_checkpoint(folder, number)
        for key in one.columns if bad.allowed else ():
            one.verify(key)
        return one

    found = [bad.tried(f"checkpoint {number}", partial(whole, number), None) for number in numbers]
    opened = [one for one in found if one is not None]
    if not opened:
        raise FormatError(f"No checkpoint in {folder} can be read: {next(iter(bad.files.values()))}")
    return opened


def _leaf(key: str) -> str:
    return LEAVES.get(key, f"infos/{component(key)}")


def _check_alike(first: Checkpoint, other: Checkpoint) -> None:
    if first.rows() != other.rows():
        raise FormatError(
            f"The checkpoints of one run have the same keys, dtypes and shapes: {other.number} has "
            f"{other.rows()}, {first.number} has {first.rows()}. Name those that belong together with "
            "`checkpoints=`."
        )


def _episodes(runs: Sequence[Run], start: int, stop: int) -> Iterator[Recorded]:
    for run in runs[start:stop]:
        from_start = run.from_start
        for rows, ended in trajectories(run.blocks(), lambda block: block[TERMINAL] != 0):
            steps = {_leaf(key): values for key, values in rows.items() if key != "checkpoint"}
            steps["terminated"] = rows[TERMINAL] != 0
            yield Recorded(
                steps | {"truncated": np.zeros(len(rows[TERMINAL]), np.bool_)},
                terminated=ended,
                truncated=False,
                columns={"checkpoint": rows["checkpoint"][-1], "from_start": from_start},
            )
            from_start = True
