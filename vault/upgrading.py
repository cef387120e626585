"""Upgrading: a vault of an older format is written anew in the one of this version; the old one is kept.

There is one format so far. A version that brings another registers how to come from the one before: a
function that reads an old vault in a folder and writes a new one into an empty folder.
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from .errors import CorruptionError, FormatError
from .files import Lock, storage_errors
from .location import folder_of
from .root import FORMAT, LOCK, read_bytes, read_root
from .swap import aside, swap, sweep
from .verify import verify

Step: TypeAlias = Callable[[Path, Path], None]

STEPS: dict[int, Step] = {}  # by the format that a function reads; it writes the next one

_DOING = "upgrading"


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade did.

    Attributes:
      path: of the vault.
      before: its format then.
      after: its format now.
      old: where the old vault is kept; None where nothing was to be done.
    """

    path: Path
    before: int
    after: int
    old: Path | None = None


def upgrade(path: str | Path) -> Upgrade:
    """Upgrades a vault to the newest format, format by format; the old one is kept beside it.

    Args:
      path: of a vault in a folder.

    Returns:
      What was done; nothing, where the vault has the newest format.

    Raises:
      NotFoundError: if nothing is there, or something that is no vault.
      FormatError: if it is of a newer format than this version writes, or nothing leads on from its own.
      CorruptionError: if the vault is damaged, or what was made of it is not whole; nothing has changed.
      LockedError: if somebody writes it.
      StorageError: if the disk refuses.

    Example:
      >>> from strongbax.vault.view import example
      >>> upgrade(example(lengths=[5]).path).old is None
      True
    """
    path = folder_of(path)
    before = format_of(path)
    if before == FORMAT:
        read_root(path)
        return Upgrade(path, before, FORMAT)
    missing = [version for version in range(before, FORMAT) if version not in STEPS]
    if before > FORMAT or missing:
        read_root(path)  # says which version can read it
        raise FormatError(f"The vault {str(path)!r} is of format {before}, from which nothing leads on.")
    kept = path.with_name(f"{path.name}.format-{before}")
    with storage_errors(path, "upgrade"):
        sweep(path, _DOING, kept)
        lock = Lock(path / LOCK)
    try:
        return Upgrade(path, before, FORMAT, _walk(path, before, kept))
    finally:
        lock.release()


def format_of(path: Path) -> int:
    """Gives the number of a vault's format, which nothing but it is looked at for.

    Raises:
      NotFoundError: if there is no root.
      CorruptionError: if the root cannot be read.
      FormatError: if it is not a vault's.
    """
    try:
        document: Any = json.loads(read_bytes(path))
    except ValueError as error:
        raise CorruptionError(
            f"The root of {str(path)!r} is not readable JSON ({error}). Run `strongbax repair` first."
        ) from error
    try:
        return int(document["attributes"]["strongbax"]["format"])
    except (LookupError, TypeError, ValueError):
        raise FormatError(f"{str(path)!r} is not a vault: it names no format.") from None


def _walk(path: Path, before: int, kept: Path) -> Path:
    """Goes from format to format, each in a folder of its own beside the vault, and swaps the last one."""
    with ExitStack() as folders:
        folders.enter_context(storage_errors(path, "upgrade"))
        source = path
        for version in range(before, FORMAT):
            folder = folders.enter_context(aside(path, _DOING))
            STEPS[version](source, folder)
            source = folder
        wrong = verify(source).problems
        if wrong:
            raise CorruptionError(f"The vault {str(path)!r} was not upgraded and is as it was: {wrong[0]}")
        return swap(source, path, kept)
