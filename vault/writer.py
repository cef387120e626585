"""The writer: commits flushes to the log, seals full blocks into shards, and recovers after a crash.

```
# flush < a block : append a record to the log, one fdatasync      = the commit
# block full      : (in the background) shards, then episode rows, then the root replaced, old logs dropped
# flush >= a block: shards, episode rows, the root replaced         = the commit; nothing goes to the log
```
What a block's seal writes is committed already, so a crash in it loses nothing: the log is replayed.
"""

import logging
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import log
from .episodes import Rows
from .errors import ConflictError
from .files import TEMPORARY, Lock, make_directories, refused, storage_errors
from .files import replace as replace_file
from .root import FILE, LOCK, Root, document, read_root
from .schema import BLOCK_BYTES
from .seal import Seal, Sealed
from .store import STALE_LOCK
from .tail import Block, State, Tail
from .worker import Job, R, Worker

_WAITING_BLOCKS = 2  # full blocks in memory before a flush waits for the sealer

_IN_USE = 1 << 62  # the stop of a log file that has no record yet

_logger = logging.getLogger(__name__)


class Writer:
    """The one writer of a vault; holds its lock until `close`.

    Args:
      path: folder of the vault.
      lock: held already, when the vault was just made.
    """

    def __init__(self, path: Path, lock: Lock | None = None) -> None:
        self.path = path
        with storage_errors(path, "open for writing"):
            self._lock = lock or _take_lock(path)
        self.mutex = threading.RLock()
        self._sealer = Worker("strongbax-seal")
        self._sealing: Job[None] | None = None
        self._log: log.LogFile | None = None
        try:
            self._recover(new=lock is not None)
        except BaseException:
            self._sealer.stop()
            self._lock.release()
            raise

    def _recover(self, *, new: bool = False) -> None:
        """Takes what is committed from the disk, and removes what a crash or a failure left there.

        In a vault that was made this moment there is nothing to remove.
        """
        root = read_root(self.path)
        self.root, self.schema = root, root.schema
        self.state = State(root.length, root.episodes, root.sequence, root.running, root.added)
        self.gaps = root.gaps
        self.tail = Tail(root.schema, root.length)
        self.rows: list[Rows] = []  # episodes that no shard holds yet
        self._episodes = root.episodes  # those in shards and in `rows`
        self._log_stops: dict[int, int] = {}
        self._seal = Seal(self.path, root.schema)
        self._room = min(root.schema.block * root.schema.step_bytes, BLOCK_BYTES)  # of a log file
        directory = self.path / log.DIRECTORY
        replayed = log.replay(directory, root)
        for record, number in replayed.records:
            self._accept(record)
            self._log_stops[number] = record.stop
        self._next_log = root.log
        if not new:
            with storage_errors(self.path, "recover"):
                make_directories(directory)  # an empty folder is lost by git and by archives
                replayed.keep(directory)
                self._next_log = replayed.tidy(directory)
                self._sweep(root)
        self._sure = True

    def _sweep(self, root: Root) -> None:
        for array in root.arrays():
            for pattern in (STALE_LOCK, f"*{TEMPORARY}"):
                for stale in (self.path / array.path).glob(pattern):
                    stale.unlink(missing_ok=True)

    @contextmanager
    def _changing(self) -> Generator[None]:
        """Guards a change: if it does not get to its end, `settle` looks at the disk before the next.

        So an interrupt at any moment (Ctrl-C in `fdatasync`), a write that failed half way and a rename whose
        sync failed all end alike: what the disk holds is what is committed.
        """
        self.settle()
        self._sure = False
        yield
        self._sure = True

    def settle(self) -> None:
        """Makes sure that memory says what the disk holds."""
        if self._sure:
            return
        self._sealer.drain()
        self.wait()
        with self.mutex:
            if self._log is not None:
                with storage_errors(self.path, "recover"):
                    self._log.restore()
                self._log = None
            self._recover()

    # -- committing

    def commit(self, flush: log.Record) -> None:
        """Makes a flush durable, whole or not at all.

        Raises:
          StorageError: if the disk refuses; the vault is then as it was.
        """
        self.settle()
        self._sure = False  # as in `_changing`
        self._commit(flush)
        self._sure = True

    def _commit(self, flush: log.Record) -> None:
        if flush.row != self.state.length:
            raise ConflictError(
                f"A flush from step {flush.row} on cannot follow step {self.state.length}: one before it "
                "failed. Its error says why; write the state again."
            )
        if flush.steps >= self.schema.block:
            self._commit_to_shards(flush)
            return
        parts = log.encode(flush, self.schema)
        try:
            log_file = self._log or self._open_log()
            log_file.append(parts)
        except OSError as error:
            raise refused(error, self.path, "flush to") from error
        with self.mutex:
            self._log_stops[log_file.number] = flush.stop
            waiting = self.tail.waiting
            self._accept(flush)
            full = self.tail.waiting
        if full > waiting:
            self._rotate()
        if full:
            self._seal_in_background(full)

    def _accept(self, record: log.Record) -> None:
        """Takes a durable record into memory; what is sealed of it is passed over."""
        after = State(
            record.stop,
            record.episode + len(record.rows),
            record.sequence + 1,
            record.running,
            record.added,
        )
        known, count = self._episodes - record.episode, len(record.rows)
        if known < count:
            self.rows.append(record.rows.part(known, count) if known else record.rows)
            self._episodes = record.episode + count
        self.tail.put(record.leaves, max(0, self.tail.stop - record.row), record.steps, after)
        self.gaps += tuple(gap for gap in record.gaps if gap not in self.gaps)
        if after.sequence >= self.state.sequence:
            self.state = after

    def _commit_to_shards(self, flush: log.Record) -> None:
        self._seal_all()
        self._rotate()
        with self.mutex:
            state, size = self.state, self.schema.block
            after = State(
                state.length + flush.steps,
                state.episodes + len(flush.rows),
                state.sequence + 1,
                flush.running,
                flush.added,
            )
            gaps, rows = self.gaps + flush.gaps, [*self.rows, flush.rows]
        edge = min(flush.steps, -state.length % size)
        spans = [(0, edge), (edge, flush.steps)] if edge else [(0, flush.steps)]
        blocks = [
            Block(
                state.length + start,
                state.length + stop,
                stop - start,
                {name: values[:, start:stop] for name, values in flush.leaves.items()},
            )
            for start, stop in spans
            if stop > start
        ]
        sealed = Sealed(blocks, rows, after.length, after, gaps, self._next_log)
        with storage_errors(self.path, "flush to"):
            root = self._in_sealer(self._seal.publish, self.root, sealed)
        with self.mutex:
            self.root, self.state, self.gaps, self.rows = root, after, gaps, []
            self._episodes = after.episodes
            self.tail.skip(after.length)
        self._drop_logs()

    # -- sealing

    def _seal_in_background(self, waiting: int) -> None:
        if self._sealing is not None and self._sealing.done():
            self._report(self._sealing)
            self._sealing = None
        if self._sealing is None:
            self._sealing = self._sealer.submit(self._seal_full_blocks)
        if waiting > _WAITING_BLOCKS:
            self._sealing.exception()
            self._report(self._sealing)
            self._sealing = self._sealer.submit(self._seal_full_blocks)

    def _report(self, sealing: Job[None]) -> None:
        error = sealing.exception()
        if error is not None:
            _logger.warning("Sealing %s failed and is tried again: %s", self.path, error)

    def _seal_full_blocks(self) -> None:
        with self.mutex:
            blocks = self.tail.full_blocks()
        if blocks:
            self._seal_blocks(blocks)

    def seal(self) -> None:
        """Seals everything that is committed; the log is empty then.

        Raises:
          StorageError: if the disk refuses; the log still holds what is committed.
        """
        with self._changing():
            self._seal_all()

    def _seal_all(self) -> None:
        self.wait()
        with self.mutex:
            blocks, rows = list(self.tail.blocks), bool(self.rows)
        if blocks or rows or self.state.sequence != self.root.sequence:
            self._rotate()
            self._in_sealer(self._seal_blocks, blocks)

    def _in_sealer(self, work: Callable[..., R], *arguments: Any) -> R:
        """Runs work in the sealer's thread, after all that it has to do, and waits.

        An interrupt ends the waiting only: writes that it left half done would go on beside those of a
        recovery.
        """
        return self._sealer.submit(work, *arguments).result()

    def wait(self) -> None:
        """Waits for the sealer."""
        if self._sealing is not None:
            self._sealing.exception()
            self._report(self._sealing)
            self._sealing = None

    def _seal_blocks(self, blocks: list[Block]) -> None:
        with self.mutex:
            last = blocks[-1] if blocks else None
            stop = last.row + last.fill if last else self.state.length
            after = self.state if last is None or stop == self.state.length else last.after
            assert after is not None
            count = sum(int(np.searchsorted(part.stops(), stop, side="right")) for part in self.rows)
            rows, _ = _split_rows(self.rows, count)
            first = min((n for n, end in self._log_stops.items() if end > stop), default=self._next_log)
            gaps = tuple(gap for gap in self.gaps if gap.time <= stop)
        with storage_errors(self.path, "seal"):
            root = self._seal.publish(self.root, Sealed(blocks, rows, stop, after, gaps, first))
        with self.mutex:
            self.root = root
            self.tail.drop(blocks)
            _, self.rows = _split_rows(self.rows, count)
        self._drop_logs()

    def write_card(self, card: Mapping[str, Any]) -> None:
        """Replaces the card, durably."""
        with self._changing():
            self.wait()
            root = replace(self.root, card=dict(card))
            with storage_errors(self.path, "write the card of"):
                replace_file(self.path / FILE, root.encode())
            with self.mutex:
                self.root = root

    # -- the log's files

    def _open_log(self) -> log.LogFile:
        if self._log is None:
            opened = log.LogFile(self.path / log.DIRECTORY, self._next_log, self._room)
            with self.mutex:
                self._log, self._next_log = opened, self._next_log + 1
                self._log_stops[opened.number] = _IN_USE
        return self._log

    def _rotate(self) -> None:
        with self.mutex:
            if self._log is not None:
                self._log.close()
                if self._log_stops[self._log.number] == _IN_USE:
                    self._log_stops[self._log.number] = self.state.length
                self._log = None

    def _drop_logs(self) -> None:
        """Removes the log files that the root no longer needs; one that stays by accident means nothing."""
        with self.mutex:
            first = self.root.log
            self._log_stops = {number: stop for number, stop in self._log_stops.items() if number >= first}
        directory = self.path / log.DIRECTORY
        for number in log.file_numbers(directory):
            if number < first:
                try:
                    (directory / log.file_name(number)).unlink(missing_ok=True)
                except OSError as error:
                    _logger.warning(
                        "Log file %d of %s is no longer needed, but stays: %s", number, self.path, error
                    )

    # -- closing

    def close(self) -> None:
        """Seals the rest and drops the log: the vault is a plain Zarr group then."""
        self.seal()
        with storage_errors(self.path, "close"):
            self._write_array_documents()

    def abandon(self) -> None:
        """Lets go of the vault; everything committed is in the log or in shards. Twice is harmless."""
        self._rotate()
        self._sealer.stop()
        self._lock.release()

    def _write_array_documents(self) -> None:
        """Gives every array's own `zarr.json` its length, for readers that know no consolidated metadata."""
        for array in self.root.arrays():
            path, data = self.path / array.path / FILE, document(array.to_dict())
            if not path.exists() or path.read_bytes() != data:
                replace_file(path, data)


def _take_lock(path: Path) -> Lock:
    read_root(path)
    return Lock(path / LOCK)


def _split_rows(parts: list[Rows], count: int) -> tuple[list[Rows], list[Rows]]:
    """Parts the first `count` rows from the rest."""
    for place, part in enumerate(parts):
        if count < len(part):
            before = [*parts[:place], part.part(0, count)] if count else parts[:place]
            return before, [part.part(count, len(part)), *parts[place + 1 :]]
        count -= len(part)
    return list(parts), []
