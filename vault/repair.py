"""Repairing: a new vault of all that is whole, and a list of what was lost; the damaged one is kept.

```
# .hopper.vault.repairing-5b      built and verified here; a marker in it says that it is not done
# hopper.vault                    the damaged one, not touched; then both change names at once
# hopper.vault.damaged            where it is kept
```
"""

import secrets
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from .beside import sync_folders
from .errors import CorruptionError, LockedError, NotFoundError, StrongbaxError
from .files import Lock, exchange, storage_errors, sync_directory
from .mend import MARKER, build, stays
from .reader import take_snapshot
from .rebuild import any_root
from .root import LOCK
from .salvage import Salvage, salvage
from .salvage_table import Notes
from .verify import verify

_SIGN = ".repairing-"
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
    path = Path(path).expanduser().absolute()
    if not path.is_dir():
        raise NotFoundError(f"There is no vault at {str(path)!r} to repair. Check the path.")
    with storage_errors(path, "repair"):
        _sweep(path)
        lock = Lock(path / LOCK)
    try:
        problems = _problems(path, progress)
        return _repair(path, problems) if problems else _now(Repair(path, None))
    finally:
        lock.release()


def _repair(path: Path, problems: list[str]) -> Repair:
    notes = Notes()
    root, rebuilt = any_root(path, notes)
    found = salvage(path, root, notes, rebuilt=rebuilt)
    with storage_errors(path, "repair"), _aside(path) as folder:
        build(folder, found)
        wrong = verify(folder).problems
        if wrong:
            raise CorruptionError(
                f"The vault {str(path)!r} could not be repaired and is as it was: of what is left, {wrong[0]}"
            )
        damaged = _swap(folder, path)
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


@contextmanager
def _aside(path: Path) -> Generator[Path]:
    """Gives a folder to build in, which goes when the block ends, unless it has another name by then."""
    folder = path.with_name(f".{path.name}{_SIGN}{secrets.token_hex(4)}")
    folder.mkdir()
    (folder / MARKER).touch()
    lock = Lock(folder / LOCK)
    try:
        yield folder
    finally:
        try:
            if (folder / MARKER).exists():
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()


def _swap(folder: Path, path: Path) -> Path:
    """Gives the repaired vault its name, and the damaged one that under which it is kept.

    A kill in it leaves one of the two in the folder, without a marker: the next repair keeps it.
    """
    (folder / LOCK).unlink()
    sync_folders(folder)
    (folder / MARKER).unlink()
    sync_directory(folder)
    exchange(path, folder)
    sync_directory(path.parent)
    return _put_by(folder, path)


def _put_by(folder: Path, path: Path) -> Path:
    kept, number = path.with_name(path.name + _SUFFIX), 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}{_SUFFIX}-{number}")
    folder.rename(kept)
    sync_directory(path.parent)
    return kept


def _sweep(path: Path) -> None:
    """Removes what a killed repair had not done, and puts by what it had not yet put by."""
    for folder in path.parent.iterdir():
        if not folder.name.startswith(f".{path.name}{_SIGN}"):
            continue
        if not (folder / MARKER).exists():
            _put_by(folder, path)
            continue
        try:
            if (folder / LOCK).exists():
                Lock(folder / LOCK).release()
        except LockedError:
            continue
        shutil.rmtree(folder, ignore_errors=True)
