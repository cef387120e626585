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
    from .on_beam import convert_on_beam
    from .on_ray import convert_on_ray
    from .pipeline import convert
    from .ranks import RankReport, convert_rank

__all__ = [
    "ConversionReport",
    "ExportReport",
    "RankReport",
    "attached",
    "convert",
    "convert_on_beam",
    "convert_on_ray",
    "convert_rank",
    "export",
    "qlearning",
    "sequences",
]

_HOMES = {
    "ConversionReport": ".commit",
    "ExportReport": ".exporting",
    "attached": "..vault.attachments",
    "RankReport": ".ranks",
    "convert": ".pipeline",
    "convert_on_beam": ".on_beam",
    "convert_on_ray": ".on_ray",
    "convert_rank": ".ranks",
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
