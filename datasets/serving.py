"""A web server for one vault, on this machine only: whole files and parts of them, and the page.

It answers GET and HEAD, and only to a browser that means this machine: a site elsewhere that has its own name
point here (DNS rebinding) is refused by the Host header.
"""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from ..vault.errors import StrongbaxError
from ..vault.root import FILE as ROOT
from .live import PLACE, Live
from .pages import FILE, page

if TYPE_CHECKING:
    from ..vault.location import Location

LOCAL = "127.0.0.1"
_NAMES = (LOCAL, "localhost")
_PIECE = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    "": "application/octet-stream",
}

# Finds what a request's target names: a file, or bytes; None where there is nothing.
Find: TypeAlias = Callable[[str], Path | bytes | None]


@dataclass(frozen=True)
class Part:
    """Bytes `[start, stop)` of a file of `size` bytes.

    Attributes:
      start: first byte.
      stop: byte after the last.
      size: of the whole file.
      whole: whether no range was asked for.
    """

    start: int
    stop: int
    size: int
    whole: bool = False


def parse_range(text: str | None, size: int) -> Part | None:
    """Reads a Range header.

    Args:
      text: of the header.
      size: of the file, in bytes.

    Returns:
      What is asked for; all, where there is no header, or one of another kind (several ranges among them).
      None where no byte of it is there.

    Example:
      >>> parse_range("bytes=2-3", 10)
      Part(start=2, stop=4, size=10, whole=False)
      >>> parse_range("bytes=-4", 10)
      Part(start=6, stop=10, size=10, whole=False)
      >>> parse_range("bytes=10-", 10) is None
      True
    """
    found = _RANGE.fullmatch((text or "").replace(" ", ""))
    if found is None or found.group(1, 2) == ("", ""):
        return Part(0, size, size, whole=True)
    low, high = found.group(1, 2)
    if low and high and int(high) < int(low):
        return Part(
            0, size, size, whole=True
        )  # such a header is no range, and is passed over (RFC 9110, 14.1.1)
    start = int(low) if low else max(0, size - int(high))
    stop = min(size, int(high) + 1) if low and high else size
    return Part(start, stop, size) if start < stop else None


def inside(folder: Path, target: str) -> Path | None:
    """Finds the file that a request's target names; None where that is no file below the folder.

    Links that lead out of the folder are not followed.

    Example:
      >>> inside(Path("."), "/../secret") is None
      True
    """
    parts = [unquote(part) for part in urlsplit(target).path.split("/")[1:]]
    if any(part in ("", ".", "..") or "/" in part or "\\" in part or "\0" in part for part in parts):
        return None
    found = folder.joinpath(*parts).resolve()
    return found if found.is_relative_to(folder.resolve()) and found.is_file() else None


def finder(location: "Location") -> Find:
    """Gives what finds a vault's files: on the disk, or made for what is no file, as `live` says.

    Args:
      location: of the vault.
    """
    live = Live(location)
    # The page of a vault whose card says no name is called by its folder.
    shown = page().replace(b"<title>Vault<", b"<title>" + escape(location.name).encode() + b"<")

    def find(target: str) -> Path | bytes | None:
        path = urlsplit(target).path.removeprefix("/")
        if path in ("", FILE):
            return shown
        if path == ROOT and (root := live.root()) is not None:
            return root
        if path.startswith(f"{PLACE}/"):
            return live.chunk(path)
        return inside(location, target) if isinstance(location, Path) else None

    return find


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "strongbax"
    sys_version = ""
    find: Find
    timeout = 60

    def do_GET(self) -> None:
        """Sends a file, or the part of it that is asked for."""
        self._answer(send=True)

    def do_HEAD(self) -> None:
        """Says what `GET` would."""
        self._answer(send=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing: requests are many."""

    def _answer(self, *, send: bool) -> None:
        if not self._is_meant():
            self._refuse(HTTPStatus.FORBIDDEN, "This server answers to this machine's own names only.", send)
            return
        try:
            found = self.find(self.path)
        except (StrongbaxError, OSError) as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error), send)
            return
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such file.", send)
        elif isinstance(found, bytes):
            self._send_bytes(found, send=send)
        else:
            with found.open("rb") as file:
                self._send_file(file, found.suffix, send=send)

    def _is_meant(self) -> bool:
        port = cast("VaultServer", self.server).server_port
        return self.headers.get("Host") in {f"{name}:{port}" for name in _NAMES}

    def _send_file(self, file: BinaryIO, suffix: str, *, send: bool) -> None:
        facts = os.fstat(file.fileno())
        tag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
        if tag in (self.headers.get("If-None-Match") or ""):
            self._head(HTTPStatus.NOT_MODIFIED, 0, {"ETag": tag})
            return
        # A part of another version of the file would be of no use: then the whole is sent.
        same = self.headers.get("If-Range", tag) == tag
        part = parse_range(self.headers.get("Range") if same else None, facts.st_size)
        if part is None:
            more = {"Content-Range": f"bytes */{facts.st_size}"}
            self._refuse(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "No byte of that range is there.", send, more
            )
            return
        head = {
            "Content-Type": _TYPES.get(suffix, _TYPES[""]),
            "Accept-Ranges": "bytes",
            "ETag": tag,
            "Last-Modified": formatdate(facts.st_mtime, usegmt=True),
        }
        head |= {} if part.whole else {"Content-Range": f"bytes {part.start}-{part.stop - 1}/{part.size}"}
        self._head(HTTPStatus.OK if part.whole else HTTPStatus.PARTIAL_CONTENT, part.stop - part.start, head)
        if send:
            file.seek(part.start)
            _copy(file, self.wfile.write, part.stop - part.start)

    def _send_bytes(self, body: bytes, *, send: bool) -> None:
        is_page = urlsplit(self.path).path in ("/", f"/{FILE}")
        self._head(HTTPStatus.OK, len(body), {"Content-Type": _TYPES[".html" if is_page else ""]})
        if send:
            self.wfile.write(body)

    def _refuse(self, status: HTTPStatus, why: str, send: bool, more: dict[str, str] | None = None) -> None:
        body = f"{why}\n".encode()
        self._head(status, len(body), {"Content-Type": "text/plain; charset=utf-8"} | (more or {}))
        if send:
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, size: int, head: dict[str, str]) -> None:
        self.send_response(status)
        head = head | {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        for name, value in (head | {"Content-Length": str(size)}).items():
            self.send_header(name, value)
        self.end_headers()


class VaultServer(ThreadingHTTPServer):
    """Serves one vault, a thread a connection."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Passes over browsers that go away in the middle, as they do whenever a page is left."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def make_server(location: "Location", port: int = 0) -> VaultServer:
    """Makes a server of a vault that listens on this machine only; `serve_forever` runs it.

    Args:
      location: of the vault: a folder, or a place in an object store.
      port: to listen at; 0: one that is free.

    Raises:
      OSError: if the port is taken.
    """
    handler = type("VaultHandler", (Handler,), {"find": staticmethod(finder(location))})
    return VaultServer((LOCAL, port), handler)


def url_of(server: VaultServer) -> str:
    """Gives the address of the page that a server shows."""
    return f"http://{LOCAL}:{server.server_port}/"


def _copy(file: BinaryIO, write: Callable[[bytes], object], size: int) -> None:
    while size and (piece := file.read(min(size, _PIECE))):
        write(piece)
        size -= len(piece)
