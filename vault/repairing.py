"""Repairing: a new vault of all that is whole, and a list of what was lost; the damaged one is kept."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from .errors import CorruptionError, NotFoundError, StrongbaxError
from .files import Lock, storage_errors
from .indexes import mirror
from .location import folder_of
from .mend import build, stays
from .parts import FOLDER as PARTS
from .parts import part_folders
from .reader import take_snapshot
from .rebuild import any_root
from .root import LOCK
from .salvage import Salvage, salvage
from .salvage_table import Notes
from .schema_copy import GROUP
from .swap import aside, swap, sweep
from .verify import verify

_DOING = "repairing"
_SUFFIX = ".damaged"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Repair:
    """What a repair did.

    Attributes:
      path: of the vault.
      damaged: where the damaged one is kept; None: nothing was wrong, and nothing was done.
      problems: what `verify` said before.
      lost: a sentence for everything that is lost.
      mended: a sentence for everything that was taken from elsewhere.
      dropped: ids of the episodes that are not in the repaired vault, as far as they are known.
      steps: in the vault now, of all streams.
      episodes: in the vault now, those that ended.
      one_stream: whether the episodes were written end to end, since steps between them are lost.
      parts: the same of each part that was damaged, by its name; what they lost is in `lost` too.
    """

    path: Path
    damaged: Path | None
    problems: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])
    mended: list[str] = field(default_factory=list[str])
    dropped: list[int] = field(default_factory=list[int])
    steps: int = 0
    episodes: int = 0
    one_stream: bool = False
    parts: "dict[str, Repair]" = field(default_factory=dict[str, "Repair"])


def repair(path: str | Path, *, progress: Progress | None = None) -> Repair:
    """Repairs a vault: what is whole is kept, what was lost is told, the damaged vault is kept beside it.

    The vault's name changes hands at once: at every moment it is the damaged vault, untouched, or the
    repaired one, whole. Every step that is kept is the one that was written. A vault in which nothing is
    wrong is left alone.

    Args:
      path: of a vault in a folder.
      progress: called with (done, total) while it looks for damage, in shards.

    Raises:
      NotFoundError: if nothing is there.
      FormatError: if it is no vault, or of a version that this one does not read.
      CorruptionError: if nothing is left that tells what the vault held.
      LockedError: if somebody writes it.
      StorageError: if the disk refuses.

    Example:
      >>> from strongbax.vault.view import example
      >>> path = example(lengths=[5, 2]).path
      >>> _ = (path / "steps/reward/c.0.0").write_bytes(b"")
      >>> report = repair(path)
      >>> report.dropped, report.steps, report.damaged.name
      ([0, 1], 0, 'example.vault.damaged')
    """
    path = folder_of(path)
    if not path.is_dir():
        raise NotFoundError(f"There is no vault at {str(path)!r} to repair. Check the path.")
    report = _repair_one(path, progress)
    for part in part_folders(path):
        found = _repair_one(part, progress)
        if found.problems:
            report = _with_part(report, part.name, found)
    return report


def _with_part(report: Repair, name: str, part: Repair) -> Repair:
    told = {
        what: [*getattr(report, what), *(f"In the part {name!r}: {said}" for said in getattr(part, what))]
        for what in ("problems", "lost", "mended")
    }
    return replace(report, parts={**report.parts, name: part}, **told)


def _repair_one(path: Path, progress: Progress | None) -> Repair:
    kept = _kept(path)
    with storage_errors(path, "repair"):
        sweep(path, _DOING, kept)
        lock = Lock(path / LOCK)
    try:
        problems = _problems(path, progress)
        return _repair(path, kept, problems) if problems else _now(Repair(path, None))
    finally:
        lock.release()


def _kept(path: Path) -> Path:
    """Gives where a damaged vault is kept: beside it; a part beside its vault, as it is none any more."""
    if path.parent.name == PARTS and (path.parent.parent / GROUP).is_dir():
        vault = path.parent.parent
        return vault.with_name(f"{vault.name}{_SUFFIX}-{path.name}")
    return path.with_name(path.name + _SUFFIX)


def _repair(path: Path, kept: Path, problems: list[str]) -> Repair:
    notes = Notes()
    told = any_root(path, notes)
    with storage_errors(path, "repair"), aside(path, _DOING) as links, aside(path, _DOING) as folder:
        found = salvage(mirror(path, links, told.root, notes), told, notes)
        build(folder, found)
        wrong = verify(folder).problems
        if wrong:
            raise CorruptionError(
                f"The vault {str(path)!r} could not be repaired and is as it was: of what is left, {wrong[0]}"
            )
        damaged = swap(folder, path, kept)
    one_stream = not stays(found)
    dropped = _dropped(found) if one_stream else []
    return _now(Repair(path, damaged, problems, notes.lost, notes.mended, dropped, one_stream=one_stream))


def _problems(path: Path, progress: Progress | None) -> list[str]:
    try:
        return verify(path, progress=progress).problems
    except StrongbaxError as error:
        return [str(error)]  # whoever makes a root anew finds out whether it is a vault


def _now(report: Repair) -> Repair:
    """Adds what the vault holds now."""
    snapshot = take_snapshot(report.path)
    steps, episodes = snapshot.state.length * snapshot.schema.streams, snapshot.state.episodes
    return replace(report, steps=steps, episodes=episodes)


def _dropped(found: Salvage) -> list[int]:
    """Gives the ids of episodes that are known to have been there and are not any more."""
    kept = set(found.ids[found.whole].tolist())
    return [number for number in range(int(found.ids.max(initial=-1)) + 1) if number not in kept]
