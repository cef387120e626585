"""D4RL's two loaders, to the letter: for whoever needs the numbers of old papers.

`qlearning` gives what `d4rl.qlearning_dataset` gives, `sequences` what `d4rl.sequence_dataset`
gives, with all their peculiarities; a vault itself has none of them. What differs, and why one
would rather read the vault, stands in docs/converters.md.
"""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..vault.dtypes import NpArray
from .d4rl_columns import Columns, columns_of

if TYPE_CHECKING:
    from pathlib import Path

    from ..vault.vault import Vault


def qlearning(
    source: "Vault | str | Path", terminate_on_end: bool = False, *, horizon: int | None = None
) -> dict[str, NpArray]:
    """Returns transitions as `d4rl.qlearning_dataset` does.

    The source's last row is dropped. The next observation is the next row's, be it of another
    episode. Rows where a timeout is set are dropped; with `terminate_on_end` they are kept, their
    next observation is the next episode's first one, and their `terminals` is still False.

    Args:
      source: a vault, its path, or the path of a D4RL file.
      terminate_on_end: keep the rows where a timeout is set.
      horizon: what D4RL's environment has as `_max_episode_steps`; only for sources without
        timeouts, and None takes what is known of the source.

    Returns:
      `N` transitions: `observations`, `actions`, `next_observations` float32 `[N, ...]`, `rewards`
      float32 `[N]`, `terminals` bool `[N]`.

    Raises:
      ValueError: if the source has no timeouts and no horizon is known.

    Example:
      >>> import h5py
      >>> with h5py.File("five.hdf5", "w") as file:
      ...     for key in ("observations", "actions", "rewards"):
      ...         file[key] = np.arange(5.0)
      ...     file["terminals"], file["timeouts"] = [0, 0, 0, 1, 0], [0, 1, 0, 0, 0]
      >>> transitions = qlearning("five.hdf5")
      >>> transitions["observations"].tolist(), transitions["next_observations"].tolist()
      ([0.0, 2.0, 3.0], [1.0, 3.0, 4.0])
    """
    columns = columns_of(source, ("observations", "actions", "rewards", "terminals", "timeouts"))
    terminals = columns["terminals"].astype(np.bool_)
    final = _final_steps(columns, terminals, horizon, skips=not terminate_on_end)
    keep = np.ones(len(terminals) - 1, np.bool_) if terminate_on_end else ~final[:-1]
    observations = columns["observations"].astype(np.float32)
    return {
        "observations": observations[:-1][keep],
        "actions": columns["actions"][:-1][keep].astype(np.float32),
        "next_observations": observations[1:][keep],
        "rewards": columns["rewards"][:-1][keep].astype(np.float32),
        "terminals": terminals[:-1][keep],
    }


def sequences(source: "Vault | str | Path", *, horizon: int | None = None) -> Iterator[dict[str, NpArray]]:
    """Yields episodes as `d4rl.sequence_dataset` does.

    Every key of the source, cut where a terminal or a timeout is set; the rows after the last such
    row are dropped. Without timeouts the first episode may have `horizon` rows and every later one
    `horizon - 1`. `metadata/*`, on which the original fails, is left out.

    Args:
      source: a vault, its path, or the path of a D4RL file.
      horizon: as for `qlearning`.

    Yields:
      Arrays `[T, ...]` by D4RL's keys, one dict an episode.

    Raises:
      ValueError: if the source has no timeouts and no horizon is known.

    Example:
      >>> import h5py
      >>> with h5py.File("seven.hdf5", "w") as file:
      ...     for key in ("observations", "actions", "rewards"):
      ...         file[key] = np.arange(7.0)
      ...     file["terminals"] = np.zeros(7, bool)
      >>> [len(episode["rewards"]) for episode in sequences("seven.hdf5", horizon=3)]
      [3, 2, 2]
    """
    columns = columns_of(source)
    terminals = columns["terminals"].astype(np.bool_)
    final = _final_steps(columns, terminals, horizon, skips=False)
    edges = [0, *(np.nonzero(terminals | final)[0] + 1)]
    for start, stop in itertools.pairwise(edges):
        yield {key: column[start:stop].copy() for key, column in columns.arrays.items()}


def _final_steps(columns: Columns, terminals: NpArray, horizon: int | None, *, skips: bool) -> NpArray:
    """Returns D4RL's `final_timestep`, bool `[n]`."""
    if "timeouts" in columns.arrays:
        return columns["timeouts"].reshape(len(terminals)).astype(np.bool_)
    horizon = columns.horizon if horizon is None else horizon
    if horizon is None or horizon < 1:
        raise ValueError(
            f"`horizon` must be the environment's number of steps an episode: {columns.label} has "
            f"no timeouts, and D4RL's functions count steps instead; got {horizon}."
        )
    return counted_timeouts(terminals, horizon, skips=skips)


def counted_timeouts(terminals: NpArray, horizon: int, *, skips: bool) -> NpArray:
    """Returns where D4RL's loaders believe in a timeout when a file has none.

    They count steps from 0, and the step is final at `horizon - 1`. But the count is raised after
    it was reset, so every episode but the first begins at 1 and comes out a step short. Only where
    the final row is skipped (`qlearning` by default) is the reset clean.

    Args:
      terminals: bool `[n]`.
      horizon: of the environment, in steps.
      skips: whether the loader skips final rows.

    Returns:
      Bool `[n]`.

    Example:
      >>> counted_timeouts(np.zeros(7, bool), 3, skips=False).astype(int).tolist()
      [0, 0, 1, 0, 1, 0, 1]
      >>> counted_timeouts(np.zeros(7, bool), 3, skips=True).astype(int).tolist()
      [0, 0, 1, 0, 0, 1, 0]
    """
    final = np.zeros(len(terminals), np.bool_)
    ends = np.append(np.nonzero(terminals)[0], len(terminals))
    row, count = 0, 0  # the episode's first row, and what the loader's count is there
    for end in ends:
        while count < horizon and row + horizon - 1 - count <= min(end, len(terminals) - 1):
            row += horizon - 1 - count
            final[row] = True
            row, count = row + 1, 0 if skips else 1
        if row <= end:
            row, count = end + 1, 1
    return final
