"""The flusher: turns a buffer's state or a block of steps into commits, in order, waiting or not.

It plans on what will be committed when everything before it is: where the next step goes, which episodes
run, what the buffer's count was. Rows are copied out of the state before it returns, so that the state may
be donated; the disk is waited for in one background thread, in the order of the calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import history
from .dtypes import NpArray
from .episodes import Ends, Rows, join_rows
from .following import Follower
from .handle import Handle
from .reader import Piece, Snapshot
from .record import Record
from .roles import next_leaves, read_flags
from .root import Gap, Mark, Running
from .running import advance, cut, stops_of
from .schema import Schema
from .spans import Spans
from .states import Held, Taker
from .tail import State
from .worker import Job, Worker
from .writer import Writer


@dataclass(frozen=True)
class Place:
    """Where a flushed buffer stands.

    Attributes:
      held: its state, made plain.
      at: its count, and the row after its last step.
      spans: where the steps that it holds lie, as far as the vault has them.
    """

    held: Held
    at: Mark
    spans: Spans


class Flusher:
    """Commits flushes in order.

    Args:
      writer: of the vault.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.plan: State = writer.state
        self._queue = Worker("strongbax-flush")
        self._pending: list[Job[None]] = []
        self._taker = Taker(writer.schema)
        self._follower = Follower(writer.schema, lambda: self.snapshot(None))
        self._leaving = False  # no commit is taken any more

    @property
    def schema(self) -> Schema:
        """Of the vault."""
        return self._writer.schema

    # -- planning

    def write(self, state: Any, *, on_gap: str, continues: bool | None, wait: bool) -> Handle:
        """Flushes what is new of a buffer's state; see `Vault.write`."""
        return self._write(self._taker.hold(state), on_gap=on_gap, continues=continues, wait=wait)[0]

    def place(self, state: Any, *, on_gap: str, continues: bool | None) -> Place:
        """Flushes what is new of a buffer's state, and tells where all that it holds lies."""
        held = self._taker.hold(state)
        _, news = self._write(held, on_gap=on_gap, continues=continues, wait=True)
        self.drain()  # with nothing new to wait for, earlier flushes may still be on their way
        row = self.plan.length if news.after is None or news.first < news.stop else news.after
        return Place(held, Mark(news.stop, row), self._follower.places(held, news))

    def resume(self, state: Any, at: Mark, spans: Spans) -> None:
        """Takes note that a state was restored: what is written next goes on from there."""
        self.drain()
        self._follower.resume(self._taker.hold(state), at, spans, self.plan.added)

    def _write(
        self, held: Held, *, on_gap: str, continues: bool | None, wait: bool
    ) -> tuple[Handle, history.News]:
        self._catch_up()
        news = self._follower.news(held, self.plan, continues)
        if news.lost and on_gap == "error":
            raise history.refuse_gap(news.lost, held.ring.capacity, held.streams)
        steps = news.stop - news.first
        if steps == 0:
            return Handle(0), news
        copy = not wait or bool(self._pending)
        leaves = {
            leaf.name: held.rows(n, news.first, news.stop, copy=copy)
            for n, leaf in enumerate(self.schema.leaves)
        }
        length = self.plan.length
        gaps = (Gap(length, news.lost),) if length and (news.lost or news.after != length) else ()
        mark = Mark(news.stop, length + steps)
        flush = self._flush(leaves, None, mark, gaps, cut_running=bool(gaps))
        job = self._submit(flush, wait=wait)
        self._follower.wrote(held, news, length, leaves)
        return Handle(steps, job), news

    def write_slots(self, state: Any, low: int, high: int) -> int:
        """Commits slots of a ring, in their order; where they follow the last flush the ring goes on."""
        self._catch_up()
        held, added, start = self._taker.hold(state), self.plan.added, self.plan.length
        ring = held.ring if added is None else held.ring.aligned(added.count)
        for first, stop in history.runs_of(ring, low, high):
            added, length = self.plan.added, self.plan.length
            leaves = {leaf.name: held.rows(n, first, stop) for n, leaf in enumerate(self.schema.leaves)}
            mark, gaps = Mark(stop, length + stop - first), (Gap(length, 0),) if length > start else ()
            follows = added is None or added.count == first
            flush = self._flush(leaves, None, mark if follows else added, gaps, cut_running=bool(gaps))
            self._submit(flush, wait=True)
            if follows:
                self._follower.wrote(held, history.News(first, stop), length, leaves)
        return self.plan.length - start

    def extend(self, leaves: Mapping[str, NpArray], ends: Ends | None, *, cut_running: bool = False) -> None:
        """Commits a block of steps, leaves `[1, T, ...]`, and the episodes that end in it."""
        self._catch_up()
        if next(iter(leaves.values())).shape[1] or (ends is not None and len(ends.stop)):
            self._submit(self._flush(leaves, ends, self.plan.added, (), cut_running=cut_running), wait=True)

    def runs_now(self) -> bool:
        """Says whether an episode with a step runs."""
        self._catch_up()
        return bool((self.plan.running.start < self.plan.length).any())

    def _flush(
        self,
        leaves: Mapping[str, NpArray],
        ends: Ends | None,
        added: Mark | None,
        gaps: tuple[Gap, ...],
        *,
        cut_running: bool,
    ) -> Record:
        schema, plan = self.schema, self.plan
        steps = next(iter(leaves.values())).shape[1]
        running, rows = plan.running, list[Rows]()
        if cut_running:
            streams, cuts = cut(running, plan.length)
            if len(streams):
                running, ended = advance(schema, running, plan.length, None, streams, cuts)
                rows.append(self._with_returns(ended, plan.running, streams))
        running, ended = self._advance(running, leaves, ends, steps)
        rows.append(ended)
        ended = join_rows(rows)
        return Record(plan.sequence, plan.length, steps, plan.episodes, leaves, ended, running, added, gaps)

    def _advance(
        self, running: Running, leaves: Mapping[str, NpArray], ends: Ends | None, steps: int
    ) -> tuple[Running, Rows]:
        schema, time = self.schema, self.plan.length
        reward = None if schema.roles.reward is None else leaves[schema.roles.reward]
        if ends is not None:
            streams = np.zeros(len(ends.stop), np.int64)
        elif schema.roles.ends:
            flags = read_flags(schema.roles, leaves, schema.streams, steps)
            streams, ends = stops_of(flags, running, time)
            ends = self._with_finals(ends, streams, leaves)
        else:
            nothing = np.zeros(0, np.int64)
            streams, ends = (
                nothing,
                Ends(nothing, nothing.astype(bool), nothing.astype(bool)),
            )
        return advance(schema, running, time, reward, streams, ends)

    def _with_finals(self, ends: Ends, streams: NpArray, leaves: Mapping[str, NpArray]) -> Ends:
        """Takes the final rows from the steps' own next observations, where they are stored."""
        schema = self.schema
        pairs = next_leaves(schema.roles, schema.finals, schema.names)
        fit = all(schema.leaf(a).row_form == schema.leaf(b).row_form for a, b in pairs.items())
        if not pairs or not fit or len(ends.stop) == 0:
            return ends
        before = np.maximum(ends.stop - 1, 0)
        final = {name: leaves[other][streams, before] for name, other in pairs.items()}
        return replace(ends, final=final, final_known=ends.stop > 0)

    def _with_returns(self, rows: Rows, running: Running, streams: NpArray) -> Rows:
        """Gives cut episodes the return they had."""
        if self.schema.roles.reward is None:
            return rows
        return replace(rows, columns={**rows.columns, "return": running.total[streams]})

    # -- committing

    def _submit(self, flush: Record, *, wait: bool) -> Job[None] | None:
        if wait and not self._pending:
            self._writer.commit(flush)
            self.plan = self._writer.state
            return None
        job = self._queue.submit(self._writer.commit, flush)
        self._pending.append(job)
        self.plan = State(
            flush.stop,
            self.plan.episodes + len(flush.rows),
            self.plan.sequence + 1,
            flush.running,
            flush.added,
        )
        if wait:
            self.drain()
        return job

    def _catch_up(self) -> None:
        """Forgets commits that are done; one that failed is raised once, and planning begins anew."""
        if self._pending:
            if any(job.done() and job.exception() is not None for job in self._pending):
                self.drain()
            self._pending = [job for job in self._pending if not job.done()]
        if not self._pending:
            self._writer.ready()
            self.plan = self._writer.state

    def drain(self) -> None:
        """Waits for every commit.

        Raises:
          StorageError: the first failure, once; steps of that flush and those after it are not in the vault.
        """
        pending, self._pending = self._pending, []
        errors = [error for job in pending if (error := job.exception()) is not None]
        self._writer.settle()
        self.plan = self._writer.state
        if errors:
            raise errors[0]

    def check(self) -> None:
        """Checks that the vault is this writer's to change, once everything is committed.

        Raises:
          LockedError: if it is another's.
        """
        self.drain()
        self._writer.check()

    def write_card(self, card: Mapping[str, Any]) -> None:
        """Replaces the card."""
        self.drain()
        self._writer.write_card(card)

    def seal(self) -> None:
        """Seals everything committed."""
        self.drain()
        self._writer.seal()

    def snapshot(self, last: Snapshot | None) -> Snapshot:
        """Gives what is committed now; the last snapshot again where nothing changed."""
        self.drain()
        writer = self._writer
        with writer.mutex:
            if last is not None and last.state is writer.state and last.root is writer.root:
                return last
            pieces = [
                Piece(block.row, {name: block.held(name) for name in self.schema.names})
                for block in writer.tail.blocks
            ]
            return Snapshot(writer.path, writer.root, pieces, list(writer.rows), writer.state, writer.gaps)

    def close(self) -> None:
        """Commits and seals everything, and lets go of the vault whatever happens.

        Where an interrupt kept it from letting go, closing again does.
        """
        try:
            if not self._leaving:
                self.drain()
                self._writer.close()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Lets go of the vault without sealing; what is committed stays committed. Twice is harmless."""
        self._leaving = True
        self._queue.stop()
        self._writer.abandon()
