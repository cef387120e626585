"""Returns: sums of an episode's rewards, made anew from the source and compared with the vault's."""

from typing import Any

import numpy as np

from ..vault.dtypes import NpArray

# Sums of the same rewards in another order differ by this much of the sum of their sizes, at most.
TOLERANCE = 1e-9


def sums_of(reward: NpArray, stops: NpArray, running: Any) -> tuple[NpArray, NpArray]:
    """Returns return and size `[2, E, ...]` of the episodes that end in a block, `[2, ...]` of the rest.

    Args:
      reward: `[T, ...]`; the trailing axes are those of a reward of many agents.
      stops: where episodes end in the block, int64 `[E]`.
      running: the rest of the block before; 0 where there is none.

    Example:
      >>> sums, rest = sums_of(np.array([1.0, -2.0, 4.0]), np.array([2]), 0.0)
      >>> sums.tolist(), rest.tolist()
      ([[-1.0], [3.0]], [4.0, 4.0])
    """
    rewards = reward.astype(np.float64)
    if rewards.size == len(rewards):
        rewards = rewards.reshape(-1)  # one number a step, whatever its axes
    # One zero more, for the empty rest where an episode ends with the block.
    both = np.pad(np.stack([rewards, np.abs(rewards)]), ((0, 0), (0, 1), *[(0, 0)] * (rewards.ndim - 1)))
    starts = np.concatenate([[0], stops])
    sums = np.add.reduceat(both, starts, axis=1)
    sums[:, :-1][:, np.diff(starts) == 0] = 0  # of an episode without steps it gives the next one's first
    sums[:, 0] += running
    return sums[:, :-1], sums[:, -1]


def first_other(sums: NpArray, found: NpArray) -> int | None:
    """Returns the first episode whose return is not the sum of its rewards, but for rounding; or None.

    Args:
      sums: return and size `[2, E, ...]`.
      found: returns `[E, ...]`.

    Example:
      >>> first_other(np.array([[3.0, np.inf], [3.0, np.inf]]), np.array([3.0 + 1e-15, np.inf])) is None
      True
      >>> first_other(np.array([[3.0], [3.0]]), np.array([3.1]))
      0
    """
    returns, sizes = sums
    with np.errstate(invalid="ignore"):  # infinite returns have no difference, and equal themselves
        close = (np.abs(returns - found) <= TOLERANCE * sizes) & np.isfinite(sizes)
    same = close | (np.isnan(returns) & np.isnan(found)) | (returns == found)
    wrong = ~same.reshape(len(found), -1).all(axis=1) if len(found) else np.zeros(0, np.bool_)
    return int(wrong.argmax()) if wrong.any() else None
