"""Publications on the Hugging Face Hub, to be fetched: all files of one commit."""

import tempfile
from pathlib import Path

from ..vault.errors import NotFoundError
from ..vault.manifest import FILE
from .hub import Hub
from .manifest import Entry, Manifest
from .part import digest
from .source import REQUESTS, Tell, tampered, unpublished


class HubSource:
    """A publication on the Hub, at one commit, whatever is committed later.

    Args:
      hub: the repository.
      pin: a commit, a tag or a branch; None: the newest commit.

    Raises:
      NotFoundError: if there is no such publication.
      StorageError: if the Hub does not answer.
    """

    requests = REQUESTS

    def __init__(self, hub: Hub, pin: str | None = None) -> None:
        self._hub, self._commit = hub, str(hub.info(pin).sha)
        self.name = f"{hub.url}@{pin}" if pin else hub.url
        self.pinned = f"{hub.url}@{self._commit}"
        with tempfile.TemporaryDirectory() as folder:
            try:
                data = hub.download(FILE, self._commit, Path(folder)).read_bytes()
            except NotFoundError:
                raise unpublished(self.name) from None
        self.manifest = Manifest.parse(data, self.name)

    def bring(self, entry: Entry, path: Path, tell: Tell) -> None:
        """Brings a file; see `Source`."""
        folder = path.parents[entry.path.count("/")]
        try:
            self._hub.download(entry.path, self._commit, folder)
        except NotFoundError:
            raise tampered(self.name, entry.path, "it is missing") from None
        if path.stat().st_size != entry.size or digest(path, "sha256") != entry.sha256:
            path.unlink()
            raise tampered(self.name, entry.path, "its sha256 is not the published one")
        tell(entry.size)
