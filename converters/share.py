"""One share of a conversion: written, read back, compared with the source, and only then noted as whole.

Everything it needs is in the job, and all it leaves is in files, so it runs in any process of any engine;
twice, or half and then again, is the same as once.
"""

import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from ..vault.files import replace, storage_errors
from ..vault.share import Share, ShareWriter
from ..vault.share_reader import ShareReader
from .ahead import ahead
from .check import check
from .job import Job
from .order import save
from .source import Block, ReadAgain

# Called with a share's steps so far; each counts twice, once written and once compared.
Told = Callable[[int], None]


def write_share(
    job: Job, number: int, told: Told | None = None, seen: Callable[[Block], None] | None = None
) -> Share:
    """Writes one share of a conversion, unless it is whole already.

    Args:
      job: the conversion.
      number: of the share, from 0 on.
      told: called with the steps so far.
      seen: called with each block that was read back and is what the source has there.

    Returns:
      The share; the same stands in a file.

    Raises:
      ReadAgain: if the source is to be read otherwise; the order for it is noted beside this one.
      FormatError: if the source is not what its format says.
      CorruptionError: if what was written, read back, is not what the source has.
      StorageError: if the disk refuses.
    """
    there = job.share(number)
    if there is not None:
        return there
    told = told or _silence
    beside = job.folder / f"share-{number}.{secrets.token_hex(4)}"
    try:
        share = _write(job, number, beside, told)
        done = share.span.stop - share.span.start
        check(job, number, ShareReader(job.vault, job.schema, share), lambda n: told(done + n), seen)
        record = json.dumps({"folder": beside.name, "block": job.schema.block, "share": share.to_dict()})
        with storage_errors(job.dst, "convert to"):
            replace(job.record(number), record.encode())
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, ReadAgain):
            save(job.order.again(error), job.folder.parent)
        raise
    return share


def _write(job: Job, number: int, beside: Path, told: Told) -> Share:
    done = 0
    with storage_errors(job.dst, "convert to"):
        writer = ShareWriter(job.vault, beside, job.schema, job.span(number))
    with writer:
        for block in ahead(job.source.blocks(job.rows, *job.units(number))):
            with storage_errors(job.dst, "convert to"):
                writer.extend(block.steps, block.ends)
            done += block.num_steps
            told(done)
        with storage_errors(job.dst, "convert to"):
            return writer.close()


def _silence(done: int) -> None:
    """Takes what nobody asked to be told."""
