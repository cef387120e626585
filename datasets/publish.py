"""Publishing: a vault becomes a dataset that others fetch, whole or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..vault.location import Location, location_of
from ..vault.objects import ObjectPath
from .address import parse_address
from .folder_shelf import publish_to_folder
from .hub import Hub
from .hub_shelf import publish_to_hub
from .object_shelf import publish_to_objects
from .publication import Progress, Publication, Terms, silence
from .staging import card_of, check_publishable

if TYPE_CHECKING:
    from ..vault import Vault, View


def publish(
    vault: "Vault | View | Location | str",
    destination: str | Path,
    *,
    pack: bool = True,
    table: bool = True,
    page: bool = True,
    tag: str | None = None,
    parent: str | None = None,
    allow: Sequence[str] = (),
    overwrite: bool = False,
    work: str | Path | None = None,
    storage: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Publication:
    """Publishes a vault: packed, with a README, a page, a table of its episodes, and a manifest.

    Whenever the call ends, killed too, whoever looks finds what stood there before or all that is new.
    Calling it again sends only what is not there. The same vault is the same bytes everywhere.

    Args:
      vault: a vault, a view, or the path of a vault; its card names id, licence and citation.
      destination: a folder, or a URL: `s3://bucket/place`, `gs://bucket/place`, `hf://user/name`.
      pack: write the vault anew for reading, where it is not packed. False: its files as they are.
      table: put `episodes.parquet` beside it; needs pyarrow.
      page: put `index.html` beside it, which shows the vault to whoever opens it on a web server.
      tag: a name for this publication, by which it can be fetched for ever; not in a folder.
      parent: the publication that this one follows: its number, or the Hub's commit. Another one that stands
        there by now is not replaced.
      allow: fields of card and attributes, such as `card/provenance`, that may hold what looks like a secret
        or a private path.
      overwrite: take the place of whatever vault stands there. Else only an older publication of the
        same dataset is replaced.
      work: folder in which it is made before it is sent; None: beside the vault.
      storage: how to reach an object store, as in `Vault.open`; the Hub: `endpoint`, `token` and `private`,
        which makes a new repository private.
      progress: called as `progress(what, done, total)` in bytes; `total` may be None.

    Returns:
      What stands there now.

    Raises:
      ValueError: if the card lacks something, or something that would be published looks like a secret: the
        message names each field.
      AlreadyExistsError: if something else stands there.
      ConflictError: if somebody else published there meanwhile.
      CorruptionError: if the vault is damaged; nothing was published.
      StorageError: if the disk refuses.
      MissingExtraError: if a library is missing, naming the extra.

    Example:
      >>> from strongbax.vault.view import example
      >>> vault = example(lengths=[5, 2])
      >>> with type(vault).open(vault.path, mode="a") as writer:
      ...     writer.write_card({"dataset_id": "toy/walk-v0", "licence": "CC0-1.0", "citation": "Ada, 1843"})
      >>> done = publish(vault.path, "published")
      >>> done.dataset_id, (Path("published") / "README.md").exists()
      ('toy/walk-v0', True)
      >>> publish(vault.path, "published").sent  # the same is there
      0
    """
    from ..vault import Vault

    if isinstance(vault, str | Path | ObjectPath):
        reach = storage if "://" in str(vault) and not str(destination).startswith("hf:") else None
        with Vault.open(location_of(vault, reach)) as opened:
            return publish(
                opened,
                destination,
                pack=pack,
                table=table,
                page=page,
                tag=tag,
                parent=parent,
                allow=allow,
                overwrite=overwrite,
                work=work,
                storage=storage,
                progress=progress,
            )
    address = parse_address(destination)
    if address.pin is not None:
        raise ValueError(f"`destination` must name no revision: got '@{address.pin}'. Use `tag` to name one.")
    check_publishable(vault, card_of(vault), allow)
    terms, tell = Terms(pack, table, page, tuple(allow), overwrite), progress or silence
    room = None if work is None else Path(work)
    if address.scheme == "hf":
        hub = Hub(address, storage)
        return publish_to_hub(vault, hub, terms, tag=tag, parent=parent, work=room, progress=tell)
    place = location_of(address.url, storage)
    if isinstance(place, ObjectPath):
        return publish_to_objects(vault, place, terms, tag=tag, parent=parent, work=room, progress=tell)
    if tag is not None or parent is not None:
        raise ValueError(
            "`tag` and `parent` are for places that keep older publications: a folder holds one. Leave them "
            "out."
        )
    return publish_to_folder(vault, place, terms, tell)
