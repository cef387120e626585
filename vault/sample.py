"""A batch of windows, with the fields of the episode buffer's sample.

Letters: `N` batch, `W` window in steps.
"""

from dataclasses import dataclass
from typing import Any

import jax


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WindowSample:
    """What a loader gives; a pytree.

    Attributes:
      experience: leaves `[N, W, ...]`; zeros where `mask` is False.
      mask: bool `[N, W]`, whether there is a step.
      step_in_episode: int32 `[N, W]`, steps of the episode before this one; 0 where `mask` is False.
      indices: `[N]`, the place of the window's first step in the view's stream; int64, int32 on a device.
      next_observation: by leaf name `[N, W, ...]`, what each step's action led to, if asked for; else None.
      next_mask: bool `[N, W]`, whether that is known; None where it was not asked for.
      return_to_go: float32 `[N, W, ...]`, the rewards from each step to its episode's end, also those behind
        the window, if asked for; else None.
    """

    experience: Any
    mask: Any
    step_in_episode: Any
    indices: Any
    next_observation: Any = None
    next_mask: Any = None
    return_to_go: Any = None
