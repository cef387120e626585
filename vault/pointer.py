"""A pointer: which revision of a published dataset is the newest, where no folder can take another's name.

```
# s3://bucket/hopper/
#   revisions/3f2a…/…           a whole vault with its manifest; never changed
#   versions/00000002.json      the record of the second publication, created where none stands
#   tags/v1.1.json              a copy of a record, created where none stands
#   publication.json            a copy of the newest record: the one object that is ever replaced
```
Whoever has opened a revision goes on reading it, whatever is published meanwhile.
"""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from .errors import CorruptionError, FormatError, NotFoundError
from .location import Location

POINTER = "publication.json"
FORMAT = 1

_REVISION = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Record:
    """What one publication says of itself.

    Attributes:
      dataset_id: `namespace/name-vN`.
      version: its number among the publications at this place, from 1.
      revision: the folder of its files, the first digits of `sha256`.
      sha256: of the manifest.
      files: that it has.
      size: of them, in bytes.
    """

    dataset_id: str
    version: int
    revision: str
    sha256: str
    files: int
    size: int

    def encode(self) -> bytes:
        """Gives the bytes of the record."""
        return json.dumps({"format": FORMAT} | asdict(self), indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes, where: object) -> "Record":
        """Reads a record that may come from anybody.

        Raises:
          CorruptionError: if it is none.
          FormatError: if it is of a newer format.

        Example:
          >>> Record.decode(Record("toy/walk-v0", 1, "ab" * 16, "ab" * 32, 40, 1000).encode(), "x").version
          1
        """
        try:
            found: Any = json.loads(data)
            version = found.pop("format")
            if version == FORMAT:
                return _checked(cls(**{name: found[name] for name in cls.__dataclass_fields__}))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise CorruptionError(
                f"The record {str(where)!r} of a publication is damaged: {error}. Publish the dataset again."
            ) from None
        raise FormatError(
            f"The record {str(where)!r} of a publication is of format {version!r}, this version reads "
            f"{FORMAT}: `pip install --upgrade strongbax`."
        )


def _checked(record: Record) -> Record:
    if not _SHA256.fullmatch(record.sha256) or not record.sha256.startswith(record.revision):
        raise ValueError("its revision is not that of its manifest")
    if not _REVISION.fullmatch(record.revision) or record.version < 1:
        raise ValueError("its revision or its version is none")
    return record


def revision_path(revision: str) -> str:
    """Gives where a revision lies, below the place of its publication."""
    return f"revisions/{revision}"


def version_path(version: int) -> str:
    """Gives where the record of a version lies."""
    return f"versions/{version:08d}.json"


def tag_path(tag: str) -> str:
    """Gives where the record of a tag lies.

    Raises:
      ValueError: if the tag is no name, or reads as a version or a revision.

    Example:
      >>> tag_path("v1.1")
      'tags/v1.1.json'
    """
    if not _TAG.fullmatch(tag) or tag.isdecimal() or _REVISION.fullmatch(tag):
        raise ValueError(
            f"`tag` must be a name of letters, digits, '.', '_' and '-' that is no number and no revision: "
            f"got {tag!r}."
        )
    return f"tags/{tag}.json"


def pinned_path(pin: str | None) -> str | None:
    """Gives where the record of what follows an `@` lies; None where that is a revision itself.

    Example:
      >>> pinned_path(None), pinned_path("2"), pinned_path("v1.1"), pinned_path("ab" * 16)
      ('publication.json', 'versions/00000002.json', 'tags/v1.1.json', None)
    """
    if pin is None:
        return POINTER
    if _REVISION.fullmatch(pin):
        return None
    return version_path(int(pin)) if pin.isdecimal() and len(pin) <= 8 else tag_path(pin)


def newest(place: Location) -> Location | None:
    """Gives the folder of the newest revision at a place, or None where nothing is published so."""
    try:
        data = (place / POINTER).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return place / revision_path(Record.decode(data, place / POINTER).revision)


def follow(place: Location, error: NotFoundError) -> Location:
    """Gives the folder of the newest revision at a place where no vault is.

    Raises:
      NotFoundError: the one that was given, if nothing is published there.
    """
    found = newest(place)
    if found is None:
        raise error
    return found
