"""The resume points of a vault: numbered files under `resume/`, of which the newest stay."""

import logging
import re
from collections.abc import Sequence

from .errors import NotFoundError
from .files import TEMPORARY, storage_errors
from .location import Location, create_whole
from .resume_point import Point

FOLDER = "resume"
_NAME = re.compile(r"(\d{8,})\.point")

_logger = logging.getLogger(__name__)


def numbers(path: Location) -> tuple[int, ...]:
    """Gives the numbers of a vault's resume points, the oldest first."""
    folder = path / FOLDER
    found = [_NAME.fullmatch(file.name) for file in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(int(match[1]) for match in found if match))


def file_of(path: Location, number: int) -> Location:
    """Gives the file of a resume point."""
    return path / FOLDER / f"{number:08d}.point"


def save(path: Location, point: Point, keep: int) -> int:
    """Makes a resume point durable, and then removes the oldest beyond those that are kept.

    Returns:
      Its number.

    Raises:
      StorageError: if the disk refuses; the points that were there still are.
      LockedError: on an object store, if another process makes one at the same time.
    """
    before = numbers(path)
    number = before[-1] + 1 if before else 0
    data = point.encode()
    with storage_errors(path, "write a resume point of"):
        create_whole(file_of(path, number), data)
    _remove([file_of(path, old) for old in (*before, number)[:-keep]])
    _remove(list((path / FOLDER).glob(f"*{TEMPORARY}")))
    return number


def load(path: Location, number: int | None) -> Point:
    """Reads a resume point, by default the newest.

    Raises:
      NotFoundError: if there is none, or not that one.
      CorruptionError: if it is damaged.
    """
    there = numbers(path)
    if not there:
        raise NotFoundError(
            f"The vault {str(path)!r} has no resume point. Make one with `vault.checkpoint(state, key=key)` "
            "while training; `vault.load(buffer)` gives a state of the vault's steps without one."
        )
    if number is not None and number not in there:
        raise NotFoundError(
            f"The vault {str(path)!r} has no resume point {number}: there are {list(there)}. Older ones were "
            "removed; `checkpoint(…, keep=)` says how many stay."
        )
    file = file_of(path, there[-1] if number is None else number)
    try:
        return Point.decode(file.read_bytes(), file)
    except FileNotFoundError:
        raise NotFoundError(f"The resume point {str(file)!r} was removed a moment ago. Try again.") from None


def _remove(files: Sequence[Location]) -> None:
    """Removes files that nobody needs; one that stays by accident does no harm."""
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            _logger.warning("%s is no longer needed, but stays: %s", file, error)
