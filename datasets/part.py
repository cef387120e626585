"""A part: what has come of a file so far, and of which version at which address it is."""

import hashlib
import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from ..vault.files import replace, storage_errors, sync_directory, sync_file
from .published import PublishedFile

PART = ".part"
MARK = ".part.json"


class Part:
    """The beginning of a file on its way.

    Attributes:
      file: that is on its way.
      path: where the whole file is to be.
      have: bytes that have come.
      total: bytes of the whole file, or None where nobody told.
    """

    def __init__(self, file: PublishedFile, path: Path) -> None:
        self.file = file
        self.path = path
        self._part = path.with_name(path.name + PART)
        self._mark_path = path.with_name(path.name + MARK)
        self._mark = _read_mark(self._mark_path)
        self.have = self._part.stat().st_size if self._part.exists() else 0
        self.total: int | None = file.size or self._mark.get("total")

    @property
    def complete(self) -> bool:
        """Whether all bytes have come."""
        return self.total is not None and self.have == self.total

    def resume_at(self, url: str) -> int:
        """Returns from which byte on an address is asked, having thrown away what does not fit it.

        With a published checksum any address may go on where another ended: a mixture would be found out.
        Without one, only the same version at the same address may.
        """
        checked = self.file.sha256 or self.file.md5
        same = self._mark.get("url") == url and self._mark.get("validator")
        if not (checked or same) or (self.total is not None and self.have > self.total):
            self.discard()
        return self.have

    def range_headers(self, url: str, start: int) -> dict[str, str]:
        """Returns the headers that ask for the rest."""
        if not start:
            return {}
        headers = {"Range": f"bytes={start}-"}
        if self._mark.get("url") == url and self._mark.get("validator"):
            headers["If-Range"] = str(self._mark["validator"])
        return headers

    def begin(self, url: str, start: int, total: int | None, headers: Mapping[str, str]) -> None:
        """Notes what is about to come, and throws away what is behind `start`.

        Args:
          url: of the response.
          start: its first byte.
          total: bytes of the whole file, or None.
          headers: of the response.
        """
        tag = headers.get("ETag") or ""
        validator = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
        with storage_errors(self._part, "write"):
            with self._part.open("ab") as part:
                part.truncate(start)
            self.have, self.total = start, total
            self._mark = {"url": url, "validator": validator, "total": total}
            replace(self._mark_path, json.dumps(self._mark).encode())

    @contextmanager
    def append(self) -> Generator[Callable[[bytes], None]]:
        """Gives a function that appends bytes; a disk that refuses raises a `StorageError`."""
        with storage_errors(self._part, "write"):
            file = self._part.open("ab", buffering=0)

        def write(piece: bytes) -> None:
            rest = memoryview(piece)
            with storage_errors(self._part, "write"):
                while rest:
                    rest = rest[file.write(rest) :]
            self.have += len(piece)

        with file:
            yield write

    def problem(self) -> str | None:
        """Says what is wrong with the whole file, or None."""
        if self.file.size not in (None, self.have):
            return f"it has {self.have:,} bytes instead of {self.file.size:,}"
        for name in ("sha256", "md5"):
            wanted = getattr(self.file, name)
            if wanted is not None and digest(self._part, name) != wanted:
                return f"its {name} is not the published one"
        return None

    def keep(self, *, durable: bool = True) -> None:
        """Gives the file its name; durably, unless whoever asked sees to that."""
        with storage_errors(self.path, "keep"):
            if durable:
                sync_file(self._part)
            self._part.rename(self.path)
            self._mark_path.unlink(missing_ok=True)
            if durable:
                sync_directory(self.path.parent)

    def discard(self) -> None:
        """Throws away what has come."""
        with storage_errors(self._part, "remove"):
            self._part.unlink(missing_ok=True)
            self._mark_path.unlink(missing_ok=True)
        self.have, self.total, self._mark = 0, self.file.size, {}


def digest(path: Path, name: str) -> str:
    """Returns the checksum of a file in hexadecimal.

    Example:
      >>> Path("a").write_bytes(b"abc")
      3
      >>> digest(Path("a"), "md5")
      '900150983cd24fb0d6963f7d28e17f72'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()


def _read_mark(path: Path) -> dict[str, Any]:
    try:
        mark: Any = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", mark) if isinstance(mark, dict) else {}
