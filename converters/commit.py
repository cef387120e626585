"""The end of a conversion: all shares are there, and become a vault, signed, and put in its place at once."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.assembly import assemble, sign
from ..vault.attachments import attach, attached
from ..vault.blocks import checked_json
from ..vault.checksum import crc32c
from ..vault.dtypes import NpArray
from ..vault.errors import ConflictError, CorruptionError, NotFoundError
from ..vault.files import exchange, storage_errors, sync_directory
from ..vault.share import bytes_of
from ..vault.share_reader import ShareReader
from .aside import check_free
from .check import blocks_of
from .job import Job
from .order import fingerprint
from .tally import Tally, Tallying

READY = "ready"


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did.

    Attributes:
      path: of the vault.
      format: that the source was read as.
      dataset_id: of the catalogue's dataset that it is, or None.
      num_steps: in the vault, and in the source.
      num_episodes: in the vault, and in the source; a cut one at the end included.
      sha256: of each leaf's rows, by name; `next_observation` too where the source stores and the
        vault derives it.
      notes: what the reader decided on the way, a sentence each.
      skipped: what was left out since it cannot be read, with `skip_bad`: `unit` and `count` (episodes, or
        what else can be read by itself, by their numbers in the source) or `file`, and `why`, which names
        file, key and row.
    """

    path: Path
    format: str
    dataset_id: str | None
    num_steps: int
    num_episodes: int
    sha256: Mapping[str, str]
    notes: tuple[str, ...]
    skipped: tuple[Mapping[str, Any], ...] = ()


def tally_share(job: Job, number: int, tallying: Tallying) -> None:
    """Adds a share that is whole to a tally, reading it from disk.

    Raises:
      CorruptionError: if it is not what was compared with the source.
    """
    share = job.share(number)
    assert share is not None, number
    crc = dict.fromkeys(share.crc, 0)
    for block in blocks_of(ShareReader(job.vault, job.schema, share), job.source, job.rows):
        for name, rows in block.steps.items():
            crc[name] = crc32c(bytes_of(rows), crc[name])
        tallying.add(block)
    wrong = [name for name in crc if crc[name] != share.crc[name]]
    if wrong:
        raise CorruptionError(
            f"The leaf `{wrong[0]}` of share {number} is no more what was compared with the source: disk or "
            "memory fail. Nothing was kept; convert again."
        )


def commit(job: Job, *, overwrite: bool = False, tally: Tally | None = None) -> ConversionReport:
    """Makes the vault of all shares, and puts it in its place.

    Args:
      job: the conversion.
      overwrite: replace the vault at the job's `dst`.
      tally: of all shares, where it was taken while they were written; else they are read once more.

    Raises:
      NotFoundError: if shares are missing, naming them.
      ConflictError: if the source was changed since the conversion began.
      CorruptionError: if what was written does not come back.
      AlreadyExistsError: if something stands at `dst` that is no vault, or is not to be replaced.
      StorageError: if the disk refuses.
    """
    missing = job.missing()
    if missing:
        raise NotFoundError(
            f"{len(missing)} of the {job.num_shares} shares are not written yet, number {missing[0]} first. "
            "Let every rank run to its end, then commit; or convert without ranks: that writes them here."
        )
    if fingerprint(job.origin.path) != job.order.fingerprint:
        raise ConflictError(
            f"{job.origin.path} was changed since its conversion began. Convert it again: all is made anew."
        )
    if tally is None:
        tally = _tally(job)
    shares = [share for number in range(job.num_shares) if (share := job.share(number)) is not None]
    readers = [ShareReader(job.vault, job.schema, share) for share in shares]
    nan = sum(map(_nan_returns, readers)) if job.schema.roles.reward is not None else 0
    notes = (
        job.origin.notes
        + job.order.notes
        + ((f"Returns of {nan} episodes are NaN: a reward is, and is kept.",) if nan else ())
    )
    facts = {**job.source.facts, "notes": list(notes), "nan_returns": nan, "skipped": list(job.skipped)}
    card = dict(job.source.card) | job.origin.to_card(job.order.form, job.order.given, facts)
    card |= {"horizon": job.source.horizon, "check": tally.to_dict()}
    with storage_errors(job.dst, "convert to"):
        root = assemble(job.vault, job.schema, shares, checked_json(job.source.attributes, "attributes"))
        attach(job.vault, job.source.arrays)
        _check_attached(job)
        sign(job.vault, root, checked_json(card, "card"))
        _put_in_place(job, overwrite=overwrite)
    return ConversionReport(
        path=job.dst,
        format=job.order.form,
        dataset_id=job.origin.dataset_id,
        num_steps=tally.num_steps,
        num_episodes=tally.num_episodes,
        sha256=tally.leaves,
        notes=notes,
        skipped=job.skipped,
    )


def _nan_returns(share: ShareReader) -> int:
    """Counts the episodes whose return is NaN, or one of whose returns is."""
    returns = share.table.columns.get("return")
    return 0 if returns is None else int(np.isnan(returns).any(axis=tuple(range(1, returns.ndim))).sum())


def _tally(job: Job) -> Tally:
    tallying = Tallying()
    try:
        for number in range(job.num_shares):
            tally_share(job, number, tallying)
        return tallying.result()
    finally:
        tallying.close()


def _check_attached(job: Job) -> None:
    def bits(array: NpArray | None) -> object:
        return None if array is None else (array.dtype, array.shape, array.tobytes())

    found = attached(job.vault)
    for name, array in job.source.arrays.items():
        if bits(found.get(name)) != bits(array):
            raise CorruptionError(
                f"The vault is not what the source is: attached array `{name}`. Disk or memory fail, or this "
                "is a bug to report."
            )


def _put_in_place(job: Job, *, overwrite: bool) -> None:
    check_free(job.dst, overwrite=overwrite)
    ready = job.folder.with_name(READY)
    job.vault.rename(ready)  # from here on no share of this job is taken for whole
    if job.dst.exists():
        exchange(job.dst, ready)
    else:
        ready.rename(job.dst)
    sync_directory(job.dst.parent)
    shutil.rmtree(job.folder.parent, ignore_errors=True)
