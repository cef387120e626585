"""Fetching: a publication, from wherever it lies, into a folder; every byte compared."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..vault.errors import CorruptionError, FormatError
from ..vault.files import write_new
from ..vault.location import folder_of, location_of
from ..vault.manifest import FILE
from ..vault.root import FILE as ROOT
from ..vault.root import read_root
from .address import parse_address
from .arrival import arriving, check_place, collect, is_there, settle
from .download import Patience
from .hub import Hub
from .hub_source import HubSource
from .object_source import ObjectSource
from .publication import Progress, silence
from .source import FolderSource, Source
from .subset import (
    card_entries,
    finish_vault,
    is_subset_there,
    subset_entries,
    subset_root,
    write_subset_manifest,
)
from .web_source import WebSource


def fetch(
    source: str | Path,
    destination: str | Path,
    *,
    leaves: str | Sequence[str] | None = None,
    card: bool = False,
    overwrite: bool = False,
    storage: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Path:
    """Fetches what was published, and compares every byte of it with what was published.

    It appears whole or not at all. A call that was killed is taken up by the next one.

    Args:
      source: a folder, or a URL: `s3://bucket/place`, `gs://bucket/place`, `hf://user/name`,
        `https://host/path`. `@` and
        a number, a revision, a tag or a commit behind it mean that publication instead of the newest.
      destination: folder that is not there yet.
      leaves: take these leaves of the steps alone, or groups of them (`observation`), and with them those
        that are reward or say where episodes end. All episodes are there; it is a vault like any other.
      card: take README.md and episodes.parquet alone: a folder to read, no vault.
      overwrite: replace another publication that stands there.
      storage: how to reach an object store, as in `Vault.open`; the Hub: `endpoint` and `token`.
      progress: called as `progress(what, done, total)` in bytes.
      patience: with web servers.

    Returns:
      The destination.

    Raises:
      NotFoundError: if nothing is published there.
      CorruptionError: naming the file that is not the one that was published.
      AlreadyExistsError: if something else stands at the destination.
      ValueError: if `leaves` names one that is not there.
      LockedError: if another process fetches to the same place.
      StorageError: if the network or the disk refuses; what came is kept for the next call.

    Example:
      >>> from strongbax.datasets.publish import publish
      >>> from strongbax.vault.view import example
      >>> vault = example(lengths=[5, 2])
      >>> with type(vault).open(vault.path, mode="a") as writer:
      ...     writer.write_card({"dataset_id": "toy/walk-v0", "licence": "CC0-1.0", "citation": "Ada, 1843"})
      >>> path = fetch(publish(vault.path, "published").place, "here.vault")
      >>> type(vault).open(path).num_steps
      7
    """
    place = folder_of(destination)
    found = open_source(source, storage, patience)
    part = None if leaves is None else [leaves] if isinstance(leaves, str) else [*leaves]
    while True:
        try:
            return bring(
                found, place, leaves=part, card=card, overwrite=overwrite, progress=progress or silence
            )
        except CorruptionError:
            # Files of two publications, where a folder took the other's name in between.
            if not isinstance(found, FolderSource) or not found.is_replaced():
                raise
            found = open_source(source, storage, patience)


def open_source(
    source: str | Path, storage: Mapping[str, Any] | None = None, patience: Patience | None = None
) -> Source:
    """Finds a publication, and pins its revision.

    Raises:
      NotFoundError: if nothing is published there.
      StorageError: if nobody answers.
    """
    address = parse_address(source)
    if address.scheme == "hf":
        return HubSource(Hub(address, storage), address.pin)
    if address.is_web and not storage:
        return WebSource(address, patience)
    where = location_of(address.url, storage)
    return FolderSource(where) if isinstance(where, Path) else ObjectSource(where, address.pin)


def bring(
    source: Source,
    place: Path,
    *,
    leaves: Sequence[str] | None = None,
    card: bool = False,
    overwrite: bool = False,
    progress: Progress = silence,
) -> Path:
    """Brings a publication, or a part of it, to a place; see `fetch`."""
    manifest = source.manifest
    if card:
        _bring_card(source, place, overwrite=overwrite, progress=progress)
    elif leaves is not None:
        _bring_leaves(source, place, leaves, overwrite=overwrite, progress=progress)
    elif not is_there(place, manifest):
        check_place(place, overwrite=overwrite)
        with arriving(place) as work:
            if not is_there(place, manifest):  # another process may have been faster
                collect(source, manifest.files, work, progress)
                write_new(work / FILE, manifest.data)
                settle(work, place)
    return place


def _bring_card(source: Source, place: Path, *, overwrite: bool, progress: Progress) -> None:
    if is_subset_there(place, source.manifest, ()):
        return
    check_place(place, overwrite=overwrite)
    with arriving(place) as work:
        collect(source, card_entries(source.manifest), work, progress)
        write_subset_manifest(work, source.manifest, ())
        settle(work, place)


def _bring_leaves(
    source: Source, place: Path, leaves: Sequence[str], *, overwrite: bool, progress: Progress
) -> None:
    first = [entry for entry in source.manifest.files if entry.path == ROOT]
    if not first:
        raise FormatError(f"{source.name!r} is only the card of a dataset: it has no leaves.")
    with arriving(place) as work:
        collect(source, first, work, progress, sweep=False)
        root = subset_root(read_root(work), leaves)
        if is_subset_there(place, source.manifest, root.schema.names):
            shutil.rmtree(work)
            return
        check_place(place, overwrite=overwrite)
        collect(source, [*first, *subset_entries(source.manifest, root)], work, progress)
        finish_vault(work, root, source.manifest)
        settle(work, place)
