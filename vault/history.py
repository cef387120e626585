"""Which steps of a ring are new to the vault.

A ring counts the steps ever added to it; step `t` lies in slot `t % T`. The vault knows the count at its
last flush. What the ring added since is new; what it overwrote since is lost; and whether the ring goes on
with what the vault holds is decided by comparing the steps that both hold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .errors import ConflictError, GapError
from .root import Mark


@dataclass(frozen=True)
class Ring:
    """What is known of a ring's past.

    Attributes:
      capacity: `T`, slots a stream.
      index: slot of the next step.
      held: steps a stream that it holds.
      added: steps a stream ever added, or None where the state does not say.
    """

    capacity: int
    index: int
    held: int
    added: int | None

    @property
    def count(self) -> int:
        """Steps ever added: as counted, else as few as the ring's content allows."""
        if self.added is not None:
            return self.added
        return self.capacity + self.index if self.held == self.capacity else self.index

    def aligned(self, since: int) -> "Ring":
        """Gives the ring as it is if it counted `since` steps at the vault's end.

        A full ring that does not count may have gone round any number of times; the fewest are assumed.
        """
        if self.added is not None or self.held < self.capacity:
            return self
        return replace(self, added=since + (self.index - since) % self.capacity)

    def slots(self, first: int, stop: int) -> list[tuple[int, int]]:
        """Gives the slots of steps `[first, stop)`, by count, as at most two runs."""
        if stop <= first:
            return []
        low, high = first % self.capacity, first % self.capacity + stop - first
        if high <= self.capacity:
            return [(low, high)]
        return [(low, self.capacity), (0, high - self.capacity)]


@dataclass(frozen=True)
class News:
    """What to flush.

    Attributes:
      first: count of the first new step.
      stop: count after the last.
      lost: steps before `first` that the ring overwrote unseen.
      after: time in the vault that the new steps (and the lost ones before them) follow, or None where
        another history begins.
    """

    first: int
    stop: int
    lost: int = 0
    after: int | None = None


def news(ring: Ring, mark: Mark) -> News:
    """Gives what a ring added since a mark."""
    since = mark.count
    ring = ring.aligned(since)
    oldest = ring.count - ring.held
    return News(max(since, oldest), ring.count, max(0, oldest - since), mark.row)


def shared(ring: Ring, mark: Mark) -> tuple[int, int]:
    """Gives the steps, by count, that the ring holds and the vault may hold before the mark."""
    ring = ring.aligned(mark.count)
    return max(mark.count - mark.row, ring.count - ring.held, 0), min(mark.count, ring.count)


def runs_of(ring: Ring, low: int, high: int) -> list[tuple[int, int]]:
    """Gives slots `[low, high)`, `high < low` going round, as steps by count.

    They are one run, or two where the oldest step comes after the newest. Where some were never written
    they are counted by their slots.

    Raises:
      ValueError: if they are no slots of the ring.
    """
    if not 0 <= low <= ring.capacity or not 0 <= high <= ring.capacity:
        raise ValueError(
            f"`source_interval` must lie within the {ring.capacity} slots of the state: got {(low, high)}."
        )
    steps = high - low if low <= high else high - low + ring.capacity
    oldest = ring.count - ring.held
    first = oldest + (low - oldest) % ring.capacity
    if not steps:
        return []
    if first + steps <= ring.count:
        return [(first, first + steps)]
    if ring.held < ring.capacity:
        return [(low, low + steps)]
    return [(first, ring.count), (oldest, oldest + first + steps - ring.count)]


def everything(ring: Ring) -> News:
    """Gives all that a ring holds, as a history of its own."""
    return News(ring.count - ring.held, ring.count)


def decide(
    ring: Ring,
    marks: Sequence[Mark],
    same: Callable[[int, int, Mark], bool],
    continues: bool | None,
) -> News:
    """Decides what of a ring is new to a vault that it was not flushed to since the vault was opened.

    Args:
      ring: that is to be flushed.
      marks: where the ring may have stood when the vault was written, the likeliest first; none in an
        empty vault.
      same: tells whether the ring's steps `[first, stop)`, by count, are those before a mark.
      continues: the user's answer, or None to find out.

    Raises:
      ConflictError: if ring and vault share no step that could be compared.
    """
    if not marks or continues is False:
        return everything(ring)
    reachable = [mark for mark in marks if mark.count <= ring.aligned(mark.count).count]
    unknown = list[Mark]()
    for mark in reachable:
        first, stop = shared(ring, mark)
        if not first < stop == mark.count:
            unknown.append(mark)
        elif same(first, stop, mark):
            return news(ring, mark)
    if continues:
        return news(ring, _only(reachable, ring))
    if ring.held and marks[0] in unknown:
        raise ConflictError(
            f"The ring holds steps {ring.count - ring.held} to {ring.count} of a stream and the vault ends "
            f"at step {marks[0].count}: they share no step, so nothing tells whether the ring goes on from "
            "there. "
            "Say `write(state, continues=True)` if it does, `continues=False` if it is another buffer."
        )
    return everything(ring)


def _only(reachable: list[Mark], ring: Ring) -> Mark:
    if not reachable:
        raise ConflictError(
            f"`continues=True`, but the ring counts {ring.count} steps, fewer than the vault holds of it. "
            "Say `continues=False` if it is another buffer."
        )
    return reachable[0]


def refuse_gap(lost: int, capacity: int, streams: int) -> GapError:
    """Gives the error for steps that were overwritten before they were flushed."""
    return GapError(
        f"{lost} steps of each of {streams} streams were overwritten before they were flushed; nothing was "
        f"written. Flush at least every {capacity} steps, or pass on_gap='record' to note the gap and go on."
    )
