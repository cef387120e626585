"""Publishing to a folder: built beside it, then both change names at once."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..vault.beside import beside
from ..vault.errors import AlreadyExistsError, CorruptionError
from ..vault.manifest import FILE, check_manifest
from ..vault.root import LOCK
from .manifest import Manifest
from .publication import Progress, Publication, Terms
from .staging import check_successor, stage

if TYPE_CHECKING:
    from ..vault import Vault, View


class _Same(Exception):  # noqa: N818 - a signal, not an error
    """What was to be published stands there already."""


def publish_to_folder(vault: "Vault | View", place: Path, terms: Terms, progress: Progress) -> Publication:
    """Publishes a vault to a folder; see `publish`.

    Raises:
      AlreadyExistsError: if something stands there that is no older publication of the dataset.
    """
    old = _published(place, overwrite=terms.overwrite)
    new, sent, locked = None, 0, (place / LOCK).exists()
    try:
        with suppress(_Same), beside(place, overwrite=old is not None or terms.overwrite) as folder:
            new = stage(folder, vault, terms, progress, link=False)
            check_successor(new, old and old.dataset_id, str(place), overwrite=terms.overwrite)
            if old is not None and old.data == new.data and not check_manifest(place, deep=False):
                raise _Same
            sent = new.size
    finally:
        if old is not None and not locked:
            (place / LOCK).unlink(missing_ok=True)  # of looking whether somebody writes there
    assert new is not None
    return Publication(
        str(place), str(place), new.dataset_id or "", new.revision, None, len(new.paths), new.size, sent
    )


def _published(place: Path, *, overwrite: bool) -> Manifest | None:
    """Gives what is published in a folder, or None where there is nothing."""
    if not (place / FILE).exists():
        return None
    try:
        found = Manifest.parse((place / FILE).read_bytes(), place)
    except CorruptionError:
        if overwrite:
            return None
        raise AlreadyExistsError(
            f"What is published at {str(place)!r} is damaged. Pass overwrite=True to put a new one there."
        ) from None
    return found if found.dataset_id else None  # a packed vault is no publication
