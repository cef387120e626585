"""Replay buffers in memory: pure functions over a state that is a pytree.

`import strongbax.buffer as fbx` serves code written for Flashbax; `docs/drop-in.md` lists what
differs.
"""

from . import (
    episode_buffer,
    flashbax_alias,
    flat_buffer,
    item_buffer,
    mixer,
    prioritised_flat_buffer,
    prioritised_item_buffer,
    prioritised_trajectory_buffer,
    sum_tree,
    trajectory_buffer,
    trajectory_queue,
)
from .episode_buffer import make_episode_buffer
from .flat_buffer import make_flat_buffer
from .importance import importance_weights
from .item_buffer import make_item_buffer
from .layout import BatchMismatchError
from .mixer import make_mixer
from .ordering import sample_and_add
from .prioritised_flat_buffer import make_prioritised_flat_buffer
from .prioritised_item_buffer import make_prioritised_item_buffer
from .prioritised_trajectory_buffer import make_prioritised_trajectory_buffer
from .trajectory_buffer import make_trajectory_buffer, num_added
from .trajectory_queue import make_trajectory_queue

__all__ = [
    "BatchMismatchError",
    "episode_buffer",
    "flashbax_alias",
    "flat_buffer",
    "importance_weights",
    "item_buffer",
    "make_episode_buffer",
    "make_flat_buffer",
    "make_item_buffer",
    "make_mixer",
    "make_prioritised_flat_buffer",
    "make_prioritised_item_buffer",
    "make_prioritised_trajectory_buffer",
    "make_trajectory_buffer",
    "make_trajectory_queue",
    "mixer",
    "num_added",
    "prioritised_flat_buffer",
    "prioritised_item_buffer",
    "prioritised_trajectory_buffer",
    "sample_and_add",
    "sum_tree",
    "trajectory_buffer",
    "trajectory_queue",
]
