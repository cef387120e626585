"""A source: where a publication is fetched from, file by file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from ..vault.errors import CorruptionError, NotFoundError, StorageError
from ..vault.manifest import FILE
from .manifest import Entry, Manifest
from .part import Part
from .published import PublishedFile

PIECE = 1 << 20  # bytes read at a time from a disk
REQUESTS = 8  # files at once over a network: each waits for answers most of its time

# Called with the bytes of a file that have come.
Tell = Callable[[int], None]


class Source(Protocol):
    """A publication, at one revision.

    Attributes:
      name: where it is, for people, without secrets.
      pinned: the same with the revision.
      manifest: of it.
      requests: files that are brought at once.
    """

    requests: int
    name: str
    pinned: str
    manifest: Manifest

    def bring(self, entry: Entry, path: Path, tell: Tell) -> None:
        """Brings a file to a path in a folder that exists, going on where an earlier attempt ended.

        Raises:
          CorruptionError: naming the file, if it is not the one in the manifest.
          StorageError: if it cannot be had.
        """
        ...


def bring_pieces(
    name: str, entry: Entry, path: Path, tell: Tell, pieces: Callable[[int], Iterator[bytes]]
) -> None:
    """Brings a file from what gives it piece by piece.

    Args:
      name: of the source.
      entry: the file.
      path: where it is to be.
      tell: told the bytes that have come.
      pieces: gives the file's bytes from a place on.

    Raises:
      CorruptionError: if it is not the one in the manifest.
    """
    part = Part(PublishedFile(entry.path, (), entry.size, entry.sha256), path)
    if part.have > entry.size:
        part.discard()
    while True:
        resumed = part.have > 0
        with part.append() as write:
            for piece in pieces(part.have):
                write(piece)
                tell(part.have)
                if part.have > entry.size:
                    break
        wrong = part.problem()
        if wrong is None:
            return part.keep(durable=False)  # the whole is made so in the end
        part.discard()
        if not resumed:
            raise tampered(name, entry.path, wrong)


def tampered(name: str, path: str, wrong: str) -> CorruptionError:
    """Says that a file is not the one that was published."""
    return CorruptionError(
        f"The file {path!r} of {name!r} is not the one that was published: {wrong}. Nothing of it "
        "was kept; tell whoever publishes it."
    )


class FolderSource:
    """A publication in a folder of this machine.

    Args:
      folder: with a manifest.

    Raises:
      NotFoundError: if nothing is published there.
    """

    requests = 1

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = self.pinned = str(folder)
        try:
            self.manifest = Manifest.parse((folder / FILE).read_bytes(), folder)
        except (FileNotFoundError, NotADirectoryError):
            raise unpublished(str(folder)) from None

    def bring(self, entry: Entry, path: Path, tell: Tell) -> None:
        """Copies a file; see `Source`."""
        bring_pieces(self.name, entry, path, tell, lambda start: self._pieces(entry.path, start))

    def is_replaced(self) -> bool:
        """Tells whether another publication stands there by now."""
        try:
            return (self._folder / FILE).read_bytes() != self.manifest.data
        except OSError:
            return False

    def _pieces(self, path: str, start: int) -> Iterator[bytes]:
        try:
            with (self._folder / path).open("rb") as file:
                file.seek(start)
                while piece := file.read(PIECE):
                    yield piece
        except FileNotFoundError:
            raise tampered(self.name, path, "it is missing") from None
        except OSError as error:
            raise StorageError(f"Could not read {path!r} of {self.name!r}: {error.strerror}.") from error


def unpublished(name: str) -> NotFoundError:
    """Says that there is no publication."""
    return NotFoundError(
        f"Nothing is published at {name!r}: it has no {FILE}. Check the address; `strongbax publish` makes "
        "one, and `Vault.open` opens a vault that is none."
    )
