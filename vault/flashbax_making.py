"""Vaults of ours, made and opened as the arguments of Flashbax's `Vault` say."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import vault as ours
from .codecs import NAMES


class Slotted(ours.Vault):
    """A vault of ours that takes slots of a ring as they lie."""

    @property
    def writable(self) -> bool:
        """Whether it is open for writing."""
        return self._flusher is not None

    def write_slots(self, state: Any, low: int, high: int) -> int:
        """Appends slots `[low, high)` of a state, `high < low` going round; see `Vault.write` below."""
        return self._writing().write_slots(state, low, high)


def unused(parent: Path) -> Path:
    """A folder called by the time, that no other vault has."""
    uid = dt.datetime.now().strftime("%Y%m%d%H%M%S")  # noqa: DTZ005 - local time, as Flashbax has it
    path, number = parent / uid, 1
    while path.exists():
        path, number = parent / f"{uid}-{number}", number + 1
    return path


def make(
    path: Path, structure: Any, compression: Mapping[str, Any] | None, metadata: Mapping[str, Any] | None
) -> Slotted:
    """Makes a vault for the steps of a state's `experience`, and opens it for writing.

    Raises:
      ValueError: if there is no structure, or it is none of `[B, T, ...]`, or the codec is not known.
    """
    import jax

    if structure is None:
        raise ValueError(
            f"Vault does not exist and no `experience_structure` was provided: nothing is at {str(path)!r}. "
            "Give a state's `experience` to make it, or the right `vault_uid`."
        )
    shapes = {leaf.shape[:1] for leaf in jax.tree.leaves(structure) if leaf.ndim >= 2}
    if len(shapes) != 1 or any(leaf.ndim < 2 for leaf in jax.tree.leaves(structure)):
        raise ValueError(
            "`experience_structure` must be a state's `experience`, with leaves [B, T, ...] of one B: got "
            f"shapes {[leaf.shape for leaf in jax.tree.leaves(structure)]}."
        )

    def step_of(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype)

    streams, codec = shapes.pop()[0], _codec(compression)
    vault = Slotted.create(
        path,
        steps=jax.tree.map(step_of, structure),
        streams=streams,
        codec=codec,
        attributes=_plain(metadata or {}),
    )
    assert isinstance(vault, Slotted)
    return vault


def opened(path: Path, mode: ours.Mode) -> Slotted:
    """Opens a vault of ours."""
    vault = Slotted.open(path, mode)
    assert isinstance(vault, Slotted)
    return vault


def _codec(compression: Mapping[str, Any] | None) -> str | None:
    if compression is None:
        return None
    codec = str(compression.get("id"))
    if codec not in NAMES:
        raise ValueError(f"`compression` must have one of the ids {list(NAMES)}: got {codec!r}.")
    return codec


def _plain(value: Any) -> Any:
    """Makes of facts what JSON can hold, texts where it cannot."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    finite = not isinstance(value, float) or abs(value) < float("inf")
    return value if value is None or (isinstance(value, (bool, int, float, str)) and finite) else str(value)
