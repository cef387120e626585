"""Long reads in pieces, side by side on threads that are kept."""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

LONG_BYTES = 1 << 20  # reads of this size compare checksums and use several threads
_THREADS = min(8, os.cpu_count() or 1) + 1  # one waits for a page while the others copy


@dataclass(frozen=True)
class Job:
    """A piece of a read that no other piece waits for.

    Attributes:
      size: in bytes.
      run: does it; it starts no jobs of its own.
    """

    size: int
    run: Callable[[], None]


def run_all(jobs: Sequence[Job]) -> None:
    """Runs jobs, the largest first; in turn where they are short, and side by side where they are long.

    Raises:
      Exception: what a job raised; the others were run all the same, or not begun.
    """
    if len(jobs) < 2 or sum(job.size for job in jobs) < LONG_BYTES:
        for job in jobs:
            job.run()
        return
    for done in [_pool().submit(job.run) for job in sorted(jobs, key=lambda job: -job.size)]:
        done.result()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, "strongbax-read")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of its parent's threads
