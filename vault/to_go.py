"""The rewards still to come of each step, up to its episode's end, for whole views.

Letters: `n` steps of a view, its episodes end to end.
"""

from collections.abc import Iterator

import numpy as np

from .dtypes import NpArray
from .selected import Selected

_ROWS = 1 << 20  # rewards that are looked at a time, more where an episode has more


def returns_to_go(selected: Selected, discount: float) -> NpArray:
    """Sums the rewards from each step to its episode's end, `sum_k discount**k r[t + k]`.

    It reads the rewards once, in blocks, and sums in double precision.

    Args:
      selected: the episodes.
      discount: of one step, from 0 to 1.

    Returns:
      Float32 `[n, ...]`, rewards' axes behind: one each for several agents.

    Raises:
      ValueError: if no leaf is a reward, or the discount is none.

    Example:
      >>> from strongbax.vault.view import example
      >>> returns_to_go(example(lengths=[3, 1]).selected(), discount=0.5)
      array([1.75, 1.5 , 1.  , 1.  ], dtype=float32)
    """
    if not 0 <= discount <= 1:
        raise ValueError(f"`return_to_go` must be a discount from 0 to 1, or None: got {discount!r}.")
    name = selected.schema.roles.reward
    if name is None:
        raise ValueError(
            "`return_to_go` needs a reward, and no leaf has that role. Name it when the vault is made: "
            "`roles={'reward': 'r'}`."
        )
    shape = selected.schema.leaf(name).shape
    out = np.zeros((int(selected.starts[-1]), *shape), np.float32)
    for low, high in _blocks(selected.starts):
        starts = selected.starts[low : high + 1]
        first, stop = int(starts[0]), int(starts[-1])
        rewards = selected.read(name, first, stop)[0].astype(np.float64)
        out[first:stop] = _summed(rewards, starts - first, discount)
    return out


def _blocks(starts: NpArray) -> Iterator[tuple[int, int]]:
    """Gives runs of episodes, first and stop, of about so many rows."""
    low, count = 0, len(starts) - 1
    while low < count:
        high = max(low + 1, int(np.searchsorted(starts, starts[low] + _ROWS, side="right")) - 1)
        yield low, high
        low = high


def _summed(rewards: NpArray, starts: NpArray, discount: float) -> NpArray:
    """Sums ever longer runs: after `k` rounds the next `2**k` rewards, none of another episode.

    ```
    # rewards  :  [ 1  2  4 | 8 ]
    # 1 ahead  :  [ 3  6  4 | 8 ]
    # 2 ahead  :  [ 7  6  4 | 8 ]
    ```
    """
    lengths = np.diff(starts)
    left = np.repeat(starts[1:], lengths) - np.arange(len(rewards))  # steps to the episode's end
    sums, ahead = rewards, 1
    while ahead < lengths.max(initial=0):
        inside = (left[:-ahead] > ahead).reshape(-1, *[1] * (rewards.ndim - 1))
        more = np.where(inside, discount**ahead * sums[ahead:], 0.0)
        sums = sums.copy()
        sums[:-ahead] += more
        ahead *= 2
    return sums
