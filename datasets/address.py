"""An address: where a publication is, and which one is meant: `s3://bucket/hopper@3`."""

import re
from dataclasses import dataclass
from pathlib import Path

_URL = re.compile(r"([a-z][a-z0-9+]*)://(.*)", re.DOTALL)
_SLASHES = re.compile(r"(hf|s3|gs|https?|memory):/[^/]")


@dataclass(frozen=True)
class Address:
    """Where something is published.

    Attributes:
      scheme: "hf", "s3", "http" and so on; "file" for a path.
      url: the URL without what follows the `@`, or the path.
      pin: what follows the `@`: a number, a revision, a tag, a branch; None: the newest.
    """

    scheme: str
    url: str
    pin: str | None = None

    @property
    def is_web(self) -> bool:
        """Whether it is on a web server."""
        return self.scheme in ("http", "https")

    @property
    def rest(self) -> str:
        """The URL behind its scheme."""
        return self.url.rpartition("://")[2]


def is_address(text: str | Path) -> bool:
    """Tells whether a text can only be an address: a URL, or a path that begins as one.

    Example:
      >>> [is_address(text) for text in ("hf://ada/walk", "./walk", "/data/walk", "hopper-medium-v2")]
      [True, True, True, False]
    """
    return isinstance(text, Path) or "://" in text or text.startswith((".", "/", "~"))


def parse_address(text: str | Path) -> Address:
    """Reads an address.

    Args:
      text: a URL, with `@` and a revision behind it if one is meant, or a path.

    Raises:
      ValueError: if it is a URL with a user's name or password, or has lost a slash.

    Example:
      >>> parse_address("hf://ada/walk@v1.0")
      Address(scheme='hf', url='hf://ada/walk', pin='v1.0')
      >>> parse_address("s3://bucket/walk")
      Address(scheme='s3', url='s3://bucket/walk', pin=None)
    """
    if _SLASHES.match(str(text)):
        raise ValueError(f"A URL must be text with two slashes: got {str(text)!r}, which has lost one.")
    match = _URL.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[1] == "file":
        return Address("file", str(text))
    scheme, rest = match[1], match[2]
    host, slash, path = ("", "", rest) if scheme == "memory" else rest.partition("/")
    if "@" in host:
        server = host.rpartition("@")[2]
        raise ValueError(
            f"An address must hold no user's name or password: got one for {scheme}://…@{server}. "
            "Credentials come from the environment, or from `storage`."
        )
    head, _, last = path.rpartition("/")
    name, at, pin = last.partition("@")
    if at and not pin:
        raise ValueError(
            f"An address must name a revision behind its '@': got {text!r}. Or leave the '@' out."
        )
    where = "/".join(part for part in (head, name) if part)
    return Address(scheme, f"{scheme}://{host}{slash}{where}".rstrip("/"), pin or None)
