"""Figures: repetitions of a measurement for each contestant, their ratios, and the targets they are held to.

A ratio is taken within a repetition, where both ran side by side; its median over the repetitions is what
the table says.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Series:
    """What one contestant needed.

    Attributes:
      repetitions: values of each repetition; in one repetition every value is of the same work.
    """

    repetitions: Sequence[Sequence[float]]

    @property
    def medians(self) -> np.ndarray:
        """The median of each repetition."""
        return np.array([np.median(values) for values in self.repetitions])

    def quantile(self, q: float) -> float:
        """A quantile of all values."""
        return float(np.quantile(np.concatenate([np.asarray(v, float) for v in self.repetitions]), q))


@dataclass(frozen=True)
class Target:
    """What we hold ourselves to.

    Attributes:
      peer: whom we are compared with; None for the figure itself.
      at_most: our figure over the peer's (or our figure) is to be no more than this.
      faster: the peer's figure over ours is to be no less than this.
    """

    peer: str | None
    at_most: float | None = None
    faster: float | None = None


@dataclass(frozen=True)
class Work:
    """One row family of the table.

    Attributes:
      name: what was done.
      unit: of the values.
      series: by contestant, in the table's order.
      ours: the contestant that is held to the targets.
      targets: what it is held to.
      note: what else the reader should know.
    """

    name: str
    unit: str
    series: Mapping[str, Series]
    ours: str
    targets: tuple[Target, ...] = ()
    note: str = ""

    def ratio(self, peer: str) -> np.ndarray:
        """Our figure over a peer's, in each repetition that both have."""
        mine, theirs = self.series[self.ours].medians, self.series[peer].medians
        count = min(len(mine), len(theirs))
        return mine[:count] / theirs[:count]


def seconds(run: Callable[[], object]) -> float:
    """Times a call."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def in_turns(runs: Mapping[str, Callable[[], float]], rounds: int, seed: int = 0) -> dict[str, list[float]]:
    """Lets every contestant do one piece of work a round, in an order that is shuffled each round."""
    generator, names = np.random.default_rng(seed), list(runs)
    values: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for place in generator.permutation(len(names)):
            values[names[place]].append(runs[names[place]]())
    return values
