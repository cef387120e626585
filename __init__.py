"""Strongbax: durable replay for JAX.

`strongbax.buffer` holds experience in memory, `strongbax.vault` keeps it on disk, `strongbax.converters`
brings other formats in, `strongbax.datasets` knows what can be had. Nothing is imported before it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import buffer, converters, datasets, vault

__version__ = "0.1.0.dev0"

_PARTS = ("buffer", "vault", "converters", "datasets")
_HOMES = {
    "Episode": "vault",
    "EpisodeTable": "vault",
    "StrongbaxError": "vault",
    "Vault": "vault",
    "make_flat_buffer": "buffer",
    "make_item_buffer": "buffer",
    "make_trajectory_buffer": "buffer",
    "convert": "converters",
    "normalized_score": "datasets.scores",
}

__all__ = ["__version__", *_PARTS, *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f".{name}", __name__)
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
