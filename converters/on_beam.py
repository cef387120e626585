"""A conversion on Apache Beam: a pipeline with a share an element, on whatever runner its options name."""

from functools import partial
from pathlib import Path
from typing import Any

from .commit import ConversionReport
from .extra import extra
from .job import Job
from .pipeline import convert
from .share import write_share


def convert_on_beam(
    src: str | Path, dst: str | Path, *, pipeline_options: Any = None, **arguments: Any
) -> ConversionReport:
    """Converts a dataset as `convert` does, its shares written by the workers of a Beam runner.

    Workers must reach source and target by the same paths. The vault is put in its place by this process.

    Args:
      src: the file or folder.
      dst: where the vault is to be.
      pipeline_options: `PipelineOptions` of Beam; None runs on this machine.
      **arguments: of `convert`.

    Returns:
      What was done.

    Raises:
      MissingExtraError: without Apache Beam.
      RuntimeError: what Beam makes of an error in a worker; its text says what it was.
      Exception: else as `convert` does.
    """
    beam = extra("apache_beam", "beam", "Converting on Apache Beam")
    return convert(src, dst, engine=partial(_run, beam, pipeline_options), **arguments)


def _run(beam: Any, options: Any, job: Job, numbers: list[int]) -> None:
    with beam.Pipeline(options=options) as pipeline:
        shares = pipeline | "Numbers of shares" >> beam.Create(numbers)
        # Without it a runner may give all of them to one worker.
        _ = shares | "Spread" >> beam.Reshuffle() | "Write" >> beam.Map(partial(_write, job))


def _write(job: Job, number: int) -> int:
    write_share(job, number)
    return number
