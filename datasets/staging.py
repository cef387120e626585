"""Staging: a publication is made whole in a folder of this machine before anybody can see a byte of it.

```
# zarr.json steps/ final/ episodes/ attached/    the vault, packed
# README.md                                      its card, with the header that the Hub reads
# episodes.parquet                               the episode table
# index.html                                     the page
# manifest.json                                  path, size and SHA-256 of all of these
```
The same vault gives the same bytes, so a publication that was interrupted finds again what it had sent.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..vault.errors import AlreadyExistsError, ConflictError, CorruptionError
from ..vault.extras import copy
from ..vault.files import Lock, sync_file, write_new
from ..vault.manifest import FILE as MANIFEST
from ..vault.manifest import read_manifest, write_manifest
from ..vault.parts import part_folders
from ..vault.rewrite import Layout, copy_attached, facts_of, write_out
from ..vault.root import LOCK
from .card import Card
from .episode_sheet import FILE as SHEET
from .episode_sheet import episode_parquet
from .leaks import attributes_of, check_no_leaks
from .manifest import Manifest
from .pages import FILE as PAGE
from .pages import write_page
from .publication import Progress, Terms
from .readme import readme

if TYPE_CHECKING:
    from ..vault import Vault, View

README = "README.md"
OWN = (README, SHEET, PAGE)  # what is made anew for each publication

# What of a vault's folder is published: the vault itself. Resume points, logs and stray files are not.
_VAULT = ("zarr.json", "steps", "final", "episodes", "attached", "parts")
_PRIVATE = ("resume", "log", LOCK, MANIFEST)


def check_publishable(vault: "Vault | View", card: Mapping[str, Any], allow: Any = ()) -> Card:
    """Checks that a vault has what a published dataset must have, and nothing that must not be seen.

    Raises:
      ValueError: if its card lacks id, licence or citation, has a wrong field, or something seems to leak.
    """
    checked = Card.from_dict(card)
    checked.check_publishable()
    facts: dict[str, Any] = {"card": card}
    facts["attributes"] = dict(getattr(vault, "attributes", {}))
    check_no_leaks(facts | attributes_of(vault.episodes), allow=allow)
    return checked


def card_of(vault: "Vault | View") -> Mapping[str, Any]:
    """Gives the card that a vault or view will have once it is written."""
    return facts_of(vault.finished().selected()).card


def stage(folder: Path, vault: "Vault | View", terms: Terms, progress: Progress, *, link: bool) -> Manifest:
    """Makes the publication of a vault in a folder that is empty but for a lock; every file is durable.

    Args:
      folder: to fill.
      vault: open; its card was checked.
      terms: how.
      progress: told what goes on.
      link: files of a vault that need not be written anew may be the vault's own, not copies.

    Returns:
      Its manifest.

    Raises:
      CorruptionError: if what is to be published is damaged.
      ConflictError: if the vault is to be taken as it is, and cannot be.
    """
    from ..vault import Vault

    hashes = _write_vault(folder, vault, terms, progress, _link if link else copy)
    with Vault.open(folder) as staged:
        if hashes == {}:
            _check_whole(staged.verify().problems)
        facts = {
            "dataset_id": Card.from_dict(staged.card).dataset_id,
            "steps": staged.num_steps,
            "episodes": staged.num_episodes,
        }
        if terms.table:
            write_new(folder / SHEET, episode_parquet(staged.episodes))
        text = readme(staged, table=SHEET if terms.table else None)
    write_new(folder / README, text.encode())
    if terms.page:
        write_page(folder)
    progress("Hashing", 0, None)
    files = write_manifest(folder, facts=facts)["files"]
    wrong = [f["path"] for f in files if (hashes or {}).get(f["path"], f["sha256"]) != f["sha256"]]
    _check_whole([f"the file {path} is not the one in the manifest" for path in wrong])
    for path in folder.rglob("*"):
        if path.is_file():
            sync_file(path)
    return Manifest.parse((folder / MANIFEST).read_bytes(), folder)


def _write_vault(
    folder: Path,
    vault: "Vault | View",
    terms: Terms,
    progress: Progress,
    take: Callable[[Path, Path], None],
) -> dict[str, str] | None:
    """Puts a vault into a folder.

    Returns:
      None where it was written anew, of bytes that were checked. Else the SHA-256 that files must have, by
      path, all that are known.
    """
    own = _whole(vault)
    manifest = read_manifest(own) if own is not None else None
    if own is not None and manifest is not None and vault.schema.packed and not part_folders(own):
        _take(own, folder, take)
        return {file["path"]: file["sha256"] for file in manifest["files"] if file["path"] not in OWN}
    if not terms.pack:
        if own is None:
            raise ConflictError(
                "Only a vault in a folder can be published as it is: got a view, or one on an object store. "
                "Leave pack=True."
            )
        _take_closed(own, folder, take)
        return {}
    chosen = vault.finished().selected()

    def tell(done: int, total: int) -> None:
        progress("Packing", done, total)

    write_out(folder, chosen, Layout("zstd", packed=True), facts_of(chosen), tell)
    copy_attached(folder, chosen)
    return None


def _check_whole(problems: Sequence[str]) -> None:
    if problems:
        raise CorruptionError(
            f"The vault is damaged and was not published: {problems[0]} `strongbax repair` keeps "
            "what is whole."
        )


def _whole(vault: "Vault | View") -> Path | None:
    """Gives the folder of a vault; None for a view, and for what is on an object store."""
    path = getattr(vault, "path", None)
    return path if isinstance(path, Path) else None


def _take_closed(source: Path, folder: Path, how: Callable[[Path, Path], None]) -> None:
    """Takes a vault as it is, which nobody writes meanwhile."""
    lock = Lock(source / LOCK) if (source / LOCK).exists() else None
    try:
        logs = [log for log in source.rglob("log/*.log") if log.stat().st_size]
        if logs:
            raise ConflictError(
                f"The vault {str(source)!r} has steps in its log, as it was not closed: open it with "
                "mode='a' and close it, or publish it packed."
            )
        _take(source, folder, how)
    finally:
        if lock is not None:
            lock.release()


def _take(source: Path, folder: Path, how: Callable[[Path, Path], None]) -> None:
    for name in _VAULT:
        if (source / name).exists():
            how(source / name, folder / name)
    for path in (folder / "parts").rglob("*"):
        if path.name in _PRIVATE and path.is_file():
            path.unlink()


def _link(source: Path, target: Path) -> None:
    """Gives a file, or all files below a folder, another name; where that cannot be, a copy."""
    if source.is_dir():
        target.mkdir()
        for entry in sorted(source.iterdir()):
            _link(entry, target / entry.name)
        return
    try:
        os.link(source, target)
    except OSError:
        copy(source, target)


def check_successor(new: Manifest, old: str | None, place: str, *, overwrite: bool) -> None:
    """Checks that what stands at a place is an older publication of the same dataset.

    Args:
      new: to be published.
      old: id of the dataset that stands there, or None.
      place: for the message.
      overwrite: it may be another's.

    Raises:
      AlreadyExistsError: if it is another's.
    """
    if old not in (None, new.dataset_id) and not overwrite:
        raise AlreadyExistsError(
            f"{place!r} has another dataset, {old}: {new.dataset_id} would take its place. Choose another "
            "destination, or pass overwrite=True."
        )
