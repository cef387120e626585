"""One way from any format into a vault: detect, cut into shares, write and compare each, put in place.

```
# src --read--> blocks --extend--> share --read back--> equal? --noted--> all shares --assemble--> dst
#  '-------------------------------------read again-------'
```
A vault stands at `dst` only once all of it has been read back and found equal to the source. A conversion
that was killed goes on where it was: what it noted is not made again.
"""

import logging
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..vault.errors import ConflictError, CorruptionError, FormatError, LockedError, MissingExtraError
from ..vault.files import Lock, make_directories, storage_errors
from .aside import check_free
from .commit import READY, ConversionReport, commit, tally_share
from .job import SHARE_BYTES, Job, forget, open_job, order_of
from .order import Order, newest, orders, save, work_of
from .share import write_share
from .source import ReadAgain
from .tally import Tallying
from .workers import Workers

Progress = Callable[[int, int], None]
# What writes the missing shares of a job, in whatever order and wherever.
Engine = Callable[[Job, list[int]], None]

# What the same call would meet again: then nothing is kept for it.
_HOPELESS = (FormatError, CorruptionError, ConflictError, MissingExtraError, ValueError, TypeError)

_log = logging.getLogger(__name__)


def convert(
    src: str | Path,
    dst: str | Path,
    format: str | None = None,  # noqa: A002 - what users call it
    *,
    progress: Progress | None = None,
    overwrite: bool = False,
    skip_bad: bool = False,
    workers: int = 1,
    share_bytes: int = SHARE_BYTES,
    engine: Engine | None = None,
    **options: Any,
) -> ConversionReport:
    """Converts a dataset of another format into a vault, and checks that nothing was lost.

    Killed, at whatever moment, it goes on when the same is called again: shares that are whole are not made
    anew. Where the source or what is asked for is another by then, all is.

    Args:
      src: the file or folder.
      dst: where the vault is to be.
      format: the source's format; None recognises it.
      progress: called as `progress(done, total)`, in steps; every step counts twice, once written
        and once checked. Where a source has to be read a second time, `done` starts again.
      overwrite: replace the vault at `dst`, once the new one is complete.
      skip_bad: leave out what cannot be read, and say what that was; the source is read once more for it.
      workers: processes that write shares side by side; 1 writes them here. The vault is the same.
      share_bytes: of the vault, one share, about: what is done at a time, and lost when it is killed.
      engine: writes the shares of a job instead, given the numbers of those that are missing.
      **options: of the format; docs/converters.md lists them.

    Returns:
      What was done. The same stands in the vault's card.

    Raises:
      NotFoundError: if there is no `src`.
      AlreadyExistsError: if something stands at `dst` that is no vault, or is not to be replaced.
      FormatError: if the file is not what its format says; with `skip_bad`, if nothing of it can be read.
      CorruptionError: if the vault, read back, is not what the source was.
      ConflictError: if the source was changed meanwhile.
      LockedError: if another process converts to `dst`.
      StorageError: if the disk refuses, or a worker died; what was done is kept.
      ValueError: if `format` or an option is not known or does not fit. In every case `dst` is as it was.

    Example:
      >>> import h5py, numpy as np
      >>> from strongbax.vault import Vault
      >>> with h5py.File("small.hdf5", "w") as file:
      ...     for key in ("observations", "actions", "rewards"):
      ...         file[key] = np.arange(4.0)
      ...     file["terminals"], file["timeouts"] = np.eye(4)[1], np.zeros(4)
      >>> report = convert("small.hdf5", "small.vault")
      >>> report.num_steps, report.num_episodes
      (4, 2)
      >>> Vault.open("small.vault").card["provenance"]["file"]
      'small.hdf5'
    """
    if workers < 1:
        raise ValueError(f"`workers` must be at least 1: got {workers}.")
    src, dst = Path(src).expanduser(), Path(dst).expanduser()
    check_free(dst, overwrite=overwrite)
    order = order_of(src, dst, format, options, skip_bad=skip_bad, share_bytes=share_bytes)
    with _alone(dst):
        try:
            _keep_only(order, dst)
            check_free(dst, overwrite=overwrite)
            while True:
                try:
                    job = _open(order, src, dst)
                    report = _convert(job, workers, engine, progress or _silence, overwrite=overwrite)
                    return replace(report, path=dst)
                except Exception as error:  # noqa: BLE001 - an engine may wrap what its workers raise
                    order = _otherwise(order, dst, error)
        except BaseException as error:
            if isinstance(error, _HOPELESS) or not any(work_of(dst).glob("*/share-*.json")):
                shutil.rmtree(work_of(dst), ignore_errors=True)
            raise


def _convert(
    job: Job, workers: int, engine: Engine | None, progress: Progress, *, overwrite: bool
) -> ConversionReport:
    missing, total = job.missing(), 2 * job.source.num_steps
    if len(missing) < job.num_shares:
        _log.info("%d of %d shares of %s are there.", job.num_shares - len(missing), job.num_shares, job.dst)
    if engine is not None:
        engine(job, missing)
        return commit(job, overwrite=overwrite)
    before = total - 2 * sum(job.span(number).stop - job.span(number).start for number in missing)
    tallying = Tallying()
    try:
        if workers > 1 and len(missing) > 1:
            _side_by_side(job, missing, workers, tallying, lambda done: progress(before + done, total))
        else:
            _one_by_one(job, missing, tallying, lambda done: progress(before + done, total))
        return commit(job, overwrite=overwrite, tally=tallying.result())
    finally:
        tallying.close()


def _one_by_one(job: Job, missing: list[int], tallying: Tallying, told: Callable[[int], None]) -> None:
    done = 0
    for number in range(job.num_shares):
        if number not in missing:
            tally_share(job, number, tallying)
            continue
        share = write_share(job, number, lambda n, done=done: told(done + n), tallying.add)
        done += 2 * (share.span.stop - share.span.start)


def _side_by_side(
    job: Job, missing: list[int], count: int, tallying: Tallying, told: Callable[[int], None]
) -> None:
    workers = Workers(job, missing, count)
    try:
        for number in range(job.num_shares):
            if number in missing:
                workers.wait_for(number, told)
            tally_share(job, number, tallying)
    finally:
        workers.stop()


def _otherwise(order: Order, dst: Path, error: Exception) -> Order:
    """Returns the order that takes this one's place where the source is to be read otherwise.

    An engine may wrap what its workers raise, or make it anew, so what they noted decides.
    """
    after = newest(order, work_of(dst))
    if after.notes == order.notes:
        raise error
    _log.info("%s", after.notes[-1])
    forget(order, dst)
    return after


def _open(order: Order, src: Path, dst: Path) -> Job:
    try:
        return open_job(order, src, dst)
    except ReadAgain as again:
        save(order.again(again), work_of(dst))
        raise


def _keep_only(order: Order, dst: Path) -> None:
    """Removes what other conversions to the same place left, finishing one that was all but in its place."""
    work = work_of(dst)
    if (work / READY).exists() and not dst.exists():
        (work / READY).rename(dst)
    for folder in [entry for entry in work.iterdir() if entry.is_dir()]:
        # Without its vault, what is noted of an order means nothing: it was put in its place.
        if folder.name != order.name or not (folder / "vault").exists():
            if folder.name != order.name and any(one.name == folder.name for one in orders(work)):
                _log.warning("Another conversion to %s was begun and is given up; all is made anew.", dst)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(dst: Path) -> Generator[None]:
    """Keeps other processes from converting to the same place."""
    work = work_of(dst)
    with storage_errors(dst, "make room for"):
        make_directories(work)
        try:
            lock = Lock(work / "lock")
        except LockedError:
            raise LockedError(
                f"Another process converts to {str(dst)!r}: wait for it, or choose another place."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _silence(done: int, total: int) -> None:
    """Takes progress that nobody asked for."""
