"""What lies beside a vault's steps and episodes, and did not come back from a format it was written in.

Found by reading what was written, not by knowing the format: so that a note is there exactly where
something is lost.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..vault.attachments import attached_folders
from ..vault.contents import Contents
from .source import Source

# What every conversion finds out anew, what tells of joined vaults, and what can be computed again.
_MADE_ANEW = frozenset({"provenance", "check", "horizon", "vaults", "stats"})


def left_out(contents: Contents, source: Source) -> list[str]:
    """Says what of a vault or view is not in what was written of it, a sentence each.

    Args:
      contents: that was written.
      source: what was written, read back.

    Example:
      >>> import numpy as np
      >>> from strongbax.vault.view import example
      >>> vault = example(lengths=[2])
      >>> left_out(vault, Source({}, 2, (), lambda rows: iter(()), {}))
      []
    """
    notes: list[str] = []
    running = contents.open_episodes.num_rows
    if running:
        notes.append(f"{running} episodes that have not ended are not written.")
    if contents.streams > 1:
        notes.append(
            f"The episodes of {contents.streams} streams stand in the order in which they ended; in which "
            "stream each was is not written."
        )
    lost = sorted(_missing(contents.attributes, source.attributes))
    if lost:
        notes.append(f"The vault's attributes {lost} are not written.")
    card = {key: fact for key, fact in contents.card.items() if key not in _MADE_ANEW and fact is not None}
    lost = sorted(_missing(card, source.card))
    if lost:
        notes.append(f"The card's facts {lost} are not written.")
    lost = sorted(_attached(contents) - set(source.arrays))
    if lost:
        notes.append(f"The attached arrays {lost} are not written.")
    return notes


def _missing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Yields the keys that are not there, of objects within too; counts among them may well differ."""
    for key, value in wanted.items():
        if key not in found:
            yield key
        elif isinstance(value, Mapping) and isinstance(found[key], Mapping):
            yield from (f"{key}/{below}" for below in _missing(value, found[key]))


def _attached(contents: Contents) -> set[str]:
    sources = contents.selected().sources
    return {name for source in sources for name, _ in attached_folders(source.path)}
