"""RL Unplugged's own files: TFRecords, most of them gzipped, of transitions, episodes or pieces of them.

```
# atari/<Game>/run_1-00000-of-00100                    transitions
# atari_episodes_v2/…, atari_episodes_ordered/…        episodes of frames
# dm_control_suite/<task>/train-…, dm_locomotion/…     sequences of 2 or 40 steps
# dm_control_suite_episodes/…, dm_locomotion_episodes/ episodes
# rwrl/…/episodes.tfrecord-…                           episodes, not gzipped
# dmlab/<task>/<run>/tfrecord-…, bsuite/…              pieces of episodes
```
What TFDS made of the same data is RLDS, another format.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .bad import Bad
from .recorded import Recorded, blocks_of
from .rl_unplugged_kinds import COLUMNS, TRANSITIONS, Kind, find_kind
from .rl_unplugged_records import SHARD, Part, Plan, Record, read_record, record_of, shards_of
from .source import Source
from .tf_example import parse_example
from .tfrecord import read_records

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "rl_unplugged"
OPTIONS = ("prefix", "shapes", "skip")
_FLAGS = ("terminated", "truncated")


@dataclass
class Scan:
    """What the records amount to.

    Attributes:
      lengths: steps of each record of each file.
      placeholders: leaves whose row 0, which is of no step, is not always 0 (of `discount`: 1).
      nan_rewards: rewards that are no number.
    """

    lengths: list[list[int]] = field(default_factory=list[list[int]])
    placeholders: set[str] = field(default_factory=set[str])
    nan_rewards: int = 0

    def add(self, record: Record, kind: Kind) -> None:
        """Counts a record of the file that is read."""
        self.lengths[-1].append(sum(part.stop - part.start for part in record.parts))
        for name in kind.late & record.rows.keys():
            if (record.rows[name][0] != (1 if name == "discount" else 0)).any():
                self.placeholders.add(name)
        rewards = record.rows.get("reward")
        if rewards is not None and rewards.dtype.kind == "f":
            self.nan_rewards += int(np.isnan(rewards).sum())


def detect(path: Path) -> bool:
    """Says whether a file, or the first of a folder's, holds records of RL Unplugged.

    Example:
      >>> detect(Path("nowhere"))
      False
    """
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if SHARD.fullmatch(file.name) and file.is_file())
        return bool(found) and detect(found[0])
    if not path.is_file() or not SHARD.fullmatch(path.name):
        return False
    try:
        return find_kind(next(map(parse_example, read_records(path)), {})) is not None
    except FormatError:
        return False


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,  # noqa: ARG001 - as every format's
    *,
    prefix: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    skip: Sequence[str] = (),
    bad: Bad | None = None,
) -> Source:
    """Opens files of RL Unplugged as a source.

    Args:
      path: of a file, or of the folder with a dataset's files.
      entry: what the catalogue knows of it.
      prefix: of the files (`run_1`), where the folder has those of several datasets.
      shapes: of a row of leaves that have more than one axis, which the files do not say: `{"observation":
        [10, 5]}`. The cameras of DeepMind's locomotion are known.
      skip: leaves to leave out.
      bad: takes records, and ends of files, that cannot be read and may be left out; none may by default.

    Raises:
      FormatError: if a file is not what RL Unplugged's are, now or while it is read.
      MissingExtraError: for pictures, without Pillow.
      ValueError: if an option does not fit.
    """
    files, bad = shards_of(path, prefix), bad or Bad()
    firsts = (next(bad.tried(file.name, partial(_start, file), iter(())), None) for file in files)
    data = next((one for one in firsts if one is not None), None)
    first = {} if data is None else parse_example(data)
    kind = find_kind(first)
    if kind is None:
        keys = f"the keys {', '.join(sorted(first))}" if first else "no records"
        raise FormatError(f"{files[0]} has {keys}: RL Unplugged's records have others.")
    plan = Plan(kind, frozenset(skip), {name: tuple(shape) for name, shape in (shapes or {}).items()})
    record = record_of(plan, files[0], 0, data or b"")
    _check_options(plan, read_record(Plan(kind), first, pictures=False).rows)
    plan = replace(plan, like=read_record(plan, first, pictures=False))
    scan = _scan(plan, files, bad)
    example = {name: np.zeros(rows.shape[1:], rows.dtype) for name, rows in record.rows.items()}
    example |= {name: np.zeros((), np.bool_) for name in _FLAGS}
    columns = {name: value.dtype for name, value in record.columns.items()}
    finals = _finals(plan, record)
    lengths = _units(kind, scan.lengths)
    return Source(
        example=example,
        lengths=lengths,
        finals=finals,
        blocks=blocks_of(
            partial(_episodes, plan, files, [len(each) for each in scan.lengths], finals),
            len(lengths),
            example,
            finals,
            columns,
        ),
        facts={
            "kind": kind.name,
            "files": [file.name for file in files],
            "files_missing": _missing(files),
            "names": {key: kind.leaf(key) for key in first if key not in COLUMNS},
            "records": sum(map(len, scan.lengths)),
            "nan_rewards": scan.nan_rewards,
            "not_kept": {
                name: "row 0 of a record, which is of no step"
                + (": not always a placeholder" if name in scan.placeholders else "")
                for name in sorted(kind.late & record.rows.keys())
            },
        },
        columns=columns,
    )


def _check_options(plan: Plan, rows: Mapping[str, NpArray]) -> None:
    needed = {"discount", "step_type"} | ({"observation"} if plan.kind.name == TRANSITIONS else set[str]())
    for name in (*plan.skip, *plan.shapes):
        option = "skip" if name in plan.skip else "shapes"
        if name not in rows or (option == "skip" and name in needed):
            raise ValueError(
                f"`{option}` must name leaves that the files have"
                f"{' and can spare' * (option == 'skip')}: got {name!r}. They have {', '.join(sorted(rows))}."
            )


def _start(file: Path) -> Iterator[bytes]:
    """The first record of a file, if there is one; read at once, so that what is wrong with it is known."""
    return iter(list(islice(read_records(file), 1)))


def _missing(files: Sequence[Path]) -> int:
    """How many files the names say that there are more."""
    match = SHARD.fullmatch(files[0].name)
    return int(match["count"]) - len(files) if match else 0


def _scan(plan: Plan, files: Sequence[Path], bad: Bad) -> Scan:
    """Reads all records once, pictures not decoded; what cannot be read has no steps."""
    scan = Scan()
    unit = 0
    for place, file in enumerate(files):
        scan.lengths.append([])
        whole = plan.kind.name == TRANSITIONS
        records = enumerate(read_records(file))
        while (found := bad.tried(file.name, partial(next, records, None), None)) is not None:
            number, data = found
            read = partial(record_of, plan, file, number, data, pictures=False)
            record = bad.tried(place if whole else unit, read, None)
            unit += 1
            if record is None:
                scan.lengths[-1].append(0)
            else:
                scan.add(record, plan.kind)
    return scan


def _units(kind: Kind, lengths: Sequence[Sequence[int]]) -> NpArray:
    """A record is a unit, but of transitions, which are millions: there a file is."""
    if kind.name == TRANSITIONS:
        return np.array([sum(each) for each in lengths], np.int64)
    return np.array([length for each in lengths for length in each], np.int64)


def _finals(plan: Plan, record: Record) -> tuple[str, ...]:
    if plan.kind.name == TRANSITIONS:
        return ("observation",)
    known = plan.kind.final or "step_type" in record.rows
    return tuple(name for name in record.rows if name not in plan.kind.late) if known else ()


def _episodes(
    plan: Plan, files: Sequence[Path], counts: Sequence[int], finals: tuple[str, ...], start: int, stop: int
) -> Iterator[Recorded]:
    before = 0
    for file, count in zip(files, counts, strict=True):
        units = 1 if plan.kind.name == TRANSITIONS else count
        first, last = max(0, start - before), min(units, stop - before)
        before += units
        if first >= last:
            continue
        records = islice(read_records(file, first), None if units < count else last - first)
        for number, data in enumerate(records, first):
            yield from _recorded(plan, record_of(plan, file, number, data), finals)


def _recorded(plan: Plan, record: Record, finals: tuple[str, ...]) -> Iterator[Recorded]:
    for part in record.parts:
        steps = {name: _steps(plan, name, rows, part) for name, rows in record.rows.items()}
        discounts = steps["discount"]
        terminated = bool(len(discounts)) and bool(discounts[-1] == 0)
        stopped = part.final is not None and plan.kind.name != TRANSITIONS and not terminated
        for name, value in zip(_FLAGS, (terminated, stopped), strict=True):
            steps[name] = np.zeros(part.stop - part.start, np.bool_)
            steps[name][-1:] = value
        final = None if part.final is None else {name: record.rows[name][part.final] for name in finals}
        yield Recorded(steps, terminated, stopped, final, record.columns)


def _steps(plan: Plan, name: str, rows: NpArray, part: Part) -> NpArray:
    late = 1 if name in plan.kind.late else 0
    return rows[part.start + late : part.stop + late]
