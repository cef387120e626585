"""Fetching: a publication, from wherever it lies, into a folder; every byte compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..vault.files import write_new
from ..vault.location import folder_of, location_of
from ..vault.manifest import FILE
from .address import parse_address
from .arrival import arriving, check_place, collect, is_there, settle
from .hub import Hub
from .hub_source import HubSource
from .object_source import ObjectSource
from .publication import Progress, silence
from .source import FolderSource, Source


def fetch(
    source: str | Path,
    destination: str | Path,
    *,
    overwrite: bool = False,
    storage: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetches what was published, and compares every byte of it with what was published.

    It appears whole or not at all. A call that was killed is taken up by the next one.

    Args:
      source: a folder, or a URL: `s3://bucket/place`, `gs://bucket/place`, `hf://user/name`. `@` and a
        number, a revision, a tag or a commit behind it mean that publication instead of the newest.
      destination: folder that is not there yet.
      overwrite: replace another publication that stands there.
      storage: how to reach an object store, as in `Vault.open`; the Hub: `endpoint` and `token`.
      progress: called as `progress(what, done, total)` in bytes.

    Returns:
      The destination.

    Raises:
      NotFoundError: if nothing is published there.
      CorruptionError: naming the file that is not the one that was published.
      AlreadyExistsError: if something else stands at the destination.
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
    return bring(open_source(source, storage), place, overwrite=overwrite, progress=progress or silence)


def open_source(source: str | Path, storage: Mapping[str, Any] | None = None) -> Source:
    """Finds a publication, and pins its revision.

    Raises:
      NotFoundError: if nothing is published there.
    """
    address = parse_address(source)
    if address.scheme == "hf":
        return HubSource(Hub(address, storage), address.pin)
    where = location_of(address.url, storage)
    return FolderSource(where) if isinstance(where, Path) else ObjectSource(where, address.pin)


def bring(source: Source, place: Path, *, overwrite: bool, progress: Progress) -> Path:
    """Brings a publication to a place; see `fetch`."""
    manifest = source.manifest
    if not is_there(place, manifest):
        check_place(place, overwrite=overwrite)
        with arriving(place) as work:
            if not is_there(place, manifest):  # another process may have been faster
                collect(source, manifest.files, work, progress)
                write_new(work / FILE, manifest.data)
                settle(work, place)
    return place
