"""Where the time limit ended the episodes of a D4RL file, which not every file says itself."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..vault.dtypes import NpArray
from .d4rl_layout import Layout


@dataclass(frozen=True)
class TimeLimit:
    """What is known of the time limit.

    Attributes:
      timeouts: `truncated` is `stored` in the file, follows from the `horizon`, or is `absent`:
        `terminals` alone end episodes.
      horizon: steps after which the environment stops an episode, or None where not known.
    """

    timeouts: Literal["stored", "horizon", "absent"]
    horizon: int | None

    def stop(self, terminated: NpArray, age: int) -> tuple[NpArray, int]:
        """Returns where the time limit stopped episodes, for a file that does not say.

        Args:
          terminated: bool `[n]`.
          age: steps that the open episode has before the first of these.

        Returns:
          `truncated`, bool `[n]`, and the age of the open episode after the last row. A step that
          terminates at the horizon is not truncated: nobody had to stop it.

        Example:
          >>> limit = TimeLimit("horizon", 3)
          >>> truncated, age = limit.stop(np.array([0, 0, 0, 1, 0, 0], bool), 0)
          >>> truncated.astype(int).tolist(), age
          ([0, 0, 1, 0, 0, 0], 2)
        """
        if self.timeouts == "absent" or self.horizon is None:
            return np.zeros(len(terminated), np.bool_), 0
        rows = np.arange(len(terminated))
        ended = np.maximum.accumulate(np.where(terminated, rows, -1 - age))
        before = np.concatenate([[-1 - age], ended[:-1]])  # the last termination before each row
        truncated = ((rows - before) % self.horizon == 0) & ~terminated
        return truncated, int((len(rows) - 1 - ended[-1]) % self.horizon)


def time_limit(layout: Layout, horizon: int | None, known: int | None) -> TimeLimit:
    """Returns the time limit of a file.

    Args:
      layout: of the file.
      horizon: the user's word in steps, 0 for no limit; only for files without `timeouts`.
      known: the catalogue's word, or None.

    Raises:
      ValueError: if `horizon` does not fit the file, or is needed and not known.

    Example:
      >>> from pathlib import Path
      >>> layout = Layout(Path("a.hdf5"), num_steps=4, columns=(), attributes={}, arrays={}, keys={})
      >>> time_limit(layout, None, known=1000)
      TimeLimit(timeouts='horizon', horizon=1000)
      >>> time_limit(layout, 0, known=1000)
      TimeLimit(timeouts='absent', horizon=1000)
    """
    if horizon is not None and horizon < 0:
        raise ValueError(f"`horizon` must be a number of steps, or 0 for none; got {horizon}.")
    if layout.column("timeouts") is not None:
        if horizon is not None:
            raise ValueError(
                f"`horizon` is for files without `timeouts`, and {layout.path} has them. Leave it "
                "out; or skip the file's word for the horizon's: `skip=('timeouts',)`."
            )
        return TimeLimit("stored", known)
    if horizon is not None:
        return TimeLimit("horizon", horizon) if horizon else TimeLimit("absent", known)
    if _counts_demonstrations(layout) or _marks_every_end(layout):
        return TimeLimit("absent", known)
    if known is None:
        raise ValueError(
            f"`timeouts` is missing from {layout.path}, and the file is not in the catalogue: "
            "nobody can tell where the time limit ended an episode. Pass `horizon=` (the steps "
            "after which the environment stops; 1000 in D4RL's MuJoCo tasks), or `horizon=0` if "
            "`terminals` alone end episodes."
        )
    return TimeLimit("horizon", known)


def _marks_every_end(layout: Layout) -> bool:
    # MiniGrid: `terminals` are set when time is up too, after 51 rows, one more than the horizon. Its files
    # alone have `infos/orientation`.
    return layout.column("infos/orientation") is not None


def _counts_demonstrations(layout: Layout) -> bool:
    # Kitchen: `infos` numbers the demonstrations, and `terminals` ends every one of them. Some are
    # longer than the horizon.
    column = layout.column("infos")
    return column is not None and column.dtype.kind in "iu"
