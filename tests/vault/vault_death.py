"""Death at a chosen moment: the process' k-th change of the disk does not happen, and none after it does.

What stands on disk then is what `kill -9` leaves: the kernel keeps what was done before. Shards that
TensorStore is writing may still appear, as they would if the kill came a little later.
"""

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest import mock

_CHANGES = ("write", "writev", "ftruncate", "rename", "replace", "unlink", "fsync", "fdatasync")


class Killed(BaseException):
    """The process is dead; no handler for errors may catch it."""


class Death:
    """Counts changes of the disk and lets no more happen than allowed.

    Args:
      after: changes that happen.
      share: of the bytes of the write that is interrupted, between 0 and 1.
    """

    def __init__(self, after: int, share: float = 0.0) -> None:
        self.left, self.share, self.came = after, share, False
        self._mutex = threading.Lock()

    def meets(self) -> tuple[bool, bool]:
        """Says whether the change is the first, or a later one, that does not happen."""
        with self._mutex:
            first = not self.came and self.left == 0
            self.left -= 1
            self.came = self.came or first
            return first, self.came


@contextmanager
def dying(death: Death) -> Generator[Death]:
    """Lets the process die in the block: `Killed` comes out, unless what it does was done before."""
    with mock.patch.multiple(os, **{name: _mortal(name, death) for name in _CHANGES}):
        yield death


def bury(vault: Any) -> None:
    """Does what the kernel does for a dead process: its descriptors are closed, its lock falls."""
    vault._flusher.abandon()
    vault._closed = True


def kill(vault: Any) -> None:
    """Kills the process between two calls; what it was doing in the background is stopped."""
    with dying(Death(0)):
        bury(vault)


def _mortal(name: str, death: Death) -> Any:
    real = getattr(os, name)

    def change(*arguments: Any, **options: Any) -> Any:
        first, dead = death.meets()
        if first and name in ("write", "writev"):
            _write_some(arguments[0], arguments[1], death.share)
        if dead:
            raise Killed
        return real(*arguments, **options)

    return change


_real_write = os.write


def _write_some(descriptor: int, data: Any, share: float) -> None:
    whole = data if isinstance(data, (bytes, memoryview)) else b"".join(data)
    rest = memoryview(whole)[: int(len(whole) * share)]
    while rest:
        rest = rest[_real_write(descriptor, rest) :]
