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
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ConflictError
from .files import Lock, storage_errors
from .journal import FileJournal, Journal
from .location import Location
from .object_journal import ObjectJournal
from .record import Record
from .seal import Seal, Sealed, blocks_of, split_rows
from .tail import Block, State, Tail
from .worker import Job, R, Worker

if TYPE_CHECKING:
    from .episodes import Rows

_WAITING_BLOCKS = 2  # full blocks in memory before a flush waits for the sealer

_logger = logging.getLogger(__name__)


class Writer:
    """The one writer of a vault; holds its lock until `close`.

    Args:
      path: folder of the vault.
      lock: held already, when the vault was just made.
    """

    def __init__(self, path: Location, lock: Lock | None = None) -> None:
        self.path = path
        with storage_errors(path, "open for writing"):
            local = isinstance(path, Path)
            self._journal: Journal = FileJournal(path, lock) if local else ObjectJournal(path)
        self.mutex = threading.RLock()
        self._sealer = Worker("strongbax-seal")
        self._sealing: Job[None] | None = None
        try:
            self._recover(new=lock is not None)
        except BaseException:
            self._sealer.stop()
            self._journal.release()
            raise

    def _recover(self, *, new: bool = False) -> None:
        """Takes what is committed from the disk, and removes what a crash or a failure left there.

        In a vault that was made this moment there is nothing to remove.
        """
        root, records = self._journal.read()
        self.root, self.schema = root, root.schema
        self.state = State(root.length, root.episodes, root.sequence, root.running, root.added)
        self.gaps = root.gaps
        self.tail = Tail(root.schema, root.length)
        self.rows: list[Rows] = []  # episodes that no shard holds yet
        self._episodes = root.episodes  # those in shards and in `rows`
        self._seal = Seal(self.path, root.schema, self._journal.replace_root)
        for record in records:
            self._accept(record)
        if not new:
            self._journal.tidy(root)
        self._sure = True

    @contextmanager
    def _changing(self) -> Generator[None]:
        """Guards a change: if it does not get to its end, `settle` looks at the disk before the next.

        So an interrupt at any moment (Ctrl-C in `fdatasync`), a write that failed half way and a rename whose
        sync failed all end alike: what the disk holds is what is committed.
        """
        self.ready()
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
            self._journal.restore()
            self._recover()

    def ready(self) -> None:
        """Makes sure of that, and that the vault is this writer's to change.

        Raises:
          LockedError: if it is another's.
        """
        self.settle()
        if not self._journal.claimed:
            self._sure = False  # whatever happens, the disk is looked at again
            with self.mutex:
                self._journal.claim(self.state)
                self._recover()

    def check(self) -> None:
        """Checks that the vault is this writer's to change.

        Raises:
          LockedError: if it is another's.
        """
        self.ready()
        self._journal.check()

    # -- committing

    def commit(self, flush: Record) -> None:
        """Makes a flush durable, whole or not at all.

        Raises:
          StorageError: if the disk refuses; the vault is then as it was.
        """
        self.settle()
        self._sure = False  # as in `_changing`
        self._commit(flush)
        self._sure = True

    def _commit(self, flush: Record) -> None:
        if flush.row != self.state.length:
            raise ConflictError(
                f"A flush from step {flush.row} on cannot follow step {self.state.length}: one before it "
                "failed. Its error says why; write the state again."
            )
        if flush.steps >= self.schema.block and not self._journal.holds_blocks:
            self._commit_to_shards(flush)
            return
        self._journal.append(flush)
        with self.mutex:
            waiting = self.tail.waiting
            self._accept(flush)
            full = self.tail.waiting
        if full > waiting:
            self._journal.rotate(self.state.length)
        if full:
            self._seal_in_background(full)

    def _accept(self, record: Record) -> None:
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

    def _commit_to_shards(self, flush: Record) -> None:
        self._seal_all()
        self._journal.rotate(self.state.length)
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
        blocks = blocks_of(flush.leaves, state.length, flush.steps, size)
        sealed = Sealed(
            blocks, rows, after.length, after, gaps, self._journal.first_beyond(after.length, after.sequence)
        )
        with storage_errors(self.path, "flush to"):
            root = self._in_sealer(self._seal.publish, self.root, sealed)
        with self.mutex:
            self.root, self.state, self.gaps, self.rows = root, after, gaps, []
            self._episodes = after.episodes
            self.tail.skip(after.length)
        self._journal.drop(self.root.log)

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
            self._journal.rotate(self.state.length)
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
            rows, _ = split_rows(self.rows, count)
            first = self._journal.first_beyond(stop, after.sequence)
            gaps = tuple(gap for gap in self.gaps if gap.time <= stop)
        with storage_errors(self.path, "seal"):
            root = self._seal.publish(self.root, Sealed(blocks, rows, stop, after, gaps, first))
        with self.mutex:
            self.root = root
            self.tail.drop(blocks)
            _, self.rows = split_rows(self.rows, count)
        self._journal.drop(self.root.log)

    def write_card(self, card: Mapping[str, Any]) -> None:
        """Replaces the card, durably."""
        with self._changing():
            self.wait()
            root = replace(self.root, card=dict(card))
            with storage_errors(self.path, "write the card of"):
                self._journal.replace_root(root)
            with self.mutex:
                self.root = root

    # -- closing

    def close(self) -> None:
        """Seals the rest and drops the log: the vault is a plain Zarr group then.

        Where nothing was to be changed yet, nothing is.
        """
        if self._journal.claimed:
            self.seal()
            with storage_errors(self.path, "close"):
                self._journal.write_documents(self.root)

    def abandon(self) -> None:
        """Lets go of the vault; everything committed is in the log or in shards. Twice is harmless."""
        self._journal.rotate(self.state.length)
        self._sealer.stop()
        self._journal.release()
