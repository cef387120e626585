"""Taking: how a vault gets into the folder in which it is published, written anew or as it is."""

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..vault.errors import ConflictError
from ..vault.extras import copy
from ..vault.files import Lock
from ..vault.manifest import FILE as MANIFEST
from ..vault.manifest import read_manifest
from ..vault.parts import part_folders
from ..vault.resume import FOLDER as RESUME
from ..vault.rewrite import Layout, copy_attached, facts_of, write_out
from ..vault.root import LOCK
from .publication import Progress

if TYPE_CHECKING:
    from ..vault import Vault, View

# What of a vault's folder is published: the vault itself. Resume points, logs and stray files are not.
_VAULT = ("zarr.json", "steps", "final", "episodes", "attached", "parts")

How = Callable[[Path, Path], None]


def take(
    folder: Path, vault: "Vault | View", progress: Progress, *, pack: bool, link: bool
) -> dict[str, str] | None:
    """Puts a vault into a folder.

    Args:
      folder: empty but for a lock.
      vault: open.
      progress: told what goes on.
      pack: write it anew, if it is not packed.
      link: files that need not be written anew may be the vault's own, not copies.

    Returns:
      None where it was written anew, of bytes that were checked. Else the SHA-256 that files must have, by
      path, as far as they are known.

    Raises:
      ConflictError: if it is to be taken as it is, and cannot be.
      LockedError: if it is to be taken as it is, and somebody writes it.
      CorruptionError: if what was read is damaged.
    """
    own, how = _folder_of(vault), _link if link else copy
    manifest = read_manifest(own) if own is not None else None
    if own is not None and manifest is not None and vault.schema.packed and not part_folders(own):
        _take(own, folder, how)
        return {file["path"]: file["sha256"] for file in manifest["files"]}
    if not pack:
        if own is None:
            raise ConflictError(
                "Only a vault in a folder can be published as it is: got a view, or one on an object store. "
                "Leave pack=True."
            )
        _take_closed(own, folder, how)
        return {}
    chosen = vault.finished().selected()

    def tell(done: int, total: int) -> None:
        progress("Packing", done, total)

    write_out(folder, chosen, Layout("zstd", packed=True), facts_of(chosen), tell)
    copy_attached(folder, chosen)
    return None


def _folder_of(vault: "Vault | View") -> Path | None:
    """Gives the folder of a vault; None for a view, and for what is on an object store."""
    path = getattr(vault, "path", None)
    return path if isinstance(path, Path) else None


def _take_closed(source: Path, folder: Path, how: How) -> None:
    """Takes a vault as it is, which nobody writes meanwhile."""
    with ExitStack() as stack:
        for one in (source, *part_folders(source)):
            if (one / LOCK).exists():
                stack.callback(Lock(one / LOCK).release)
        if any(log.stat().st_size for log in source.rglob("log/*.log")):
            raise ConflictError(
                f"The vault {str(source)!r} has steps in its log, as it was not closed: open it with "
                "mode='a' and close it, or publish it packed."
            )
        _take(source, folder, how)


def _take(source: Path, folder: Path, how: How) -> None:
    for name in _VAULT:
        if (source / name).exists():
            how(source / name, folder / name)
    for part in part_folders(folder):
        shutil.rmtree(part / RESUME, ignore_errors=True)
        for name in (LOCK, MANIFEST):
            (part / name).unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """Gives a file, or all files below a folder, another name; where that cannot be, a copy."""
    if source.is_dir():
        target.mkdir()
        for entry in sorted(source.iterdir()):
            _link(entry, target / entry.name)
        return
    try:
        os.link(source, target)
    except OSError:
        copy(source, target)
