"""Other formats in and out: `convert` writes a vault, checked against its source; `export` the other way.

`qlearning` and `sequences` give what D4RL's own two loaders give. Nothing is imported before it is
used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..vault.attachments import attached
    from .commit import ConversionReport
    from .d4rl_reference import qlearning, sequences
    from .exporting import ExportReport, export
    from .pipeline import convert

__all__ = [
    "ConversionReport",
    "ExportReport",
    "attached",
    "convert",
    "export",
    "qlearning",
    "sequences",
]

_HOMES = {
    "ConversionReport": ".commit",
    "ExportReport": ".exporting",
    "attached": "..vault.attachments",
    "convert": ".pipeline",
    "export": ".exporting",
    "qlearning": ".d4rl_reference",
    "sequences": ".d4rl_reference",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
