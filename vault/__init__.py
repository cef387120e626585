"""The vault: steps and episodes on disk, flushed from buffers, appended by converters, read by both.

Names are resolved when they are used, so that what needs no JAX does not wait for it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .episodes import Ends, Episode, EpisodeTable
    from .errors import (
        AlreadyExistsError,
        ClosedError,
        ConflictError,
        CorruptionError,
        FormatError,
        GapError,
        LockedError,
        MissingExtraError,
        NotFoundError,
        StorageError,
        StrongbaxError,
    )
    from .handle import Handle
    from .loader import Loader
    from .merging import delete, merge
    from .repairing import Repair, repair
    from .root import Gap
    from .sample import WindowSample
    from .stats import LeafStats
    from .upgrading import Upgrade, upgrade
    from .vault import Vault
    from .verify import Report
    from .view import View, concat

_ERRORS = (
    "AlreadyExistsError",
    "ClosedError",
    "ConflictError",
    "CorruptionError",
    "FormatError",
    "GapError",
    "LockedError",
    "MissingExtraError",
    "NotFoundError",
    "StorageError",
    "StrongbaxError",
)
_HOMES = dict.fromkeys(_ERRORS, "errors") | {
    "Ends": "episodes",
    "Episode": "episodes",
    "EpisodeTable": "episodes",
    "Gap": "root",
    "Handle": "handle",
    "LeafStats": "stats",
    "Loader": "loader",
    "Repair": "repairing",
    "Report": "verify",
    "Upgrade": "upgrading",
    "Vault": "vault",
    "WindowSample": "sample",
    "View": "view",
    "concat": "view",
    "delete": "merging",
    "merge": "merging",
    "repair": "repairing",
    "upgrade": "upgrading",
}

__all__ = [
    "AlreadyExistsError",
    "ClosedError",
    "ConflictError",
    "CorruptionError",
    "Ends",
    "Episode",
    "EpisodeTable",
    "FormatError",
    "Gap",
    "GapError",
    "Handle",
    "LeafStats",
    "Loader",
    "LockedError",
    "MissingExtraError",
    "NotFoundError",
    "Repair",
    "Report",
    "StorageError",
    "StrongbaxError",
    "Upgrade",
    "Vault",
    "View",
    "WindowSample",
    "concat",
    "delete",
    "merge",
    "repair",
    "upgrade",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
