"""Where in the vault the steps of a ring lie.

A ring counts its steps, the vault its rows. Mostly they go side by side, so one span says it all; where rows
of another history came between, or a run went on from an earlier point, there are several.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Consecutive steps of a ring in consecutive rows of the vault.

    Attributes:
      count: number of the first step, by the ring's count.
      row: of the first step in the vault.
      steps: how many, a stream.
    """

    count: int
    row: int
    steps: int

    @property
    def stop(self) -> int:
        """The count after the last step."""
        return self.count + self.steps

    def part(self, first: int, stop: int) -> "Span":
        """Gives what lies in `[first, stop)`, by count; perhaps nothing."""
        first, stop = max(first, self.count), min(stop, self.stop)
        return Span(first, self.row + first - self.count, max(0, stop - first))


Spans = tuple[Span, ...]  # ascending by count, none empty


def part(spans: Iterable[Span], first: int, stop: int) -> Spans:
    """Gives what lies in `[first, stop)`, by count.

    Example:
      >>> part((Span(0, 0, 4), Span(4, 9, 4)), 2, 6)
      (Span(count=2, row=2, steps=2), Span(count=4, row=9, steps=2))
    """
    parts = (span.part(first, stop) for span in spans)
    return tuple(one for one in parts if one.steps)


def until(spans: Spans, count: int, row: int) -> Spans:
    """Gives the spans up to a place where ring and vault are known to stand; none if they do not lead there.

    Example:
      >>> until((Span(0, 0, 9),), 4, 4), until((Span(0, 0, 9),), 4, 7)
      ((Span(count=0, row=0, steps=4),), ())
    """
    if _leads(spans, count, row):  # nearly always, so it is quick
        return spans
    spans = part(spans, 0, count)
    return spans if _leads(spans, count, row) else ()


def _leads(spans: Spans, count: int, row: int) -> bool:
    if not spans:
        return False
    last = spans[-1]
    return last.count + last.steps == count and last.row + last.steps == row


def extended(spans: Spans, more: Span) -> Spans:
    """Gives the spans with one more behind them.

    Example:
      >>> extended((Span(0, 0, 4),), Span(4, 4, 2))
      (Span(count=0, row=0, steps=6),)
    """
    if not more.steps:
        return spans
    if _leads(spans, more.count, more.row):
        last = spans[-1]
        return (*spans[:-1], Span(last.count, last.row, last.steps + more.steps))
    return (*spans, more)


def outside(spans: Spans, first: int, stop: int) -> list[tuple[int, int]]:
    """Gives the runs of `[first, stop)`, by count, that no span holds.

    Example:
      >>> outside((Span(2, 0, 2),), 0, 6)
      [(0, 2), (4, 6)]
    """
    runs: list[tuple[int, int]] = []
    for span in part(spans, first, stop):
        runs.append((first, span.count))
        first = span.stop
    return [(low, high) for low, high in [*runs, (first, stop)] if low < high]
