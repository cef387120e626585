"""A worker: a process of its own that writes shares as it is told to, and ends when whoever started it does.

It reads a job and then numbers of shares from its standard input, and answers on its standard output, all as
pickles. Neither JAX nor the caller's own program is imported.
"""

import os
import pickle
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import Any, BinaryIO

from ..vault.errors import StrongbaxError
from .job import Job
from .share import write_share

# What a worker answers with: steps of its share so far, that it is whole, or what went wrong.
TOLD, DONE, FAILED = "told", "done", "failed"


def main() -> None:
    """Works until there is nothing more to do."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    orders: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, orders), daemon=True).start()
    job: Job = orders.get()
    while (number := orders.get()) is not None:
        _answer(answers, _work(job, number, answers))


def _listen(orders: BinaryIO, queue: "SimpleQueue[Any]") -> None:
    """Hands on what comes; at its end, whoever gave orders is gone, and so is this process."""
    while True:
        try:
            queue.put(pickle.load(orders))  # noqa: S301 - our own process wrote it
        except EOFError:
            os._exit(0)


def _work(job: Job, number: int, answers: BinaryIO) -> tuple[str, Any]:
    try:
        write_share(job, number, lambda done: _answer(answers, (TOLD, done)))
    except Exception as error:  # noqa: BLE001 - whoever gave the order raises it
        return FAILED, _sendable(error)
    return DONE, number


def _sendable(error: Exception) -> Exception:
    """Returns an error that can be sent; of one that nobody expects, where it came from is kept too."""
    if not isinstance(error, StrongbaxError):
        error.add_note("In a worker:\n" + "".join(traceback.format_tb(error.__traceback__)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - whatever its class does
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _answer(answers: BinaryIO, what: tuple[str, Any]) -> None:
    pickle.dump(what, answers)
    answers.flush()
