"""A disk that refuses: the operating system's calls, made to fail one at a time or from one on.

Only calls on one folder count. A write that fails has written its first half, as on a disk that fills up.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CALLS = ("write", "writev", "fsync", "fdatasync", "ftruncate", "open", "rename", "replace", "unlink", "mkdir")
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass
class Faults:
    """Which call fails.

    Attributes:
      folder: calls on other files go their way.
      at: number of the call that fails, or -1.
      error: its errno.
      lasting: whether all calls after it fail too, until `mend`.
      count: calls so far.
      hit: names of the calls that failed.
    """

    folder: Path
    at: int = -1
    error: int = 0
    lasting: bool = False
    count: int = 0
    hit: list[str] = field(default_factory=list)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, at: int, error: int, *, lasting: bool = False) -> None:
        """Lets the call fail that comes after `at` others."""
        with self._mutex:
            self.at, self.error, self.lasting, self.count = at, error, lasting, 0
            self.hit.clear()

    def mend(self) -> None:
        """Lets no call fail any more."""
        self.at = -1

    def install(self, monkeypatch: Any) -> None:
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **further: Any) -> Any:
            if self._touches(name, arguments) and self._fails(name):
                if name == "write":
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                elif name == "writev":
                    data = b"".join(arguments[1])
                    os.pwrite(arguments[0], data[: len(data) // 2], os.fstat(arguments[0]).st_size)
                raise OSError(self.error, os.strerror(self.error))
            return real(*arguments, **further)

        return call

    def _fails(self, name: str) -> bool:
        with self._mutex:
            number, self.count = self.count, self.count + 1
            fails = 0 <= self.at <= number if self.lasting else number == self.at
            if fails:
                self.hit.append(name)
            return fails

    def _touches(self, name: str, arguments: tuple[Any, ...]) -> bool:
        if name == "open" and not (len(arguments) > 1 and arguments[1] & _CHANGES):
            return False
        target = arguments[0]
        if isinstance(target, int):
            try:
                target = Path(f"/proc/self/fd/{target}").readlink()
            except OSError:
                return False
        return Path(os.fsdecode(target)).is_relative_to(self.folder)
