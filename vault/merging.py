"""Several vaults written as one, and a vault written without some of its episodes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .beside import beside
from .extras import copy_others
from .files import storage_errors
from .location import folder_of
from .manifest import write_manifest
from .parts import FOLDER as PARTS
from .rewrite import Codec, Facts, Layout, Progress, copy_attached, write_out
from .selected import Selected
from .vault import Vault
from .view import View, concat


def merge(
    vaults: Sequence[Vault | View | str | Path],
    path: str | Path,
    *,
    codec: Codec = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Writes the episodes of several vaults as one new vault, those of the first one first.

    It has one stream. Episodes that run are taken too, cut where their recording stands. The card has what
    all cards share, and under `vaults` the rest of each with its name.

    Args:
      vaults: vaults, views, or paths of vaults, whose leaves have the same names, dtypes, shapes and roles.
      path: of a folder that is not there yet.
      codec: as in `Vault.save`.
      overwrite: replace a vault that stands there.
      progress: called with (done, total), in bytes.

    Returns:
      The new vault's path.

    Raises:
      ValueError: if there is none, or naming the leaf or role in which they differ.
      NotFoundError, CorruptionError, AlreadyExistsError, StorageError: as opening and `Vault.save` do.

    Example:
      >>> from strongbax.vault.view import example
      >>> path = merge([example(lengths=[5, 2]), example(lengths=[3])], "both.vault")
      >>> Vault.open(path).episodes["length"]
      array([5, 2, 3])
    """
    opened = [Vault.open(one) if isinstance(one, (str, Path)) else one for one in vaults]
    joined = concat([one.finished() for one in opened])
    return joined.save(path, codec=codec, overwrite=overwrite, progress=progress)


def delete(path: str | Path, episodes: Sequence[int], *, progress: Progress | None = None) -> Path:
    """Deletes episodes of a vault: it is written anew without them, and takes its own place at once.

    Rows are never changed in a vault, so this is the only way to be rid of some. Afterwards nothing of them
    is in any file. The vault has one stream then, no parts, and no resume points; an episode that runs is
    cut.

    Args:
      path: of a vault in a folder, which nobody writes meanwhile.
      episodes: their ids.
      progress: called with (done, total), in bytes.

    Returns:
      The vault's path.

    Raises:
      IndexError: if there is no such episode; nothing has changed.
      LockedError: if somebody writes the vault.
      NotFoundError, CorruptionError, StorageError: as opening and `Vault.save` do; nothing has changed.

    Example:
      >>> from strongbax.vault.view import example
      >>> vault = example(lengths=[5, 2, 9])
      >>> Vault.open(delete(vault.path, [1])).episodes["length"]
      array([5, 9])
    """
    place = folder_of(path)
    vault = Vault.open(place)
    everything, gone = vault.finished().selected(), vault.select(list(episodes)).selected()
    if not len(gone.chosen):
        return place
    known = set(zip(gone.source.tolist(), gone.ids.tolist(), strict=True))
    all_of_them = zip(everything.source.tolist(), everything.ids.tolist(), strict=True)
    kept = everything.choose(np.flatnonzero([one not in known for one in all_of_them]))
    _write_anew(place, kept, vault, progress)
    return place


def _write_anew(path: Path, kept: Selected, vault: Vault, progress: Progress | None) -> None:
    schema = vault.schema
    block = schema.block if schema.streams == 1 and not schema.packed else None
    card = {name: fact for name, fact in vault.card.items() if name != "stats"}
    facts = Facts(vault.attributes, card)
    with beside(path, overwrite=True) as folder, storage_errors(path, "write the vault"):
        write_out(folder, kept, replace(Layout(block=block), packed=schema.packed), facts, progress)
        copy_attached(folder, kept)
        copy_others(path, folder, without=(PARTS,))
        if schema.packed:
            write_manifest(folder)
