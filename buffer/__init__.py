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
from .discount_to_end import discount_to_end
from .episode_buffer import Episodes, make_episode_buffer
from .episode_steps import places_of, steps_at
from .flat_buffer import make_flat_buffer
from .frame_stack import frame_stack
from .hindsight import hindsight_goals
from .host_memory import in_host_memory
from .importance import importance_weights
from .item_buffer import make_item_buffer
from .layout import BatchMismatchError
from .mixer import make_mixer
from .n_step import n_step
from .next_observation import next_observation
from .ordering import sample_and_add
from .prioritised_flat_buffer import make_prioritised_flat_buffer
from .prioritised_item_buffer import make_prioritised_item_buffer
from .prioritised_trajectory_buffer import make_prioritised_trajectory_buffer
from .return_to_go import return_to_go
from .sharding import per_device, shard, state_shardings
from .trajectory_buffer import make_trajectory_buffer, num_added
from .trajectory_queue import make_trajectory_queue

__all__ = [
    "BatchMismatchError",
    "Episodes",
    "discount_to_end",
    "episode_buffer",
    "flashbax_alias",
    "flat_buffer",
    "frame_stack",
    "hindsight_goals",
    "importance_weights",
    "in_host_memory",
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
    "n_step",
    "next_observation",
    "num_added",
    "per_device",
    "places_of",
    "prioritised_flat_buffer",
    "prioritised_item_buffer",
    "prioritised_trajectory_buffer",
    "return_to_go",
    "sample_and_add",
    "shard",
    "state_shardings",
    "steps_at",
    "sum_tree",
    "trajectory_buffer",
    "trajectory_queue",
]
