"""The manifest of a publication: every file with its size and SHA-256, and what dataset they are.

It is the `manifest.json` of a packed vault with more fields, so `verify` reads it too. Its own SHA-256
names the publication: the *revision* says every byte of it, wherever it lies.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ..vault.errors import CorruptionError, FormatError
from ..vault.manifest import FILE, FORMAT
from ..vault.root import LOCK

if TYPE_CHECKING:
    from collections.abc import Mapping

REVISION_DIGITS = 32  # of a SHA-256 in hexadecimal: 128 bits, which nobody meets by chance or by search

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True)
class Entry:
    """One file of a publication.

    Attributes:
      path: in the publication, with `/`.
      size: in bytes.
      sha256: in hexadecimal.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a publication consists of.

    Attributes:
      dataset_id: `namespace/name-vN`, or None in the manifest of a vault that was only packed.
      leaves: those that were taken, where this is a part of what was published; else None.
      files: all but the manifest itself, sorted by path.
      data: the bytes of the manifest.
    """

    dataset_id: str | None
    leaves: tuple[str, ...] | None
    files: tuple[Entry, ...]
    data: bytes

    @property
    def sha256(self) -> str:
        """Of the manifest's bytes, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def revision(self) -> str:
        """The name of exactly these files: 32 hexadecimal digits."""
        return self.sha256[:REVISION_DIGITS]

    @property
    def size(self) -> int:
        """Bytes of all files and the manifest."""
        return sum(entry.size for entry in self.files) + len(self.data)

    @property
    def paths(self) -> frozenset[str]:
        """The paths of all files and the manifest's."""
        return frozenset(entry.path for entry in self.files) | {FILE}

    @classmethod
    def parse(cls, data: bytes, where: object) -> "Manifest":
        """Reads a manifest that may come from anybody: no path in it leads out of its folder.

        Args:
          data: the file's bytes.
          where: it came from, for messages.

        Raises:
          CorruptionError: if it is none.
          FormatError: if it is of a newer format.

        Example:
          >>> Manifest.parse(b'{"format": 1, "files": []}', "a.vault").files
          ()
          >>> digest = "00" * 32
          >>> text = '{"format": 1, "files": [{"path": "../a", "size": 1, "sha256": "%s"}]}' % digest
          >>> Manifest.parse(text.encode(), "a")
          Traceback (most recent call last):
          ...
          strongbax.vault.errors.CorruptionError: The manifest.json of 'a' is damaged: '../a' is no path ...
        """
        try:
            document: Any = json.loads(data)
            version = document["format"]
            if version == FORMAT:
                files = tuple(sorted(map(_entry, document["files"]), key=lambda entry: entry.path))
                taken = document.get("leaves")
                leaves = None if taken is None else tuple(map(str, taken))
                found = cls(_text(document.get("dataset_id")), leaves, files, data)
                _check_distinct(found)
                return found
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise CorruptionError(
                f"The {FILE} of {str(where)!r} is damaged: {error}. Publish the dataset again."
            ) from None
        raise FormatError(
            f"The {FILE} of {str(where)!r} is of format {version!r}, this version reads {FORMAT}: "
            "`pip install --upgrade strongbax`."
        )


def safe_path(path: object) -> str:
    """Gives the path of a file in a publication if it stays below its folder and is not one of ours.

    Raises:
      ValueError: otherwise.

    Example:
      >>> safe_path("steps/observation/c.0.0")
      'steps/observation/c.0.0'
    """
    parts = path.split("/") if isinstance(path, str) else [""]
    if any(part in ("", ".", "..") for part in parts) or _CONTROL.search(str(path)) or path in (FILE, LOCK):
        raise ValueError(f"{path!r} is no path of a file in it")
    return str(path)


def _entry(data: object) -> Entry:
    fields = cast("Mapping[str, Any]", data)
    path, size, digest = safe_path(fields["path"]), fields["size"], fields["sha256"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"{path!r} has the size {size!r}")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ValueError(f"{path!r} has no SHA-256")
    return Entry(path, size, digest)


def _check_distinct(manifest: Manifest) -> None:
    paths = manifest.paths
    if len(paths) != len(manifest.files) + 1:
        raise ValueError("a path stands in it twice")
    folders = {"/".join(path.split("/")[:n]) for path in paths for n in range(1, path.count("/") + 1)}
    if folders & paths:
        raise ValueError(f"{min(folders & paths)!r} is a file and a folder in it")


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"`dataset_id` is {value!r}")
    return value
