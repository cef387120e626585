"""Publishing to the Hugging Face Hub: large files first, where nobody sees them, then one commit.

The commit names the one that it follows; if somebody committed in between, the Hub refuses it. A call that
was killed has left files that no commit has: the Hub keeps them, and they are not uploaded again.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..converters.extra import extra
from ..vault.errors import AlreadyExistsError, ConflictError, CorruptionError, StorageError
from ..vault.manifest import FILE
from .hub import DATASET, Hub, hub_errors, is_same, quiet
from .manifest import Entry, Manifest
from .publication import Progress, Publication, Terms
from .staged import staged
from .staging import check_successor

if TYPE_CHECKING:
    from ..vault import Vault, View

# What the Hub takes, as its documentation has it.
MOST_FILES = 100_000
MOST_ENTRIES = 10_000  # of a folder
MOST_BYTES = 50_000_000_000  # of a file

_BATCH_BYTES = 256 << 20  # uploaded between two reports of progress
_BATCH_FILES = 64


def publish_to_hub(
    vault: "Vault | View",
    hub: Hub,
    terms: Terms,
    *,
    tag: str | None,
    parent: str | None,
    work: Path | None,
    progress: Progress,
) -> Publication:
    """Publishes a vault to the Hub; see `publish`.

    Raises:
      AlreadyExistsError: if another dataset is published there, or the tag is another publication's.
      ConflictError: if somebody else committed meanwhile, or `parent` is not the newest commit.
      ValueError: if it is more than the Hub takes.
      StorageError: if the Hub does not answer, or refuses.
    """
    with staged(vault, terms, work, progress) as (folder, manifest):
        check_limits(manifest)
        with hub_errors(hub.url, "make"):
            hub.api.create_repo(hub.name, repo_type=DATASET, private=hub.private, exist_ok=True)
        head = hub.info().sha
        if parent not in (None, head):
            raise ConflictError(
                f"`parent` must be the newest commit of {hub.url!r}, {head}: got {parent!r}. Somebody "
                "committed since."
            )
        there = hub.tree(head)
        old = _published(hub, head, there, folder.with_name("old"), overwrite=terms.overwrite)
        check_successor(manifest, old and old.dataset_id, hub.url, overwrite=terms.overwrite)
        new = [*manifest.files, Entry(FILE, len(manifest.data), manifest.sha256)]
        changed = [one for one in new if not is_same(there.get(one.path), one, folder / one.path)]
        gone = sorted((old.paths if old else frozenset()) & set(there) - manifest.paths)
        commit = head
        if changed or gone:
            commit = _commit(hub, folder, changed, gone, head, manifest, progress)
            _check_all_there(hub, commit, new, folder)
        if tag is not None:
            _tag(hub, tag, commit)
    sent = sum(entry.size for entry in changed)
    return Publication(
        hub.url,
        f"{hub.url}@{commit}",
        manifest.dataset_id or "",
        manifest.revision,
        commit,
        len(manifest.paths),
        manifest.size,
        sent,
    )


def check_limits(manifest: Manifest) -> None:
    """Checks that the Hub takes so many files of such sizes.

    Raises:
      ValueError: naming the limit.
    """
    folders = Counter(path.rpartition("/")[0] for path in manifest.paths)
    crowded, most = folders.most_common(1)[0]
    large = max(manifest.files, key=lambda entry: entry.size)
    mend = "Publish it packed (pack=True), or to an object store."
    for what, count, limit in (
        ("files", len(manifest.paths), MOST_FILES),
        (f"files in the folder {crowded!r}", most, MOST_ENTRIES),
        (f"bytes in the file {large.path!r}", large.size, MOST_BYTES),
    ):
        if count > limit:
            raise ValueError(f"The Hub takes at most {limit:,} {what}: got {count:,}. {mend}")


def _published(
    hub: Hub, commit: str, there: dict[str, Any], folder: Path, *, overwrite: bool
) -> Manifest | None:
    if FILE not in there:
        if "zarr.json" in there and not overwrite:
            raise AlreadyExistsError(
                f"{hub.url!r} has a Zarr group that was not published by this library. Choose another "
                "repository, or pass overwrite=True."
            )
        return None
    try:
        return Manifest.parse(hub.download(FILE, commit, folder).read_bytes(), hub.url)
    except CorruptionError:
        if overwrite:
            return None
        raise AlreadyExistsError(
            f"{hub.url!r} has a manifest that was not published by this library. Choose another repository, "
            "or pass overwrite=True."
        ) from None


def _commit(
    hub: Hub,
    folder: Path,
    changed: list[Entry],
    gone: list[str],
    parent: str,
    manifest: Manifest,
    progress: Progress,
) -> str:
    """Uploads files and makes them visible by one commit; returns its name."""
    library = extra("huggingface_hub", "hf", "The Hugging Face Hub")
    additions: list[Any] = []
    total, done = sum(entry.size for entry in changed), 0
    with hub_errors(hub.url, "publish to"), quiet():
        for batch in _batches(changed):
            progress("Uploading", done, total)
            operations = [library.CommitOperationAdd(one.path, folder / one.path) for one in batch]
            hub.api.preupload_lfs_files(hub.name, additions=operations, repo_type=DATASET, free_memory=False)
            additions += operations
            done += sum(one.size for one in batch)
        progress("Committing", total, total)
        made = hub.api.create_commit(
            hub.name,
            [*additions, *(library.CommitOperationDelete(path) for path in gone)],
            commit_message=f"Publish {manifest.dataset_id}",
            commit_description=f"Revision {manifest.revision}",
            repo_type=DATASET,
            parent_commit=parent,
        )
    return str(made.oid)


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    for entry in entries:
        if batch and (len(batch) == _BATCH_FILES or sum(one.size for one in batch) > _BATCH_BYTES):
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch


def _check_all_there(hub: Hub, commit: str, entries: list[Entry], folder: Path) -> None:
    """Looks whether the Hub has every file: its `.gitignore` may have kept some out."""
    there = hub.tree(commit)
    lost = [one.path for one in entries if not is_same(there.get(one.path), one, folder / one.path)]
    if lost:
        raise StorageError(
            f"The Hub has not taken {lost[0]!r} and {len(lost) - 1} more of {hub.url!r}. Look whether a "
            "`.gitignore` in the repository keeps them out."
        )


def _tag(hub: Hub, tag: str, commit: str) -> None:
    """Tags a commit; that it has the tag already is well."""
    with hub_errors(hub.url, "tag"):
        refs = hub.api.list_repo_refs(hub.name, repo_type=DATASET)
        found = next((ref.target_commit for ref in refs.tags if ref.name == tag), None)
        if found is None:
            hub.api.create_tag(hub.name, tag=tag, revision=commit, repo_type=DATASET)
        elif found != commit:
            raise AlreadyExistsError(
                f"The tag {tag!r} of {hub.url!r} is of another commit, {found}: tags stay where they are. "
                "Choose another `tag`."
            )
