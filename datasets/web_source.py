"""Publications on a web server, to be fetched: it needs to serve files, and nothing more."""

import hashlib
import time
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, build_opener

from .. import __version__
from ..vault.errors import NotFoundError, StorageError
from ..vault.manifest import FILE
from ..vault.pointer import Record, pinned_path, revision_path
from .address import Address
from .download import Patience, download, say
from .manifest import Entry, Manifest
from .published import PublishedFile
from .source import REQUESTS, Tell, tampered, unpublished

MOST = 256 << 20  # bytes of a manifest: more is none

# What `download` says of a file that is there, and another one.
_OTHER = ("not the published one", "bytes there instead of", "bytes instead of", "HTTP 404", "HTTP 410")


class WebSource:
    """A publication below a URL: as a bucket has it, or the files of a published folder.

    Args:
      address: of the publication.
      patience: with the network.

    Raises:
      NotFoundError: if there is no such publication.
      CorruptionError: if its record or its manifest is not what was published.
      StorageError: if the server does not answer.
    """

    requests = REQUESTS

    def __init__(self, address: Address, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self.name = f"{address.url}@{address.pin}" if address.pin else address.url
        self._base, self.manifest = self._find(address)
        at_revision = self._base != address.url
        self.pinned = f"{address.url}@{self.manifest.revision}" if at_revision else self.name

    def bring(self, entry: Entry, path: Path, tell: Tell) -> None:
        """Brings a file; see `Source`."""
        file = PublishedFile(entry.path, (), entry.size, entry.sha256)
        url = f"{self._base}/{quote(entry.path)}"
        try:
            download(file, path, urls=(url,), progress=lambda done, _: tell(done), patience=self._patience)
        except StorageError as error:
            wrong = next((said for said in _OTHER if said in str(error)), None)
            if wrong is None:
                raise
            raise tampered(self.name, entry.path, str(error)) from None

    def _find(self, address: Address) -> tuple[str, Manifest]:
        path, sha256 = pinned_path(address.pin), None
        if path is None:
            revision = str(address.pin)
        else:
            data = self._read(f"{address.url}/{path}")
            if data is None and address.pin is not None:
                raise NotFoundError(f"There is no publication {self.name!r}.")
            if data is None:
                return address.url, self._manifest(address.url, "", None)
            record = Record.decode(data, f"{address.url}/{path}")
            revision, sha256 = record.revision, record.sha256
        base = f"{address.url}/{revision_path(revision)}"
        return base, self._manifest(base, revision, sha256)

    def _manifest(self, base: str, revision: str, sha256: str | None) -> Manifest:
        data = self._read(f"{base}/{FILE}")
        if data is None:
            raise unpublished(self.name)
        found = hashlib.sha256(data).hexdigest()
        if not found.startswith(revision) or sha256 not in (None, found):
            raise tampered(self.name, FILE, "its sha256 is not the published one")
        return Manifest.parse(data, self.name)

    def _read(self, url: str) -> bytes | None:
        """Reads a small file; None where there is none."""
        request = Request(url, headers={"User-Agent": f"strongbax/{__version__}"})  # noqa: S310 - http(s), parsed
        why = ""
        for attempt in range(self._patience.attempts):
            time.sleep(self._patience.wait * 2 ** (attempt - 1) if attempt else 0)
            try:
                with build_opener().open(request, timeout=self._patience.timeout) as response:
                    return bytes(response.read(MOST))
            except HTTPError as error:
                with error:
                    if error.code in (403, 404, 410):  # public buckets that do not list say 403
                        return None
                    why = f"HTTP {error.code}"
            except (OSError, HTTPException) as error:
                why = say(error)
        raise StorageError(f"Could not read {url!r}: {why}. Look at the network; try again later.")
