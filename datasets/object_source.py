"""Publications in an object store, to be fetched: by ranges, so that what came is not asked for again."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from ..vault.errors import NotFoundError, StorageError
from ..vault.manifest import FILE
from ..vault.objects import ObjectPath
from ..vault.pointer import Record, pinned_path, revision_path
from .manifest import Entry, Manifest
from .source import REQUESTS, Tell, bring_pieces, tampered, unpublished

PIECE = 8 << 20  # bytes a request: what a broken one costs


class ObjectSource:
    """A publication in an object store.

    Args:
      place: of the publication.
      pin: a number, a revision or a tag; None: the newest.

    Raises:
      NotFoundError: if there is no such publication.
      CorruptionError: if its record or its manifest is not what was published.
      StorageError: if the store does not answer.
    """

    requests = REQUESTS

    def __init__(self, place: ObjectPath, pin: str | None = None) -> None:
        self.name = f"{place}@{pin}" if pin else str(place)
        self._folder, self.manifest = _find(place, pin, self.name)
        self.pinned = f"{place}@{self.manifest.revision}"

    def bring(self, entry: Entry, path: Path, tell: Tell) -> None:
        """Brings a file; see `Source`."""
        bring_pieces(self.name, entry, path, tell, lambda start: self._pieces(entry, start))

    def _pieces(self, entry: Entry, start: int) -> Iterator[bytes]:
        file = self._folder / entry.path
        try:
            while start < entry.size:
                piece = file.read_range(start, min(entry.size, start + PIECE))
                yield piece
                start += len(piece)
            if not entry.size:
                yield file.read_bytes()
        except FileNotFoundError:
            raise tampered(self.name, entry.path, "it is missing") from None
        except StorageError as error:
            if "OUT_OF_RANGE" not in str(error):
                raise
            raise tampered(self.name, entry.path, "it is shorter") from None


def _find(place: ObjectPath, pin: str | None, name: str) -> tuple[ObjectPath, Manifest]:
    path, sha256 = pinned_path(pin), None
    if path is None:
        revision = str(pin)
    else:
        try:
            record = Record.decode((place / path).read_bytes(), place / path)
        except FileNotFoundError:
            return _plain(place, pin, name)
        revision, sha256 = record.revision, record.sha256
    folder = place / revision_path(revision)
    data = _read(folder, name)
    found = hashlib.sha256(data).hexdigest()
    if not found.startswith(revision) or sha256 not in (None, found):
        raise tampered(name, FILE, "its sha256 is not the published one")
    return folder, Manifest.parse(data, name)


def _plain(place: ObjectPath, pin: str | None, name: str) -> tuple[ObjectPath, Manifest]:
    """Finds a publication that was copied there from a folder: its files, and no pointer."""
    if pin is not None:
        raise NotFoundError(f"There is no publication {name!r}. Look what `versions/` and `tags/` hold.")
    return place, Manifest.parse(_read(place, name), name)


def _read(folder: ObjectPath, name: str) -> bytes:
    try:
        return (folder / FILE).read_bytes()
    except FileNotFoundError:
        raise unpublished(name) from None
