"""Verbs that choose episodes: each gives a view, which copies nothing and can be chosen from again."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import draws
from .dtypes import NpArray
from .episodes import EpisodeTable, order_of

if TYPE_CHECKING:
    from .view import View

_SUM = 1e-6  # by how much fractions may miss 1


class Choices(ABC):
    """Something with a table of episodes, of which some can be chosen."""

    @property
    @abstractmethod
    def episodes(self) -> EpisodeTable:
        """The episodes that ended."""

    @abstractmethod
    def _view(self, places: NpArray) -> "View":
        """Gives a view of some episodes, by their places in the table."""

    def select(self, which: Any) -> "View":
        """Chooses episodes by a mask, by their ids, or by a slice.

        Args:
          which: bool `[E]`; or integers, ids in the table, in the order wanted, negative ones from the end;
            or a slice.

        Returns:
          A view of how things stand now: a writer that goes on does not change it.

        Raises:
          ValueError, IndexError: if a mask has another length, or there is no such id.
        """
        count = self.episodes.num_rows
        if isinstance(which, slice):
            return self._view(np.arange(count)[which])
        given = np.asarray(which)
        if given.dtype == np.bool_:
            if given.shape != (count,):
                raise ValueError(
                    f"`which` must be a mask of {count} episodes: got bool {list(given.shape)}. "
                    "Compare a column: vault.select(vault.episodes['return'] > 0)."
                )
            return self._view(np.flatnonzero(given))
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise ValueError(f"`which` must be bool or integers [n]: got {given.dtype} {list(given.shape)}.")
        ids = given.astype(np.int64)
        wrong = ids[(ids < -count) | (ids >= count)]
        if len(wrong):
            raise IndexError(f"`which` names the episode {wrong[0]}: there are {count}.")
        return self._view(np.where(ids < 0, ids + count, ids))

    def filter(self, condition: Callable[[EpisodeTable], NpArray] | Mapping[str, Any]) -> "View":
        """Chooses the episodes that meet a condition.

        Args:
          condition: a function of the episode table that gives a mask; or by column a value to equal, a
            function of the column that gives a mask, or a pair `(low, high)` that it lies between, both
            included, None for no bound.

        Example:
          >>> from strongbax.vault.view import example
          >>> vault = example(lengths=[5, 2, 9])
          >>> vault.filter({"length": (3, None), "terminated": True}).episodes["length"]
          array([5, 9])
          >>> vault.filter(lambda table: table["return"] > 5).num_episodes
          1
        """
        table = self.episodes
        if not isinstance(condition, Mapping):
            return self.select(_mask(condition(table), table.num_rows))
        masks = [_mask(_meets(table[name], wanted), table.num_rows) for name, wanted in condition.items()]
        return self.select(np.logical_and.reduce([np.ones(table.num_rows, np.bool_), *masks]))

    def sort(self, by: str, *, descending: bool = False) -> "View":
        """Puts the episodes in the order of a column; ties stay in their order, NaN comes last."""
        return self._view(order_of(self.episodes[by], descending=descending))

    def split(self, fractions: Sequence[float], *, key: int = 0) -> "tuple[View, ...]":
        """Splits the episodes at random: every one is in exactly one part.

        The same key gives the same parts, always and everywhere. In each part they keep their order.

        Args:
          fractions: of the episodes, which sum to 1.
          key: from 0 to `2**32 - 1`.

        Raises:
          ValueError: if a fraction is negative or they do not sum to 1.
        """
        shares = np.asarray(fractions, np.float64)
        if shares.ndim != 1 or not len(shares) or (shares < 0).any() or abs(shares.sum() - 1) > _SUM:
            raise ValueError(f"`fractions` must be positive and sum to 1: got {list(fractions)}.")
        checked_seed(key, "key")
        count = self.episodes.num_rows
        order = draws.shuffled(draws.key(key), np.arange(count), count) if count else np.arange(0)
        bounds = np.rint(np.cumsum(shares)[:-1] * count).astype(np.int64)
        return tuple(self._view(np.sort(part)) for part in np.split(order, bounds))

    def take(self, episodes: int | None = None, *, steps: int | None = None, by: str = "return") -> "View":
        """Chooses the best episodes, the best one first.

        Args:
          episodes: how many; all where there are fewer.
          steps: instead: as few of the best as hold so many steps.
          by: the column that says how good an episode is; NaN is worst.

        Raises:
          ValueError: if both or neither is given, or negative.
        """
        if (episodes is None) == (steps is None):
            raise ValueError("Give either `episodes`, a number of them, or `steps`, that they are to hold.")
        wanted = episodes if steps is None else steps
        if wanted is None or wanted < 0:
            raise ValueError(f"`episodes` and `steps` must be at least 0: got {wanted}.")
        order = order_of(self.episodes[by], descending=True)
        if steps is not None:
            held = np.cumsum(self.episodes["length"][order])
            wanted = 0 if steps == 0 else int(np.searchsorted(held, steps)) + 1
        return self._view(order[:wanted])


def checked_seed(seed: int, what: str) -> int:
    """Checks that a number can seed a key.

    Raises:
      ValueError: if it is negative or too large.
    """
    if not 0 <= seed <= draws.MAX_SEED:
        raise ValueError(f"`{what}` must be from 0 to 2**32 - 1: got {seed}.")
    return seed


def _meets(column: NpArray, wanted: Any) -> Any:
    if callable(wanted):
        return wanted(column)
    if isinstance(wanted, tuple):
        low, high = wanted
        above = np.ones(column.shape, np.bool_) if low is None else column >= low
        return above if high is None else above & (column <= high)
    return column == wanted


def _mask(given: Any, count: int) -> NpArray:
    mask = np.asarray(given)
    if mask.dtype != np.bool_ or mask.shape != (count,):
        raise ValueError(
            f"`condition` must give a bool for each of {count} episodes: got {mask.dtype} "
            f"{list(mask.shape)}. Compare columns: lambda table: table['return'] > 0."
        )
    return mask
