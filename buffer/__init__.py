"""Replay buffers in memory: pure functions over a state that is a pytree.

`import strongbax.buffer as fbx` serves code written for Flashbax; `docs/drop-in.md` lists what
differs.
"""

from . import flat_buffer, item_buffer, sum_tree, trajectory_buffer
from .flat_buffer import make_flat_buffer
from .item_buffer import make_item_buffer
from .layout import BatchMismatchError
from .ordering import sample_and_add
from .trajectory_buffer import make_trajectory_buffer, num_added

__all__ = [
    "BatchMismatchError",
    "flat_buffer",
    "item_buffer",
    "make_flat_buffer",
    "make_item_buffer",
    "make_trajectory_buffer",
    "num_added",
    "sample_and_add",
    "sum_tree",
    "trajectory_buffer",
]
