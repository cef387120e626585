"""The ring that is flushed: what of it is new to the vault, and where its steps lie there.

A ring that was flushed a moment ago is known by its last step. Any other is compared with what the vault
holds. One that was restored goes on from its resume point, though the vault may hold more: steps that a
killed run had flushed later and that the ring now brings again are found to be there already.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from . import history
from .dtypes import NpArray
from .reader import Snapshot
from .root import Mark
from .schema import Schema
from .spans import Span, Spans, extended, part, until
from .states import Held
from .tail import State

_COMPARED_STEPS = 1 << 16  # steps that are compared at a time where a ring meets a vault


@dataclass(frozen=True)
class Resumed:
    """A ring that was restored and has not brought a new step yet.

    Attributes:
      at: where it stands.
      spans: where its steps lie, up to there.
      added: what the vault knew as the last flush then. Once it knows another the ring has gone on.
      last: the ring's last step there, leaf by leaf; None where it held none.
    """

    at: Mark
    spans: Spans
    added: Mark | None
    last: list[bytes] | None


class Follower:
    """Follows one ring through its flushes.

    Args:
      schema: of the vault.
      look: waits for all commits and gives what is committed.
    """

    def __init__(self, schema: Schema, look: Callable[[], Snapshot]) -> None:
        self._schema, self._look = schema, look
        self._last: list[bytes] | None = None  # the last step flushed from a buffer, leaf by leaf
        self._resumed: Resumed | None = None
        self.spans: Spans = ()

    def news(self, held: Held, plan: State, continues: bool | None) -> history.News:
        """Tells what of a ring is new.

        Args:
          held: the ring.
          plan: what the vault holds when all that is under way is committed.
          continues: the user's answer to whether the ring goes on with the vault, or None.

        Raises:
          ConflictError: if nothing tells whether the ring goes on with the vault.
        """
        resumed = self._resumed
        waits = resumed is not None and resumed.added == plan.added and continues is not False
        if resumed is not None and waits and _goes_on(held, resumed.at.count, resumed.last):
            return self._after(held, resumed, plan.length)
        last, length = plan.added, plan.length
        known = continues is None and last is not None and self._last is not None
        if last is not None and known and _goes_on(held, last.count, self._last):
            return self._known(history.news(held.ring, last))
        self.spans, snapshot = (), self._look()
        # A ring that was loaded from the vault counts the vault's own steps.
        marks = [mark for mark in (last, Mark(length, length)) if mark is not None and length]

        def same(first: int, stop: int, mark: Mark) -> bool:
            row = mark.row - (stop - first)
            equal = self._equal_steps(held, Span(first, row, stop - first), snapshot) == stop - first
            if equal:
                self.spans = (Span(first, row, stop - first),)
            return equal

        return self._known(history.decide(held.ring, marks, same, continues))

    def wrote(self, held: Held, news: history.News, row: int, leaves: Mapping[str, NpArray]) -> None:
        """Takes note of a flush that is planned: new steps from a row of the vault on."""
        spans = extended(self.spans, Span(news.first, row, news.stop - news.first))
        # One span may reach back behind the ring; several must not pile up.
        self.spans = spans if len(spans) == 1 else part(spans, news.stop - held.ring.held, news.stop)
        self._last = [leaves[name][:, -1].tobytes() for name in self._schema.names]

    def places(self, held: Held, news: history.News) -> Spans:
        """Tells where the steps that a ring holds lie, once its news are flushed."""
        return part(self.spans, news.stop - held.ring.held, news.stop)

    def resume(self, held: Held, at: Mark, spans: Spans, added: Mark | None) -> None:
        """Follows a ring that was restored, from where it stood at its resume point."""
        names = range(len(self._schema.names))
        last = [held.step_bytes(n, at.count - 1) for n in names] if held.ring.held else None
        self._resumed, self._last, self.spans = Resumed(at, spans, added, last), None, spans

    def _known(self, news: history.News) -> history.News:
        """Keeps of the spans those that lead to where the new steps go on."""
        since = news.first - news.lost
        self.spans = () if news.after is None else until(self.spans, since, news.after)
        return news

    def _after(self, held: Held, resumed: Resumed, length: int) -> history.News:
        """Tells what is new of a restored ring, after the steps that the vault holds already."""
        at, ring = resumed.at, held.ring.aligned(resumed.at.count)
        oldest = ring.count - ring.held
        if oldest <= at.count < ring.count and at.row < length:
            snapshot = self._look()
            ends = [gap.time for gap in snapshot.gaps if gap.time >= at.row]
            stop = min([*ends, snapshot.state.length, at.row + ring.count - at.count])
            found = self._equal_steps(held, Span(at.count, at.row, stop - at.row), snapshot)
            if found:
                spans = extended(resumed.spans, Span(at.count, at.row, found))
                at = Mark(at.count + found, at.row + found)
                last = [held.step_bytes(n, at.count - 1) for n in range(len(self._schema.names))]
                self._resumed = resumed = replace(resumed, at=at, spans=spans, last=last)
        self.spans = part(resumed.spans, oldest, at.count)
        return history.news(ring, at)

    def _equal_steps(self, held: Held, span: Span, snapshot: Snapshot) -> int:
        """Counts the steps of a ring, from the first on, that are those of the vault."""
        for low in range(0, span.steps, _COMPARED_STEPS):
            high = min(span.steps, low + _COMPARED_STEPS)
            equal = high - low
            for n, name in enumerate(self._schema.names):
                if equal:
                    mine = held.rows(n, span.count + low, span.count + low + equal)
                    equal = _equal(mine, snapshot.read(name, span.row + low, span.row + low + equal))
            if equal < high - low:
                return low + equal
        return span.steps


def _goes_on(held: Held, since: int, last: list[bytes] | None) -> bool:
    """Says whether a ring counts on from a place, and still has the last step before it."""
    ring = held.ring.aligned(since)
    if ring.count < since:
        return False
    if last is None:
        return True
    if since - 1 < ring.count - ring.held:
        return ring.added is not None and held.ring.added is not None
    return all(held.step_bytes(n, since - 1) == one for n, one in enumerate(last))


def _equal(a: NpArray, b: NpArray) -> int:
    """Counts the first steps of `[B, T, ...]` that are equal, byte for byte, so that NaN equals itself."""
    a, b = (np.ascontiguousarray(x).reshape(-1).view(np.uint8).reshape(*x.shape[:2], -1) for x in (a, b))
    if np.array_equal(a, b):
        return a.shape[1]
    return int(np.argmin((a == b).all(axis=(0, 2))))
