"""Verifying: every checksum, record, length and episode row, and a plain list of what is wrong."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from .arrays import ArraySpec
from .attachments import attached_folders, read_attached
from .errors import CorruptionError, NotFoundError, StrongbaxError
from .location import Location, size_of
from .manifest import check_manifest
from .reader import Snapshot, take_snapshot
from .resume import file_of, load, numbers
from .root import FILE, group_document, group_paths
from .scan import look, tell
from .schema_copy import GROUP, read_schema

_REQUESTS = 4  # to an object store at once; a whole shard is in memory for each

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Report:
    """What a verification found.

    Attributes:
      problems: one sentence for each thing that is wrong.
      notes: one sentence for each thing that is unusual, but not wrong.
      checked: how many shards, bytes, steps, episodes and attached arrays were looked at.
    """

    problems: list[str] = field(default_factory=list[str])
    checked: dict[str, int] = field(default_factory=dict[str, int])
    notes: list[str] = field(default_factory=list[str])

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(path: Location, *, deep: bool = True, progress: Progress | None = None) -> Report:
    """Checks a vault.

    Args:
      path: folder of the vault.
      deep: read every shard and compare its checksums; otherwise only look whether the shards are there.
      progress: called with (done, total) in shards.

    Raises:
      NotFoundError, FormatError: if it is no vault that can be read at all.
    """
    report = Report()
    try:
        snapshot = take_snapshot(path)
    except CorruptionError as error:
        report.problems.append(str(error))
        return report
    tasks = list(_shards(snapshot))
    size = 0
    for _ in _each(path, lambda array: _check_document(path, array, report), snapshot.root.arrays()):
        pass
    if isinstance(path, Path):
        _check_groups(path, snapshot, report)

    def check(task: tuple[ArraySpec, int, int]) -> int:
        return _check_shard(path, *task, report, deep=deep)

    for done, looked_at in enumerate(_each(path, check, tasks)):
        size += looked_at
        if progress is not None:
            progress(done + 1, len(tasks))
    report.checked.update(
        shards=len(tasks),
        bytes=size,
        steps=snapshot.state.length * snapshot.schema.streams,
        episodes=snapshot.state.episodes,
    )
    if not report.problems:
        try:
            _check_episodes(snapshot, report)
        except CorruptionError as error:
            report.problems.append(str(error))
    if isinstance(path, Path):
        report.problems.extend(check_manifest(path, deep=deep))
    report.checked["attached"] = _check_attached(path, report, deep=deep)
    report.checked["resume points"] = _check_resume_points(snapshot, report)
    for torn in path.glob("log/*.torn"):
        report.notes.append(
            f"{torn.name} is a last record that was damaged when the vault was opened: of a flush that never "
            "returned, or damaged since."
        )
    return report


def _each(path: Location, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Does work for each item in turn; on an object store for some at once, as each waits for answers."""
    if isinstance(path, Path):
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(_REQUESTS, "strongbax-verify")
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _check_document(path: Location, array: ArraySpec, report: Report) -> None:
    """Checks an array's own `zarr.json`, by which readers go that know no consolidated metadata.

    Its length lags while a writer is at work; everything else never changes.
    """
    file = path / array.path / FILE
    try:
        found = json.loads(file.read_bytes())
        same = isinstance(found, dict) and found | {"shape": None} == array.to_dict() | {"shape": None}
        length = found["shape"][array.axis] if same else 0
    except (OSError, ValueError, TypeError, LookupError):
        same, length = False, 0
    if not same or not 0 <= length <= array.shape[array.axis]:
        report.problems.append(
            f"{array.path}/{FILE} is missing or damaged: plain Zarr readers may be misled. The root holds "
            "what it should say; opening with mode='a' and closing writes it anew."
        )


def _check_groups(path: Path, snapshot: Snapshot, report: Report) -> None:
    """Checks the groups' own `zarr.json`; the one of the steps may have a copy of the schema."""
    for group in group_paths([array.path for array in snapshot.root.arrays()]):
        try:
            found = json.loads((path / group / FILE).read_bytes())
            same = found | {"attributes": {}} == group_document()
            same &= group != GROUP or not found["attributes"] or _is_copied(path, snapshot)
        except (OSError, ValueError, TypeError, LookupError):
            same = False
        if not same:
            report.problems.append(
                f"{group}/{FILE} is missing or damaged: plain Zarr readers may be misled. No step is lost; "
                "`strongbax repair` writes it anew."
            )


def _is_copied(path: Path, snapshot: Snapshot) -> bool:
    copy = read_schema(path)
    return copy is not None and copy[0].to_dict() == snapshot.schema.to_dict()


def _shards(snapshot: Snapshot) -> Iterator[tuple[ArraySpec, int, int]]:
    """Yields every shard that the root counts on, with the rows that are committed in it."""
    for array in snapshot.root.arrays():
        length = array.shape[array.axis]
        for shard in range(-(-length // array.rows)):
            yield array, shard, min(array.rows, length - shard * array.rows)


def _check_shard(
    path: Location, array: ArraySpec, shard: int, rows: int, report: Report, *, deep: bool
) -> int:
    file = path / array.path / array.key(shard)
    if 0 in array.shape:
        return 0
    if not file.is_file():
        report.problems.append(f"The shard {array.path}/{file.name} is missing.")
        return 0
    if deep:
        losses = look(path, array, shard, rows)
        report.problems.extend([tell(losses)] if losses else [])
    return size_of(file, deep=deep)


def _check_attached(path: Location, report: Report, *, deep: bool) -> int:
    count = 0
    for _, folder in attached_folders(path):
        count += 1
        if deep:
            try:
                read_attached(folder)
            except CorruptionError as error:
                report.problems.append(str(error))
    return count


def _check_resume_points(snapshot: Snapshot, report: Report) -> int:
    """Checks that every resume point is whole, and that the steps that it needs are there."""
    found = numbers(snapshot.path)
    for number in found:
        try:
            needed = load(snapshot.path, number).length
        except NotFoundError:
            continue  # a writer has removed it meanwhile
        except StrongbaxError as error:
            report.problems.append(str(error))
            continue
        if needed > snapshot.state.length:
            report.problems.append(
                f"The resume point {file_of(snapshot.path, number).name} needs {needed} steps of each "
                f"stream; the vault has {snapshot.state.length}."
            )
    return len(found)


def _check_episodes(snapshot: Snapshot, report: Report) -> None:
    """Checks that the rows of the episode table fit the steps and each other."""
    table, state, schema = snapshot.episodes(), snapshot.state, snapshot.schema
    if table.num_rows != state.episodes:
        report.problems.append(
            f"The episode table has {table.num_rows} rows, {state.episodes} are committed."
        )
    start, length, stream = table["start"], table["length"], table["stream"]
    outside = (start < 0) | (length < 0) | (start + length > state.length) | (stream < 0)
    outside |= stream >= schema.streams
    for row in np.flatnonzero(outside)[:10]:
        report.problems.append(
            f"Episode {row} claims steps {start[row]} to {start[row] + length[row]} of stream {stream[row]}; "
            f"the vault has {state.length} steps of {schema.streams} streams."
        )
    for one in range(schema.streams) if schema.streams <= table.num_rows else np.unique(stream):
        mine = np.flatnonzero(stream == one)
        overlap = np.flatnonzero(start[mine][1:] < (start + length)[mine][:-1])
        for place in overlap[:10]:
            report.problems.append(f"Episodes {mine[place]} and {mine[place + 1]} overlap in stream {one}.")
