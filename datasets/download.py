"""A download: one file, over a network that breaks, from several addresses in turn.

What came stands in `<name>.part`, and in `<name>.part.json` of which version at which address it is; so
the next attempt, or the next process, asks for the rest only. A file has its own name only when it is
whole and its size and checksum are the published ones.
"""

import http.client
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from .. import __version__
from ..vault.errors import StorageError
from .part import Part
from .published import PublishedFile

PIECE = 1 << 20  # bytes read at a time
ENOUGH = 1 << 16  # bytes: an attempt that brought fewer new ones brought nothing

# Too early, too many requests, request timeout: as with every 5xx, it may be better in a moment.
_LATER = (408, 425, 429)

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Patience:
    """How long a network is borne with.

    Attributes:
      timeout: seconds for connecting, and between two pieces.
      attempts: rounds over all addresses that bring nothing new.
      wait: seconds before the second such round; twice as many before each further one.
    """

    timeout: float = 20.0
    attempts: int = 4
    wait: float = 1.0


class _Refused(Exception):  # noqa: N818 - a signal, not an error
    """This address has nothing for us."""


class _Broken(Exception):  # noqa: N818 - a signal, not an error
    """This time it failed; it may go on."""


def download(
    file: PublishedFile,
    path: Path,
    *,
    urls: Sequence[str] | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> None:
    """Downloads a file, going on where an earlier attempt ended.

    Args:
      file: what to download.
      path: where it is to be, in a folder that exists.
      urls: addresses in the order in which they are tried; None: those of `file`.
      progress: called as `progress(done, total)` in bytes; `total` is None where nobody tells it.
      patience: with the network.

    Raises:
      StorageError: if no address had it, or the disk refuses. What came so far is kept.

    Example:
      >>> file = PublishedFile("a.npz", ("http://127.0.0.1:9/a.npz",))
      >>> download(file, Path("a.npz"), patience=Patience(attempts=1))
      Traceback (most recent call last):
      ...
      strongbax.vault.errors.StorageError: Could not download 'a.npz': http://127.0.0.1:9/a.npz: ...
    """
    patience = patience or Patience()
    part, failures = Part(file, path), dict[str, str]()
    left, idle, most = [*(file.urls if urls is None else urls)], 0, part.have
    while left and idle < patience.attempts:
        time.sleep(patience.wait * 2 ** (idle - 1) if idle else 0)
        for url in tuple(left):
            try:
                _persist(url, part, progress or _silence, patience.timeout)
            except _Refused as why:
                left.remove(url)
                failures[url] = str(why)
            except _Broken as why:
                failures[url] = str(why)
            else:
                return
        idle, most = (0, part.have) if part.have >= most + ENOUGH else (idle + 1, most)
    told = "; ".join(f"{url}: {why}" for url, why in failures.items())
    raise StorageError(
        f"Could not download {file.name!r}: {told}. Check the network, or name a mirror that has the file; "
        "the next call goes on where this one ended."
    )


def _persist(url: str, part: Part, progress: Progress, timeout: float) -> None:
    """Asks one address again and again, as long as that brings something new."""
    most = part.resume_at(url)
    while True:
        try:
            return _attempt(url, part, progress, timeout)
        except _Broken:
            if part.have < most + ENOUGH:
                raise
            most = part.have


def _attempt(url: str, part: Part, progress: Progress, timeout: float) -> None:
    """Brings what is missing from one address, and finishes the file if it is the right one."""
    start = part.resume_at(url)
    if not part.complete:
        headers = {"User-Agent": f"strongbax/{__version__}", "Accept-Encoding": "identity"}
        request = Request(url, headers=headers | part.range_headers(url, start))  # noqa: S310 - http(s), parsed
        try:
            with build_opener().open(request, timeout=timeout) as response:
                start = _receive(response, url, part, start, progress)
        except HTTPError as error:
            with error:
                raise _judge(error, part) from None
        except StorageError:
            raise  # the disk's, not the network's
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(say(error)) from None
    _finish(part, resumed=start > 0)


def _receive(response: Any, url: str, part: Part, start: int, progress: Progress) -> int:
    """Appends what a response brings; returns where it began."""
    start = _beginning(response, part, start)
    total = _total(response, start)
    if part.file.size not in (None, total) and total is not None:
        raise _Refused(f"it has {total:,} bytes there instead of {part.file.size:,}")
    part.begin(url, start, total or part.file.size, response.headers)
    expected = part.total
    with part.append() as write:
        while expected is None or part.have < expected:
            progress(part.have, expected)
            piece = response.read1(PIECE if expected is None else min(PIECE, expected - part.have))
            if not piece:
                break
            write(piece)
    progress(part.have, expected)
    if expected is not None and part.have < expected:
        raise _Broken(f"the connection ended after {part.have:,} of {expected:,} bytes")
    return start


def _beginning(response: Any, part: Part, start: int) -> int:
    """Tells at which byte a response begins."""
    if response.status == http.client.OK:
        return 0
    told = str(response.headers.get("Content-Range", ""))
    if response.status == http.client.PARTIAL_CONTENT and start and told.startswith(f"bytes {start}-"):
        return start
    part.discard()
    raise _Broken(f"HTTP {response.status} with the range {told!r} is no answer to what was asked")


def _total(response: Any, start: int) -> int | None:
    length = response.headers.get("Content-Length")
    return start + int(length) if length is not None and length.isdecimal() else None


def _judge(error: HTTPError, part: Part) -> Exception:
    why = f"HTTP {error.code} {' '.join(str(error.reason).split())}".rstrip()
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.discard()  # what we have is of another version
        return _Broken(why)
    return (_Broken if error.code in _LATER or error.code >= 500 else _Refused)(why)


def _finish(part: Part, *, resumed: bool) -> None:
    """Gives the file its name if its bytes are the published ones."""
    wrong = part.problem()
    if wrong is None:
        part.keep()
        return
    part.discard()
    if resumed:
        raise _Broken(f"{wrong}, put together of several attempts; it is fetched anew")
    raise _Refused(wrong)


def say(error: Exception) -> str:
    """Says in a few words what the network did."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(str(text).split())


def _silence(done: int, total: int | None) -> None:
    """Takes progress that nobody asked for."""
