"""A conversion on Ray: a task a share."""

from pathlib import Path
from typing import Any

from .commit import ConversionReport
from .extra import extra
from .job import Job
from .pipeline import convert
from .share import write_share


def convert_on_ray(
    src: str | Path, dst: str | Path, *, task_options: dict[str, Any] | None = None, **arguments: Any
) -> ConversionReport:
    """Converts a dataset as `convert` does, its shares written by tasks of a Ray cluster.

    Tasks must reach source and target by the same paths. The vault is put in its place by this process.

    Args:
      src: the file or folder.
      dst: where the vault is to be.
      task_options: of Ray's tasks: `num_cpus`, `resources`, `scheduling_strategy`, …
      **arguments: of `convert`.

    Returns:
      What was done.

    Raises:
      MissingExtraError: without Ray.
      Exception: else as `convert` does; Ray's errors are of the class that a task raised, too.
    """
    ray = extra("ray", "ray", "Converting on Ray")

    def engine(job: Job, numbers: list[int]) -> None:
        if not ray.is_initialized():
            ray.init()
        write = ray.remote(_write).options(**(task_options or {}))
        where = ray.put(job)
        running = [write.remote(where, number) for number in numbers]
        try:
            ray.get(running)
        except BaseException:
            for one in running:
                ray.cancel(one)
            raise

    return convert(src, dst, engine=engine, **arguments)


def _write(job: Job, number: int) -> int:
    write_share(job, number)
    return number
