"""The cache: datasets by name, fetched and converted once, then opened.

```
# <folder>/D4RL/hopper/medium-v2/         the vault; it is there whole, or not at all
#         /.fetching/<id>.lock            held by whoever fetches it; the others wait
#         /.fetching/<id>/medium-v2/…     the files as they come
#         /.fetching/<id>/vault           the vault, until it is verified
```
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..vault.errors import AlreadyExistsError, CorruptionError, FormatError, StorageError
from ..vault.files import Lock, make_directories, storage_errors
from .catalogue import find
from .download import Patience
from .entry import DatasetEntry
from .incoming import Incoming, Progress
from .local import datasets_path, is_vault
from .published_cache import fetch_published
from .turns import turn

if TYPE_CHECKING:
    from ..vault import Vault


def load_dataset(
    name: str,
    *,
    folder: str | Path | None = None,
    offline: bool = False,
    mirrors: Sequence[str] = (),
    progress: Progress | None = None,
    patience: Patience | None = None,
    storage: Mapping[str, Any] | None = None,
) -> "Vault":
    """Opens a dataset by its name, fetching and converting it if it is not in the cache yet.

    A call that is killed leaves nothing half-made; the next one goes on with the download. Of several
    processes that ask for the same dataset one fetches it and the others wait.

    Args:
      name: id or alias of a dataset, or the address of a publication, as in `strongbax.fetch`:
        `hf://user/name@revision`.
      folder: of the cache; None: `STRONGBAX_DATASETS_PATH`, or `~/.strongbax/datasets`.
      offline: ask nobody for anything: what is not there is an error.
      mirrors: URLs of folders that have the dataset's files by their names; tried first, in this order.
      progress: called as `progress(what, done, total)`: `what` goes on, in bytes while it is downloaded and
        in steps while it is converted. `total` is None where the server does not tell it.
      patience: with the network; None: `Patience()`.
      storage: how to reach where it is published, as in `strongbax.fetch`.

    Returns:
      The vault, open for reading.

    Raises:
      NotFoundError: if no dataset has that name.
      FormatError: if there is no converter for its files yet, or what came is not what it should be.
      StorageError: if it cannot be had: the network, the disk, or `offline`.
      CorruptionError: if the vault in the cache is damaged.

    Example:
      >>> load_dataset("hopper-medium-v2", folder="cache", offline=True)
      Traceback (most recent call last):
      ...
      strongbax.vault.errors.StorageError: D4RL/hopper/medium-v2 is not in 'cache', and `offline` ...
    """
    from ..vault import Vault

    path = fetch_dataset(
        name,
        folder=folder,
        offline=offline,
        mirrors=mirrors,
        progress=progress,
        patience=patience,
        storage=storage,
    )
    return Vault.open(path)


def fetch_dataset(
    name: str,
    *,
    folder: str | Path | None = None,
    offline: bool = False,
    mirrors: Sequence[str] = (),
    progress: Progress | None = None,
    patience: Patience | None = None,
    storage: Mapping[str, Any] | None = None,
) -> Path:
    """Sees to it that a dataset is in the cache, and returns where; see `load_dataset`.

    Example:
      >>> fetch_dataset("no-such-dataset")
      Traceback (most recent call last):
      ...
      strongbax.vault.errors.NotFoundError: `name` must be the id or an alias of a dataset; ...
    """
    root = datasets_path() if folder is None else Path(folder).expanduser()
    if "://" in name:
        return fetch_published(
            name,
            root,
            offline=offline,
            storage=storage,
            progress=progress or _silence,
            patience=patience or Patience(),
        )
    entry = find(name)
    place = root / entry.id
    fetch = Incoming(entry, root, offline, tuple(mirrors), progress or _silence, patience or Patience())
    if _ready(place):
        _sweep(fetch.work)
    else:
        _check_converter(entry)
        if offline and not fetch.downloaded:
            raise StorageError(
                f"{entry.id} is not in {str(root)!r}, and `offline` forbids to fetch it: "
                f"it would come from {' and '.join(fetch.urls(file)[0] for file in entry.files)}. "
                "Call once without `offline`, or copy the vault there."
            )
        with storage_errors(root, "make room in"):
            make_directories(fetch.work.parent)
        with turn(_lock_of(fetch.work)):
            if not _ready(place):
                fetch.make(place)
    return place


def _ready(place: Path) -> bool:
    """Tells whether a dataset's vault is there, having looked that it is whole."""
    if not is_vault(place):
        if place.exists() and any(place.iterdir()):
            raise AlreadyExistsError(
                f"What stands at {str(place)!r} is no vault, or a damaged one. "
                "Remove it, and it is fetched anew."
            )
        return False
    from ..vault import Vault

    with Vault.open(place) as vault:
        problems = vault.verify(deep=False).problems
    if problems:
        raise CorruptionError(
            f"The vault at {str(place)!r} is damaged: {problems[0]} Remove it, and it is fetched anew."
        )
    return True


def _check_converter(entry: DatasetEntry) -> None:
    from ..converters.formats import FORMATS

    names = [form.name for form in FORMATS]
    if entry.format not in names:
        raise FormatError(
            f"{entry.id} is in the format {entry.format}, for which there is no converter yet; there are "
            f"{', '.join(names)}. Its files are at {', '.join(file.urls[0] for file in entry.files)}."
        )


def _sweep(work: Path) -> None:
    """Removes what a call left that was killed when the vault was already in its place."""
    if work.exists():
        with suppress(OSError):  # somebody is at it, or the cache is read-only
            lock = Lock(_lock_of(work))
            shutil.rmtree(work, ignore_errors=True)
            lock.release()


def _lock_of(work: Path) -> Path:
    return work.with_name(f"{work.name}.lock")


def _silence(what: str, done: int, total: int | None) -> None:
    """Takes progress that nobody asked for."""
