"""Which steps of a ring are new to the vault.

A ring counts the steps ever added to it; step `t` lies in slot `t % T`. The vault knows the count at its
last flush. What the ring added since is new; what it overwrote since is lost; and whether the ring goes on
with what the vault holds is decided by comparing the steps that both hold.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from .errors import ConflictError, GapError


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
        low, high = first % self.capacity, first % self.capacity + stop - first
        if stop <= first:
            return []
        if high <= self.capacity:
            return [(low, high)]
        return [(low, self.capacity), (0, high - self.capacity)]


@dataclass(frozen=True)
class News:
    """What to flush.

    Attributes:
      first: count of the first new step.
      stop: count after the last.
      lost: steps between the vault's end and `first` that the ring overwrote.
      fresh: whether another history begins, so that no episode runs on.
    """

    first: int
    stop: int
    lost: int = 0
    fresh: bool = False


def news(ring: Ring, since: int) -> News:
    """Gives what a ring added since the count `since`."""
    ring = ring.aligned(since)
    oldest = ring.count - ring.held
    return News(max(since, oldest), ring.count, max(0, oldest - since))


def shared(ring: Ring, since: int, length: int) -> tuple[int, int]:
    """Gives the steps, by count, that the ring holds and a vault of `length` steps may hold too."""
    ring = ring.aligned(since)
    return max(since - length, ring.count - ring.held, 0), min(since, ring.count)


def everything(ring: Ring, *, fresh: bool) -> News:
    """Gives all that a ring holds."""
    return News(ring.count - ring.held, ring.count, 0, fresh)


def decide(
    ring: Ring,
    length: int,
    known: Iterable[int],
    same: Callable[[int, int], bool],
    continues: bool | None,
) -> News:
    """Decides what of a ring is new to a vault that it was not flushed to since the vault was opened.

    Args:
      ring: that is to be flushed.
      length: steps a stream that the vault holds.
      known: counts that the ring may have had at the vault's end, the likeliest first.
      same: tells whether the ring's steps `[first, stop)`, by count, are those before the vault's end.
      continues: the user's answer, or None to find out.

    Raises:
      ConflictError: if ring and vault share no step that could be compared.
    """
    if length == 0:
        return everything(ring, fresh=False)
    if continues is False:
        return everything(ring, fresh=True)
    reachable = [count for count in dict.fromkeys(known) if count <= ring.aligned(count).count]
    compared = False
    for count in reachable:
        first, stop = shared(ring, count, length)
        if first < stop == count:
            compared = True
            if same(first, stop):
                return news(ring, count)
    if continues:
        return news(ring, _only(reachable, ring))
    if not compared and reachable and ring.held:
        raise ConflictError(
            f"The ring holds steps {ring.count - ring.held} to {ring.count} of a stream, the vault ends at "
            f"step {reachable[0]}: they share no step, so nothing tells whether the ring goes on from there. "
            "Say `write(state, continues=True)` if it does, `continues=False` if it is another buffer."
        )
    return everything(ring, fresh=ring.held > 0)


def _only(reachable: list[int], ring: Ring) -> int:
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
