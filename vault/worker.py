"""A worker: one thread that does jobs in order, and that no interrupt reaches.

Ctrl-C hits the main thread between any two instructions. It may end a wait for a job there, but never the
job, and it leaves no lock taken: only locks that are C's own are waited on.
"""

import atexit
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Job(Generic[R]):
    """Work that a worker was given.

    Args:
      work: is called once, with the arguments.
    """

    def __init__(self, work: Callable[..., R], arguments: tuple[Any, ...]) -> None:
        self._work: tuple[Callable[..., R], tuple[Any, ...]] | None = (work, arguments)
        self._found: R | None = None
        self._error: BaseException | None = None
        self._over = False
        self._running = threading.Lock()  # held until it is over
        self._running.acquire()

    def run(self) -> None:
        """Does the work; an error is kept for those who wait."""
        assert self._work is not None
        work, arguments = self._work
        try:
            self._found = work(*arguments)
        except BaseException as error:  # noqa: BLE001 - it is raised where the job is waited for
            self._error = error
        self._work = None  # what it refers to is free again
        self._over = True
        self._running.release()

    def done(self) -> bool:
        """Says whether it is over."""
        return self._over

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits until it is over and gives its error, or None.

        Raises:
          TimeoutError: after `timeout` seconds.
        """
        if not self._over:
            if timeout is None:
                with self._running:
                    pass
            elif not self._running.acquire(timeout=timeout):
                raise TimeoutError(f"It was not done within {timeout} seconds. Wait longer, or without end.")
            else:
                self._running.release()
        return self._error

    def result(self, timeout: float | None = None) -> R:
        """Waits until it is over and gives what the work gave.

        Raises:
          TimeoutError: after `timeout` seconds.
        """
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._found  # pyright: ignore[reportReturnType] - the work's own, None included


class Worker:
    """A thread with a queue of jobs.

    What it was given is done before the interpreter ends.

    Args:
      name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True)
        self._stopped = False
        self._thread.start()
        _working.add(self)

    def submit(self, work: Callable[..., R], *arguments: Any) -> Job[R]:
        """Gives the worker something to do after all that it has to do.

        Raises:
          RuntimeError: if it was stopped.
        """
        if self._stopped:
            raise RuntimeError(f"The worker {self._thread.name!r} was stopped and takes no more jobs.")
        job = Job(work, arguments)
        self._jobs.put(job)
        return job

    def drain(self) -> None:
        """Waits until everything that it was given is done."""
        if not self._stopped:
            self.submit(_rest).exception()

    def stop(self) -> None:
        """Waits until everything is done, and ends the thread. Twice is harmless."""
        self._stopped = True
        self._jobs.put(None)
        self._thread.join()


def _work(jobs: "queue.SimpleQueue[Job[Any] | None]") -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job  # an idle worker keeps nothing alive


_working: "weakref.WeakSet[Worker]" = weakref.WeakSet()


def _rest() -> None:
    """Does nothing: whoever waits for it knows that all before it is done."""


@atexit.register
def _finish() -> None:
    for worker in list(_working):
        worker.drain()  # not stopped: one may have work for another
