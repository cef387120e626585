"""Workers on this machine: some processes that write the shares of a conversion side by side.

They are started anew, not forked, in a session of their own: Ctrl-C reaches this process alone, which ends
them. When it dies, whatever way, their input ends and so do they.
"""

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from ..vault.errors import StorageError
from .job import Job
from .worker import DONE, FAILED, TOLD

_START = "import sys; sys.path[:] = {path!r}; from {package}.worker import main; main()"
_SECONDS = 0.1  # between two looks at how far the workers are


class Workers:
    """Processes that write shares.

    Args:
      job: the conversion.
      numbers: of the shares to write.
      count: of processes, at most.
    """

    def __init__(self, job: Job, numbers: Sequence[int], count: int) -> None:
        self._job = pickle.dumps(job)
        self._numbers = iter(numbers)
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._steps: dict[int, int] = {}
        self._whole: set[int] = set()
        self._error: BaseException | None = None
        self._processes = [_start() for _ in range(min(count, len(numbers)))]
        self._threads = [threading.Thread(target=self._drive, args=(p,)) for p in self._processes]
        for thread in self._threads:
            thread.start()

    def wait_for(self, number: int, told: Callable[[int], None]) -> None:
        """Waits until a share is whole, telling meanwhile how many steps all workers have done.

        Raises:
          BaseException: what went wrong in a worker, of whatever share.
          StorageError: if a worker died.
        """
        whole = False
        while not whole:
            with self._lock:
                if number not in self._whole and self._error is None:
                    self._news.wait(_SECONDS)
                whole, error, steps = number in self._whole, self._error, sum(self._steps.values())
            if error is not None:
                raise error
            told(steps)

    def stop(self) -> None:
        """Ends all processes, and waits until they are gone."""
        for process in self._processes:
            process.kill()
        for process, thread in zip(self._processes, self._threads, strict=True):
            process.wait()
            thread.join()

    def _drive(self, process: "subprocess.Popen[bytes]") -> None:
        """Gives one process its orders, and takes its answers."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(self._job)
            while (number := self._next()) is not None:
                pickle.dump(number, process.stdin)
                process.stdin.flush()
                for what, about in _answers(process.stdout):
                    self._take(number, what, about)
                    if what != TOLD:
                        break
        except (OSError, EOFError):
            with self._lock:
                self._error = self._error or _died(process.wait())
                self._news.notify_all()
        finally:
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe.close()

    def _next(self) -> int | None:
        with self._lock:
            return None if self._error is not None else next(self._numbers, None)

    def _take(self, number: int, what: str, about: Any) -> None:
        with self._lock:
            if what == TOLD:
                self._steps[number] = about
            elif what == DONE:
                self._whole.add(number)
            elif what == FAILED:
                self._error = self._error or about
            self._news.notify_all()


def _start() -> "subprocess.Popen[bytes]":
    code = _START.format(path=sys.path, package=__package__)
    return subprocess.Popen(  # noqa: S603 - this very Python
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


def _answers(pipe: Any) -> Iterator[tuple[str, Any]]:
    while True:
        yield pickle.load(pipe)  # noqa: S301 - our own process wrote it


def _died(code: int) -> StorageError:
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return StorageError(
        f"A worker of the conversion ended {how}: memory may have run out. What is whole is kept; the same "
        "conversion goes on, with fewer workers perhaps."
    )
