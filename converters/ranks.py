"""Ranks: one conversion by processes that somebody else starts, on SLURM or by hand, each knowing its number.

```
# strongbax convert SRC DST --rank 0 --world-size 3     writes shares 0, 3, 6, ...
# strongbax convert SRC DST --rank 1 --world-size 3     writes shares 1, 4, 7, ...
# strongbax convert SRC DST --rank 2 --world-size 3     writes shares 2, 5, 8, ...
# strongbax convert SRC DST                             afterwards: puts the vault in its place
```
Ranks share a folder and nothing else: they wait for nobody, come in any order, and may be started again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .aside import check_free
from .job import SHARE_BYTES, Job, open_job, order_of
from .order import Order, newest, save, work_of
from .pipeline import Progress
from .share import write_share
from .source import ReadAgain


@dataclass(frozen=True)
class RankReport:
    """What a rank did.

    Attributes:
      rank: its number.
      world_size: how many ranks there are.
      shares: that are whole, of its own.
      num_shares: of all ranks.
      missing: shares of all ranks that were not whole when it ended.
    """

    rank: int
    world_size: int
    shares: int
    num_shares: int
    missing: int


def convert_rank(
    src: str | Path,
    dst: str | Path,
    format: str | None = None,  # noqa: A002 - what users call it
    *,
    rank: int,
    world_size: int,
    progress: Progress | None = None,
    overwrite: bool = False,
    skip_bad: bool = False,
    share_bytes: int = SHARE_BYTES,
    **options: Any,
) -> RankReport:
    """Writes one rank's shares of a conversion; `convert`, given the same, puts the vault in its place.

    All ranks must be given the same, and reach source and target by the same paths. What is whole is not made
    again; what no rank made, `convert` makes.

    Args:
      src: the file or folder.
      dst: where the vault is to be.
      format: the source's format; None recognises it.
      rank: number of this process, from 0 on.
      world_size: how many there are.
      progress: called as `progress(done, total)`, in steps of this rank; every step counts twice.
      overwrite: whether a vault may stand at `dst`; it is not touched.
      skip_bad: as for `convert`.
      share_bytes: as for `convert`.
      **options: of the format.

    Returns:
      What was done.

    Raises:
      ValueError: if there is no such rank, or an option does not fit.
      NotFoundError, AlreadyExistsError, FormatError, CorruptionError, StorageError: as for `convert`.

    Example:
      >>> import h5py, numpy as np
      >>> from strongbax.converters import convert
      >>> with h5py.File("small.hdf5", "w") as file:
      ...     for key in ("observations", "actions", "rewards", "terminals", "timeouts"):
      ...         file[key] = np.zeros(4)
      >>> convert_rank("small.hdf5", "small.vault", rank=0, world_size=2).shares
      1
      >>> convert_rank("small.hdf5", "small.vault", rank=1, world_size=2).missing
      0
      >>> convert("small.hdf5", "small.vault").num_steps
      4
    """
    if world_size < 1 or not 0 <= rank < world_size:
        raise ValueError(f"`rank` must be from 0 to `world_size` - 1: got {rank} of {world_size}.")
    src, dst = Path(src).expanduser(), Path(dst).expanduser()
    check_free(dst, overwrite=overwrite)
    order = order_of(src, dst, format, options, skip_bad=skip_bad, share_bytes=share_bytes)
    while True:
        try:
            job = open_job(order, src, dst)
            mine = range(rank, job.num_shares, world_size)
            for number in mine:
                _write(job, number, mine, progress)
        except ReadAgain as again:  # found by this rank or by another
            order = newest(order, save(order.again(again), work_of(dst)).parent)
        else:
            return RankReport(rank, world_size, len(mine), job.num_shares, len(job.missing()))


def _write(job: Job, number: int, mine: range, progress: Progress | None) -> None:
    after = newest(job.order, job.folder.parent)
    if after.notes != job.order.notes:
        raise _learnt(job.order, after)
    sizes = {one: job.span(one).stop - job.span(one).start for one in mine}
    before, total = 2 * sum(sizes[one] for one in mine if one < number), 2 * sum(sizes.values())

    def told(done: int) -> None:
        if progress is not None:
            progress(before + done, total)

    write_share(job, number, told)
    told(2 * sizes[number])


def _learnt(before: Order, after: Order) -> ReadAgain:
    """Returns what another rank found out, as if this one had."""
    found = {name: value for name, value in after.options.items() if before.options.get(name) != value}
    return ReadAgain(after.notes[len(before.notes)], **found)
