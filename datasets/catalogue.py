"""The catalogue: every dataset that Strongbax knows by name, without touching the network.

The facts stand as data in the JSON files beside this module, one entry a line. An id reads
`namespace/env/quality-vN`; D4RL's own name is the same without the namespace and with `-` for the
last `/` (`D4RL/hopper/medium-v2` is `hopper-medium-v2`), and stays usable as an alias.
"""

import difflib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from .entry import DatasetEntry

# What every entry of a file shares; written once at the file's head.
_SHARED = ("format", "licence", "citation")


@cache
def entries() -> tuple[DatasetEntry, ...]:
    """Returns all entries, sorted by id.

    Example:
      >>> sum(entry.id.startswith("D4RL/hopper/") for entry in entries())
      17
    """
    files = sorted(Path(__file__).parent.glob("*.json"))
    return tuple(sorted((e for file in files for e in _load(file)), key=lambda e: e.id))


def find(name: str) -> DatasetEntry:
    """Returns the entry of an id or of one of its aliases.

    Args:
      name: an id (`D4RL/hopper/medium-v2`) or an alias (`hopper-medium-v2`).

    Raises:
      NotFoundError: if no dataset has that name; the message suggests the closest ones.

    Example:
      >>> find("hopper-medium-v2").id
      'D4RL/hopper/medium-v2'
    """
    entry = known(name)
    if entry is None:
        raise _not_found(name)
    return entry


def known(name: str) -> DatasetEntry | None:
    """Returns the entry of an id or of one of its aliases, None where no dataset has that name.

    Example:
      >>> known("hopper.vault") is None
      True
    """
    return _names().get(name)


def recognise(*, file: str | None = None, sha256: str | None = None) -> tuple[DatasetEntry, ...]:
    """Returns the entries whose published file this is; several may share one file.

    A checksum that is known decides alone. Otherwise the name is compared, and names a file that
    may have been changed: the caller knows by what it asked. Datasets that D4RL lists come first.

    Args:
      file: name of a file, without folders.
      sha256: of the file, in hexadecimal.

    Example:
      >>> [entry.id for entry in recognise(file="hopper_medium-v2.hdf5")]
      ['D4RL/hopper/medium-v2']
      >>> [entry.id for entry in recognise(file="door-human-v1.hdf5")]
      ['D4RL/door/human-v1', 'D4RL/door/human-longhorizon-v1']
    """
    same = [e for e in entries() if sha256 is not None and e.sha256 == sha256]
    same = same or _of_name(file)
    return tuple(sorted(same, key=lambda e: (not e.listed, e.id)))


def _of_name(name: str | None) -> list[DatasetEntry]:
    """The entries with a file of that name, unless different files have it: then it tells nothing."""
    found = [(entry, file) for entry in entries() for file in entry.files if file.path == name]
    return [entry for entry, _ in found] if len({file.urls for _, file in found}) == 1 else []


def _load(file: Path) -> list[DatasetEntry]:
    data = json.loads(file.read_text("utf-8"))
    shared = {key: data[key] for key in _SHARED if key in data}
    return [DatasetEntry.from_dict(shared | entry) for entry in data["datasets"]]


@cache
def _names() -> Mapping[str, DatasetEntry]:
    return MappingProxyType({name: entry for entry in entries() for name in entry.names})


def _not_found(name: str) -> Exception:
    # Imported here, for the vault's package is not needed to answer what is in the catalogue.
    from ..vault.errors import NotFoundError

    close = difflib.get_close_matches(name, _names(), n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(close)}?" if close else "`entries()` lists all of them."
    return NotFoundError(f"`name` must be the id or an alias of a dataset; got {name!r}. {hint}")
