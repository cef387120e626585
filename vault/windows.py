"""Which windows episodes have, and the draws of them: as the episode buffer in memory, from lengths alone.

Windows begin at the steps 0, `stride`, 2 `stride` … of an episode. How many there are follows from its
length, so a window's number leads to its episode and first step without a list of windows.

Letters: `E` episodes, `N` batch, `W` window in steps.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np

from . import draws
from .dtypes import NpArray

Short = Literal["drop", "pad", "pad_left", "shift"]


class Weighing(Protocol):
    """Episodes that have a window, each with a weight."""

    def draw(self, key: draws.Key, count: int) -> NpArray:
        """Draws some by their weights, int64 `[N]`."""
        ...


@dataclass(frozen=True)
class Drawn:
    """Windows that were drawn, `[N]`.

    Attributes:
      episode: int64, by its place in the table.
      first: int64, the window's first step in its episode.
      counts: bool, False for what only fills up an epoch's last batch.
    """

    episode: NpArray
    first: NpArray
    counts: NpArray

    def part(self, rows: slice) -> "Drawn":
        """Gives some of them."""
        return Drawn(self.episode[rows], self.first[rows], self.counts[rows])


@dataclass(frozen=True)
class WindowIndex:
    """The windows of episodes.

    Attributes:
      lengths: int64 [E], in steps.
      length: `W`, in steps.
      stride: between starts, in steps.
      short: what becomes of a window that its episode's end cuts short.

    Example:
      >>> index = WindowIndex(np.array([5, 1, 3]), length=3, stride=1, short="drop")
      >>> index.counts, index.nth(np.arange(4))
      (array([3, 0, 1]), (array([0, 0, 0, 2]), array([0, 1, 2, 0])))
    """

    lengths: NpArray
    length: int
    stride: int
    short: Short

    @functools.cached_property
    def counts(self) -> NpArray:
        """How many windows each episode has, int64 [E]."""
        over = self.lengths - self.length
        if self.short == "drop":
            return np.where(over >= 0, over // self.stride + 1, 0)
        if self.short == "shift":
            return np.where(self.lengths > 0, -(-np.maximum(over, 0) // self.stride) + 1, 0)
        return -(-self.lengths // self.stride)

    @functools.cached_property
    def totals(self) -> NpArray:
        """How many windows the episodes up to and with each have, int64 [E]."""
        return np.cumsum(self.counts)

    @property
    def total(self) -> int:
        """How many windows there are."""
        return int(self.totals[-1]) if len(self.totals) else 0

    @functools.cached_property
    def groups(self) -> NpArray:
        """The episodes that have a window, int64 [G]."""
        return np.flatnonzero(self.counts)

    def nth(self, number: NpArray) -> tuple[NpArray, NpArray]:
        """Finds windows by their numbers, int64 `[N]`: their episodes, and first steps in them."""
        episode = np.searchsorted(self.totals, number, side="right")
        return episode, self.first(episode, number - (self.totals[episode] - self.counts[episode]))

    def first(self, episode: NpArray, place: NpArray) -> NpArray:
        """Gives the first steps of windows by their places among those of their episodes."""
        first = place * self.stride
        if self.short == "shift":
            first = np.minimum(first, np.maximum(self.lengths[episode] - self.length, 0))
        return first


def draw(index: WindowIndex, key: draws.Key, count: int) -> Drawn:
    """Draws windows with replacement, each equally likely.

    Args:
      index: of the windows; it has one.
      key: consumed.
      count: `N`.
    """
    words = draws.bits(key, (2, count))
    return Drawn(*index.nth(draws.scaled(words, index.total)), np.ones(count, np.bool_))


def draw_grouped(index: WindowIndex, key: draws.Key, count: int, tree: Weighing | None) -> Drawn:
    """Draws episodes with replacement, by what they weigh or all alike, and then a window of each.

    Args:
      index: of the windows; it has one.
      key: consumed.
      count: `N`.
      tree: over the episodes that have a window; None: they are alike.
    """
    if tree is None:
        words = draws.bits(key, (2, 2, count))
        group, last = draws.scaled(words[0], len(index.groups)), words[1]
    else:
        group = tree.draw(draws.fold_in(key, 0), count)
        last = draws.bits(draws.fold_in(key, 1), (2, count))
    episode = index.groups[group]
    first = index.first(episode, draws.scaled(last, index.counts[episode]))
    return Drawn(episode, first, np.ones(count, np.bool_))


def draw_epoch(index: WindowIndex, key: draws.Key, count: int, step: int) -> Drawn:
    """Takes one batch of an endless row of epochs; in each, every window comes up once, in another order."""
    epoch, batch = divmod(step, -(-index.total // count))
    number = batch * count + np.arange(count)
    place = draws.shuffled(draws.fold_in(key, epoch), number % index.total, index.total)
    return Drawn(*index.nth(place), number < index.total)


def checked(lengths: NpArray, length: int, stride: int, short: Short) -> WindowIndex:
    """Makes the index of the windows that are asked for.

    Raises:
      ValueError: if a size or choice is none, or there is no such window.
    """
    for name, size in (("window", length), ("stride", stride)):
        if size < 1:
            raise ValueError(f"`{name}` must be at least 1 step: got {size}.")
    if short not in get_args(Short):
        raise ValueError(f"`short` must be one of {_list(get_args(Short))}: got {short!r}.")
    index = WindowIndex(lengths.astype(np.int64), length, stride, short)
    if index.total == 0:
        raise ValueError(
            f"There is no window of {length} steps in {len(lengths)} episodes, the longest of "
            f"{lengths.max() if len(lengths) else 0} steps. Ask for a shorter `window`, or for short='pad'."
        )
    return index


def _list(names: Sequence[str]) -> list[str]:
    return list(names)
