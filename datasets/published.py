"""A published file of a dataset: where it can be had, and how to know that it is the right one."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_URL = re.compile(r"https?://[^/\s]+/\S*[^/\s]")
_PATH = re.compile(r"(?:[\w$-][\w$.-]*/)*[\w$-][\w$.-]*")
_DIGITS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class PublishedFile:
    """One file.

    Attributes:
      path: its name; below a folder where the dataset's layout has folders (`data/main_data.hdf5`).
      urls: where it is published, the makers' own first, mirrors after it. All have the same bytes.
      size: in bytes, or None where it was never published.
      sha256: in hexadecimal, or None where it was never published.
      md5: in hexadecimal, where that is what its makers published.
    """

    path: str
    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @classmethod
    def from_dict(cls, data: object) -> "PublishedFile":
        """Reads a file from its JSON object.

        Raises:
          ValueError: if a field is missing, unknown, or not what it should be.

        Example:
          >>> PublishedFile.from_dict({"path": "a.npz", "urls": ["https://example.org/a.npz"]}).name
          'a.npz'
        """
        if not isinstance(data, Mapping) or set(data) - set(cls.__dataclass_fields__):
            raise bad("files", f"objects with the fields {', '.join(cls.__dataclass_fields__)}", data)
        get = data.get
        return cls(
            parse_path(get("path")),
            parse_urls(get("urls")),
            parse_size(get("size")),
            parse_digest("sha256", get("sha256")),
            parse_digest("md5", get("md5")),
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the file as a JSON object, fields that are None left out.

        Example:
          >>> PublishedFile("a.npz", ("https://example.org/a.npz",)).to_dict()
          {'path': 'a.npz', 'urls': ['https://example.org/a.npz']}
        """
        data = {name: value for name, value in asdict(self).items() if value is not None}
        return data | {"urls": list(self.urls)}


def parse_path(value: object) -> str:
    """Returns the path if it stays below its folder and hides nothing.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_path("data/main_data.hdf5")
      'data/main_data.hdf5'
    """
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise bad("path", "a relative path without dots at the beginning of a part", value)
    return value


def parse_urls(value: object) -> tuple[str, ...]:
    """Returns the URLs as a tuple if they are different http or https ones of files.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_urls(["https://example.org/hopper.hdf5"])
      ('https://example.org/hopper.hdf5',)
    """
    urls: list[Any] = [*value] if isinstance(value, list | tuple) else []
    if not urls or not all(isinstance(url, str) and _URL.fullmatch(url) for url in urls):
        raise bad("urls", "a list of http or https URLs of a file", value)
    if len(set(urls)) != len(urls):
        raise bad("urls", "a list of different URLs", value)
    return tuple(urls)


def parse_size(value: object) -> int | None:
    """Returns the size if it is a whole number above 0, or None.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_size(1000)
      1000
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise bad("size", "a whole number above 0", value)


def parse_digest(field: str, value: object) -> str | None:
    """Returns the checksum if it is of its length in hexadecimal, in lower case, or None.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_digest("sha256", "ab" * 32) == "ab" * 32
      True
    """
    digits = _DIGITS[field]
    if value is None or (isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{digits}}}", value)):
        return value
    raise bad(field, f"{digits} hexadecimal digits in lower case", value)


def bad(field: str, wanted: str, got: object) -> ValueError:
    """Words what is wrong with a field."""
    return ValueError(f"`{field}` of a dataset's entry must be {wanted}; got {got!r}.")
