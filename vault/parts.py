"""Parts: many writers of one vault, each with a little vault of its own.

```
# runs/hopper.vault/            what everybody has in common: leaves, roles, columns; and steps of its own
#   parts/actor-0/              a whole vault, with its own log, lock and shards
#   parts/actor-1/
```
Writers share no file and wait for nobody. Whoever reads the vault sees the episodes of all: those of the
vault itself first, then those of the parts in the order of their names.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from .block import choose_block
from .create import create
from .create_objects import create_objects
from .errors import AlreadyExistsError, NotFoundError
from .location import Location
from .pointer import follow
from .reader import Snapshot, take_snapshot
from .root import FILE, Root, read_root
from .running import begin
from .schema import Schema
from .selected import Selected
from .verify import Progress, Report, verify
from .writer import Writer

FOLDER = "parts"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def part_paths(path: Location) -> list[Location]:
    """Gives where a vault's parts lie, by name; none where a store cannot list."""
    folder = path / FOLDER
    if isinstance(folder, Path):
        return sorted(part for part in _within(folder) if (part / FILE).is_file())
    keys = [key.split("/") for key in folder.below()]
    return [folder / key[0] for key in sorted(keys) if key[1:] == [FILE]]


def part_folders(path: Path) -> list[Path]:
    """Gives the folders of a vault's parts, by name, those that lost their root too."""
    return sorted(
        part for part in _within(path / FOLDER) if (part / FILE).is_file() or (part / "steps").is_dir()
    )


def claim(path: Location, name: str, streams: int | None = None) -> Writer:
    """Becomes the writer of a part, which is made if it is not there.

    Args:
      path: of the vault.
      name: of the part: letters, digits, `.`, `_` and `-`.
      streams: `B` of the part; the vault's where it is made, and what it has where it stands.

    Raises:
      LockedError: if another writer holds the part.
      NotFoundError: if there is no vault.
      ValueError: if the name is none, or the part has other streams.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"`part` must be a name of letters, digits, '.', '_' and '-', not beginning with '.' or '-': "
            f"got {name!r}."
        )
    where, schema = path / FOLDER / name, read_root(path).schema
    if not (where / FILE).is_file():
        try:
            return _make(where, _schema(schema, streams))
        except AlreadyExistsError:
            pass  # somebody made it this moment: whoever locks it has it
    writer = Writer(where)
    if streams not in (None, writer.schema.streams):
        writer.abandon()
        raise ValueError(
            f"`streams` must be {writer.schema.streams}, as the part {name!r} has them: got {streams}. Leave "
            "it out, or write a part of another name."
        )
    return writer


def union(path: Location, own: Snapshot) -> Selected | None:
    """Gives the episodes of a vault and all its parts as they are now, or None where it has no parts.

    Raises:
      ValueError: if a part does not hold the vault's leaves.
    """
    paths = part_paths(path)
    if not paths:
        return None
    return whole([own, *map(take_snapshot, paths)])


def whole(sources: Iterable[Snapshot]) -> Selected:
    """Chooses all episodes of snapshots."""
    known = tuple(sources)
    return Selected(known, np.arange(sum(source.state.episodes for source in known)))


def verify_all(path: Location, *, deep: bool = True, progress: Progress | None = None) -> Report:
    """Checks a vault and its parts, or the newest publication; arguments and errors as in `verify`."""
    try:
        report = verify(path, deep=deep, progress=progress)
    except NotFoundError as error:
        return verify_all(follow(path, error), deep=deep, progress=progress)
    there = part_paths(path)
    if isinstance(path, Path):
        lost = [part.name for part in part_folders(path) if part not in there]
        report.problems.extend(f"The part {name!r} has no {FILE}: it is not read any more." for name in lost)
    for part in there:
        found = verify(part, deep=deep, progress=progress)
        report.problems.extend(f"In the part {part.name!r}: {problem}" for problem in found.problems)
        report.notes.extend(f"In the part {part.name!r}: {note}" for note in found.notes)
        for what, count in found.checked.items():
            report.checked[what] = report.checked.get(what, 0) + count
    return report


def _make(where: Location, schema: Schema) -> Writer:
    root = Root(schema, begin(schema))
    if isinstance(where, Path):
        return Writer(where, create(where, root))
    create_objects(where, root)
    return Writer(where)


def _schema(schema: Schema, streams: int | None) -> Schema:
    if streams in (None, schema.streams):
        return schema
    if streams < 1:
        raise ValueError(f"`streams` must be at least 1: got {streams}.")
    return replace(schema, streams=streams, block=choose_block(streams, schema.leaves, None))


def _within(folder: Path) -> list[Path]:
    try:
        return [part for part in folder.iterdir() if not part.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
