"""Strongbax: durable replay for JAX.

`strongbax.buffer` holds experience in memory, `strongbax.vault` keeps it on disk,
`strongbax.converters` brings other formats in, `strongbax.datasets` knows what can be had.
Nothing is imported before it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import buffer, converters, datasets, vault
    from .buffer import (
        flashbax_alias,
        importance_weights,
        in_host_memory,
        make_episode_buffer,
        make_flat_buffer,
        make_item_buffer,
        make_mixer,
        make_prioritised_flat_buffer,
        make_prioritised_item_buffer,
        make_prioritised_trajectory_buffer,
        make_trajectory_buffer,
        make_trajectory_queue,
        shard,
        state_shardings,
    )
    from .converters import convert
    from .datasets.cache import load_dataset
    from .datasets.fetch import fetch
    from .datasets.publish import publish
    from .datasets.scores import normalized_score
    from .vault import Ends, Episode, EpisodeTable, StrongbaxError, Vault

__version__ = "0.1.0.dev0"

__all__ = [
    "Ends",
    "Episode",
    "EpisodeTable",
    "StrongbaxError",
    "Vault",
    "__version__",
    "buffer",
    "convert",
    "converters",
    "datasets",
    "fetch",
    "flashbax_alias",
    "importance_weights",
    "in_host_memory",
    "load_dataset",
    "make_episode_buffer",
    "make_flat_buffer",
    "make_item_buffer",
    "make_mixer",
    "make_prioritised_flat_buffer",
    "make_prioritised_item_buffer",
    "make_prioritised_trajectory_buffer",
    "make_trajectory_buffer",
    "make_trajectory_queue",
    "normalized_score",
    "publish",
    "shard",
    "state_shardings",
    "vault",
]

# Where a name comes from when it is first used; a part comes from itself.
_HOMES = {
    "buffer": (
        "flashbax_alias",
        "importance_weights",
        "in_host_memory",
        "make_episode_buffer",
        "make_flat_buffer",
        "make_item_buffer",
        "make_mixer",
        "make_prioritised_flat_buffer",
        "make_prioritised_item_buffer",
        "make_prioritised_trajectory_buffer",
        "make_trajectory_buffer",
        "make_trajectory_queue",
        "shard",
        "state_shardings",
    ),
    "converters": ("convert",),
    "datasets": (),
    "datasets.cache": ("load_dataset",),
    "datasets.fetch": ("fetch",),
    "datasets.publish": ("publish",),
    "datasets.scores": ("normalized_score",),
    "vault": ("Ends", "Episode", "EpisodeTable", "StrongbaxError", "Vault"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name == home or name in names:
            module = importlib.import_module(f".{home}", __name__)
            return module if name == home else getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
