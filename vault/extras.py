"""What stands in a vault's folder beside the vault: files of others, which go where it goes."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from . import log
from .attachments import FOLDER as ATTACHED
from .files import TEMPORARY, sync_directory, sync_file
from .manifest import FILE as MANIFEST
from .resume import FOLDER as RESUME
from .root import FILE, GROUPS, LOCK

_OWN = (*GROUPS, log.DIRECTORY, RESUME, ATTACHED, FILE, LOCK, MANIFEST)


def copy_others(source: Path, target: Path, without: Sequence[str] = ()) -> None:
    """Copies every file and folder that is not the vault's own, durably, but for some names.

    Example:
      >>> Path("a").mkdir(); Path("b").mkdir()
      >>> _ = Path("a/README.md").write_text("mine")
      >>> copy_others(Path("a"), Path("b"))
      >>> Path("b/README.md").read_text()
      'mine'
    """
    kept = {*_OWN, *without, *(entry.name for entry in target.iterdir())}
    for entry in sorted(source.iterdir()):
        if entry.name not in kept and entry.suffix != TEMPORARY:
            copy(entry, target / entry.name)


def copy(source: Path, target: Path) -> None:
    """Copies a file or a folder, its bytes durable."""
    if source.is_dir():
        target.mkdir()
        for entry in sorted(source.iterdir()):
            copy(entry, target / entry.name)
        sync_directory(target)
        return
    shutil.copyfile(source, target)
    sync_file(target)
