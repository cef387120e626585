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

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..vault.errors import AlreadyExistsError, CorruptionError
from ..vault.files import sync_file, write_new
from ..vault.manifest import FILE as MANIFEST
from ..vault.manifest import write_manifest
from ..vault.rewrite import facts_of
from .card import Card
from .episode_sheet import FILE as SHEET
from .episode_sheet import episode_parquet
from .leaks import attributes_of, check_no_leaks
from .manifest import Manifest
from .pages import FILE as PAGE
from .pages import write_page
from .publication import Progress, Terms
from .readme import readme
from .taking import take

if TYPE_CHECKING:
    from ..vault import Vault, View

README = "README.md"
OWN = (README, SHEET, PAGE)  # what is made anew for each publication


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

    hashes = take(folder, vault, progress, pack=terms.pack, link=link)
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
    known = {path: digest for path, digest in (hashes or {}).items() if path not in OWN}
    wrong = [f["path"] for f in files if known.get(f["path"], f["sha256"]) != f["sha256"]]
    _check_whole([f"the file {path} is not the one in the manifest" for path in wrong])
    for path in folder.rglob("*"):
        if path.is_file():
            sync_file(path)
    return Manifest.parse((folder / MANIFEST).read_bytes(), folder)


def _check_whole(problems: Sequence[str]) -> None:
    if problems:
        raise CorruptionError(
            f"The vault is damaged and was not published: {problems[0]} `strongbax repair` keeps "
            "what is whole."
        )


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
