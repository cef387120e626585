"""Turns: of processes that want the same thing one works, and the others wait."""

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..vault.errors import LockedError
from ..vault.files import Lock, storage_errors

POLL = 0.2  # seconds between two looks at another process's lock

_log = logging.getLogger(__name__)


@contextmanager
def turn(path: Path) -> Generator[None]:
    """Waits until nobody else holds a lock, and holds it.

    Raises:
      StorageError: if the disk refuses.
    """
    told = False
    while True:
        try:
            with storage_errors(path, "lock"):
                lock = Lock(path)
            break
        except LockedError:
            if not told:
                _log.info("Another process is fetching: waiting for %s.", path)
            told = True
            time.sleep(POLL)
    try:
        yield
    finally:
        lock.release()
