"""Local vaults: those that lie below a folder of this machine.

A vault is a folder whose `zarr.json` has a `strongbax` attribute; no vault lies inside another.
"""

import json
import os
from pathlib import Path
from typing import Any, cast

from ..vault.errors import NotFoundError

VARIABLE = "STRONGBAX_DATASETS_PATH"
DEFAULT = "~/.strongbax/datasets"


def datasets_path() -> Path:
    """Returns the folder where this user's datasets lie: `STRONGBAX_DATASETS_PATH`, or the default.

    For the command line; the library itself is told its paths.
    """
    return Path(os.environ.get(VARIABLE) or DEFAULT).expanduser()


def existing(folder: Path) -> Path:
    """Returns the folder if it is one.

    Raises:
      NotFoundError: otherwise.
    """
    if not folder.is_dir():
        raise NotFoundError(f"`folder` must be a folder to look in: {str(folder)!r} is none. Check the path.")
    return folder


def is_vault(path: Path) -> bool:
    """Tells whether a folder is a vault, by its root document alone.

    Example:
      >>> is_vault(Path("no/such/folder"))
      False
    """
    try:
        document: Any = json.loads((path / "zarr.json").read_bytes())
        attributes = cast("dict[str, Any]", document)["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return isinstance(attributes, dict) and "strongbax" in attributes


def find_vaults(folder: Path) -> list[Path]:
    """Returns the vaults at and below a folder, sorted by path; hidden folders, where some grow, left out.

    Example:
      >>> find_vaults(Path("no/such/folder"))
      []
    """
    found: list[Path] = []
    for here, folders, _ in os.walk(folder):
        if is_vault(Path(here)):
            found.append(Path(here))
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
    return sorted(found)


def size_on_disk(folder: Path) -> tuple[int, int]:
    """Returns the bytes and the number of the files below a folder.

    Example:
      >>> Path("a").mkdir(); Path("a/b").write_bytes(b"12345")
      5
      >>> size_on_disk(Path("a"))
      (5, 1)
    """
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(sizes), len(sizes)
