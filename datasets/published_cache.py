"""Publications in the cache: fetched once a revision, and opened from then on.

```
# <folder>/hf/ada/walk@3f2a09c4d1e8       the vault of one revision; newer ones stand beside it
#         /hf/ada/.walk.json              the revision that each pin meant when it was last asked for
```
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..vault.errors import CorruptionError, StorageError
from ..vault.files import make_directories, replace, storage_errors
from .address import Address, parse_address
from .arrival import is_there
from .download import Patience
from .fetch import bring, open_source
from .incoming import WORK
from .publication import Progress
from .turns import turn

DIGITS = 12  # of a revision, in the name of its folder


def fetch_published(
    text: str,
    root: Path,
    *,
    offline: bool,
    storage: Mapping[str, Any] | None,
    progress: Progress,
    patience: Patience,
) -> Path:
    """Sees to it that a publication is in the cache, and returns where; see `load_dataset`.

    Args:
      text: its address.
      root: folder of the cache.
      offline: ask nobody: what was fetched last is meant.
      storage: how it is reached.
      progress: told what goes on.
      patience: with the network.

    Raises:
      StorageError: if it cannot be had: the network, the disk, or `offline`.
      NotFoundError, CorruptionError: as `fetch`.
    """
    address = parse_address(text)
    home = _home(root, address)
    notes = home.with_name(f".{home.name}.json")
    if offline:
        name = _read(notes).get(address.pin or "")
        place = home if name is None else home.with_name(name)
        if name is None or not place.exists():
            raise StorageError(
                f"{text} is not in {str(root)!r}, and `offline` forbids to fetch it. Call once without it."
            )
        return place
    source = open_source(text, storage, patience)
    place = home.with_name(f"{home.name}@{source.manifest.revision[:DIGITS]}")
    if not is_there(place, source.manifest):
        if place.exists():
            raise CorruptionError(
                f"The vault at {str(place)!r} is damaged: it is not what was published. Remove it, and it is "
                "fetched anew."
            )
        lock = root / WORK / f"{quote(address.url, safe='')}.lock"
        with storage_errors(root, "make room in"):
            make_directories(lock.parent)
        with turn(lock):
            bring(source, place, progress=progress)
    _note(notes, address, place)
    return place


def _home(root: Path, address: Address) -> Path:
    """Gives where revisions of a publication lie, but for what follows the `@`."""
    parts = [quote(part, safe="") for part in address.rest.split("/") if part]
    return root.joinpath(address.scheme, *(part.replace("..", "%2E%2E") for part in parts))


def _note(notes: Path, address: Address, place: Path) -> None:
    known = _read(notes)
    if known.get(address.pin or "") != place.name:
        with storage_errors(notes, "write"):
            replace(notes, json.dumps(known | {address.pin or "": place.name}).encode())


def _read(notes: Path) -> dict[str, str]:
    try:
        known: Any = json.loads(notes.read_bytes())
    except (OSError, ValueError):
        return {}
    return (
        {str(pin): Path(str(name)).name or "-" for pin, name in known.items()}
        if isinstance(known, dict)
        else {}
    )
