"""Publishing to an object store: a revision that never changes, then an object that says it is the newest.

Nothing that stands there is touched but the pointer, and that is replaced by one request. Of two that publish
at once one creates the record of the next version, and the other is told.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..vault.errors import AlreadyExistsError, ConflictError
from ..vault.manifest import FILE
from ..vault.objects import ObjectPath
from ..vault.pointer import POINTER, Record, revision_path, tag_path, version_path
from .manifest import Manifest
from .publication import Progress, Publication, Terms
from .staged import staged
from .staging import check_successor

if TYPE_CHECKING:
    from ..vault import Vault, View

_IN_FLIGHT = 64 << 20  # bytes that wait for the store's answers at once, or one file
_REQUESTS = 16


def publish_to_objects(
    vault: "Vault | View",
    place: ObjectPath,
    terms: Terms,
    *,
    tag: str | None,
    parent: str | None,
    work: Path | None,
    progress: Progress,
) -> Publication:
    """Publishes a vault to an object store; see `publish`.

    Raises:
      AlreadyExistsError: if another dataset is published there, or the tag is another publication's.
      ConflictError: if somebody else published there meanwhile.
      StorageError: if the store does not answer, or refuses.
    """
    place.check_writable()
    tagged = None if tag is None else place / tag_path(tag)
    with staged(vault, terms, work, progress) as (folder, manifest):
        head = _head(place)
        _check_place(place, head, manifest, overwrite=terms.overwrite)
        _check_tag(tagged, manifest)
        _check_parent(place, head, parent)
        sent = 0
        if head is None or head.revision != manifest.revision:
            sent = _upload(folder, manifest, place / revision_path(manifest.revision), progress)
            head = _append(place, head, manifest)
        _point(place, head)
        if tagged is not None and not tagged.put_new(head.encode()):
            _check_tag(tagged, manifest)
    return Publication(
        str(place),
        f"{place}@{manifest.revision}",
        manifest.dataset_id or "",
        manifest.revision,
        str(head.version),
        len(manifest.paths),
        manifest.size,
        sent,
    )


def _head(place: ObjectPath) -> Record | None:
    """Gives the newest record: the pointer's, or a later one whose publisher was killed before it pointed."""
    found = _record(place / POINTER)
    while (later := _record(place / version_path(found.version + 1 if found else 1))) is not None:
        found = later
    return found


def _record(path: ObjectPath) -> Record | None:
    try:
        return Record.decode(path.read_bytes(), path)
    except FileNotFoundError:
        return None


def _check_place(place: ObjectPath, head: Record | None, new: Manifest, *, overwrite: bool) -> None:
    if head is not None:
        check_successor(new, head.dataset_id, str(place), overwrite=overwrite)
    elif (place / "zarr.json").is_file():
        raise AlreadyExistsError(
            f"A vault stands at {str(place)!r}: it would hide a publication. Choose another destination."
        )


def _check_tag(tagged: ObjectPath | None, new: Manifest) -> None:
    record = None if tagged is None else _record(tagged)
    if record is not None and record.revision != new.revision:
        raise AlreadyExistsError(
            f"The tag {str(tagged)!r} is of another publication, version {record.version}: tags stay where "
            "they are. Choose another `tag`."
        )


def _check_parent(place: ObjectPath, head: Record | None, parent: str | None) -> None:
    newest = "0" if head is None else str(head.version)
    if parent not in (None, newest):
        raise ConflictError(
            f"`parent` must be the newest version at {str(place)!r}, {newest}: got {parent!r}. Somebody "
            "published since."
        )


def _upload(folder: Path, manifest: Manifest, place: ObjectPath, progress: Progress) -> int:
    """Uploads what is not there yet, the manifest last; returns how many bytes that was.

    An object is there whole or not at all, and the name of its folder says its bytes: what is there is right.
    """
    there = set(place.below())
    missing = [entry for entry in manifest.files if entry.path not in there]
    total, done, waiting = sum(entry.size for entry in missing), 0, list[tuple[Any, int]]()

    def wait(most: int, requests: int) -> None:
        nonlocal done
        while waiting and (sum(size for _, size in waiting) > most or len(waiting) > requests):
            future, size = waiting.pop(0)
            place.bucket.wait(future, "write to", size)
            done += size
            progress("Uploading", done, total)

    for entry in missing:
        wait(max(0, _IN_FLIGHT - entry.size), _REQUESTS - 1)
        data = (folder / entry.path).read_bytes()
        waiting.append((place.bucket.put((place / entry.path).key, data), entry.size))
    wait(-1, 0)
    if FILE not in there:
        (place / FILE).write_bytes(manifest.data)
        total += len(manifest.data)
    return total


def _append(place: ObjectPath, head: Record | None, manifest: Manifest) -> Record:
    """Creates the record of the next version: from now on it is published."""
    version = 1 if head is None else head.version + 1
    size, files = manifest.size, len(manifest.paths)
    record = Record(manifest.dataset_id or "", version, manifest.revision, manifest.sha256, files, size)
    path = place / version_path(version)
    if path.put_new(record.encode()):
        return record
    other = _record(path)
    if other is None or other.revision != record.revision:
        raise ConflictError(
            f"Somebody else published version {version} at {str(place)!r} at the same time. Look at it; "
            "publish again if yours is to be the newer one: nothing is uploaded twice."
        )
    return other


def _point(place: ObjectPath, head: Record) -> None:
    """Lets the pointer name the newest record, whoever else does so at this moment."""
    while True:
        if _record(place / POINTER) != head:
            (place / POINTER).write_bytes(head.encode())
        later = _record(place / version_path(head.version + 1))
        if later is None:
            return
        head = later
