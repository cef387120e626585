"""A publication that is made on this machine before it is sent to another."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..vault.files import make_directories, storage_errors
from ..vault.swap import aside, sweep
from .manifest import Manifest
from .publication import Progress, Terms
from .staging import stage

if TYPE_CHECKING:
    from ..vault import Vault, View

_DOING = "publishing"


@contextmanager
def staged(
    vault: "Vault | View", terms: Terms, work: Path | None, progress: Progress
) -> Generator[tuple[Path, Manifest]]:
    """Gives the folder of a publication and its manifest; the folder goes when the block ends.

    Args:
      vault: to publish.
      terms: how.
      work: folder to make it in; None: beside the vault, or, where that is on an object store, in the
        system's folder for temporary files.
      progress: told what goes on.

    Raises:
      StorageError: if the disk refuses.
      CorruptionError: if the vault is damaged.
    """
    with storage_errors(work or "the publication", "make room for"):
        place = _beside(vault, work)
        make_directories(place.parent)
        sweep(place, _DOING, place)  # what a killed call left
        with aside(place, _DOING) as folder:
            publication = folder / "publication"
            publication.mkdir()
            yield publication, stage(publication, vault, terms, progress, link=True)


def _beside(vault: "Vault | View", work: Path | None) -> Path:
    """Gives a path beside which there is room; nothing need stand there."""
    path = getattr(vault, "path", None) or vault.finished().selected().sources[0].path
    if work is not None:
        return work.absolute() / path.name
    return path if isinstance(path, Path) else Path(tempfile.gettempdir()) / path.name
