"""The columns of a D4RL dataset by D4RL's own keys, out of one of its files or out of a vault."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray
from . import hdf5
from .d4rl_layout import FLAGS, LEAVES, NAME, REQUIRED, layout_of

if TYPE_CHECKING:
    from ..vault.vault import Vault

_KEYS = {leaf: key for key, leaf in LEAVES.items()}


@dataclass(frozen=True)
class Columns:
    """Whole columns in memory.

    Attributes:
      arrays: `[n, ...]` by D4RL's keys; `timeouts` only where the source has them.
      horizon: steps after which the environment stops an episode, where known.
      label: what to call the source in a message.
    """

    arrays: Mapping[str, NpArray]
    horizon: int | None
    label: str

    def __getitem__(self, key: str) -> NpArray:
        return self.arrays[key]


def columns_of(source: "Vault | str | Path", keys: tuple[str, ...] | None = None) -> Columns:
    """Returns the columns of a vault or of a D4RL file, read whole.

    From a vault that was converted from a D4RL file they come as they stand in that file:
    `timeouts` only if it has them, flags with its dtype, next observations put together again.

    Args:
      source: a vault of one stream, its path, or the path of a D4RL file.
      keys: those wanted, where present; None for all.

    Raises:
      ValueError: if the vault has several streams, or lacks one of the four keys that all have.

    Example:
      >>> import h5py, numpy as np
      >>> with h5py.File("two.hdf5", "w") as file:
      ...     for key in ("observations", "actions", "rewards", "terminals"):
      ...         file[key] = np.arange(2.0)
      >>> columns_of("two.hdf5")["actions"]
      array([0., 1.])
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if hdf5.is_hdf5(path):
            return _of_file(path, keys)
        from ..vault.vault import Vault

        with Vault.open(path) as vault:
            return _of_vault(vault, keys)
    return _of_vault(source, keys)


def _of_file(path: Path, keys: tuple[str, ...] | None) -> Columns:
    # Imported here: the catalogue is asked only for what a file does not say itself.
    from ..datasets.catalogue import recognise

    entry = next(iter(recognise(file=path.name)), None)
    layout = layout_of(path)
    with hdf5.open_hdf5(path) as file:
        nodes = layout.nodes(file)
        arrays = {
            column.key: hdf5.read(nodes[column.key])
            for column in layout.columns
            if keys is None or column.key in keys
        }
    for key in ("rewards", "terminals"):
        arrays[key] = arrays[key].reshape(layout.num_steps)
    return Columns(arrays, None if entry is None else entry.horizon, str(path))


def _of_vault(vault: "Vault", keys: tuple[str, ...] | None) -> Columns:
    if vault.streams != 1:
        raise ValueError(
            "`source` must have one stream, its episodes end to end, as D4RL's files do; "
            f"this vault has {vault.streams}."
        )
    provenance: Mapping[str, Any] = vault.card.get("provenance", {})
    known = provenance.get("source", {}).get("keys") if provenance.get("format") == NAME else None
    facts: Mapping[str, Any] = known or {_KEYS.get(leaf, leaf): {"leaf": leaf} for leaf in vault.leaves}
    missing = [key for key in REQUIRED if key not in facts]
    if missing:
        raise ValueError(
            f"`source` must have the leaves {', '.join(LEAVES[key] for key in REQUIRED)}; "
            f"this vault has {', '.join(vault.leaves)}."
        )
    arrays = {
        key: _as_in_file(_leaf(vault, fact["leaf"]), key, fact)
        for key, fact in facts.items()
        if "leaf" in fact and (keys is None or key in keys)
    }
    return Columns(arrays, vault.card.get("horizon"), "the vault")


def _leaf(vault: "Vault", leaf: str) -> NpArray:
    if leaf in vault.leaves:
        return vault.read_numpy(leaves=[leaf])[leaf][0]
    assert leaf == "next_observation", leaf
    table = vault.episodes
    following = np.roll(vault.read_numpy(leaves=["observation"])["observation"][0], -1, axis=0)
    following[table["start"] + table["length"] - 1] = vault.finals("observation")
    return following


def _as_in_file(values: NpArray, key: str, fact: Mapping[str, Any]) -> NpArray:
    if key in FLAGS and "dtype" in fact:
        values = values.astype(fact["dtype"])
    if key == "timeouts" and "shape" in fact:  # D4RL squeezes the other scalars, and not this one
        values = values.reshape(-1, *fact["shape"][1:])
    return values
