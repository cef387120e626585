"""The manifest: path, size and SHA-256 of every file of a packed vault.

Whoever publishes or fetches needs no listing of folders, and can tell whether a file is the one that was
made. A writer removes it, since it would not hold any more.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import CorruptionError
from .files import write_new
from .root import LOCK

FILE = "manifest.json"
FORMAT = 1

_PIECE = 1 << 20

Progress = Callable[[int, int], None]


def write_manifest(
    folder: Path, *, without: str = "", facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Writes the manifest of the files that are in a folder, but for those of a name that will not stay.

    Args:
      folder: of the files.
      without: name of files that are left out.
      facts: further fields, which readers of vaults ignore.

    Returns:
      What stands in it: `format`, and `files`, each with `path`, `size` in bytes and `sha256` in hexadecimal.
    """
    files = [
        {"path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "sha256": sha256_of(path)}
        for path in _files(folder)
        if path.name != without
    ]
    manifest = {"format": FORMAT, **(facts or {}), "files": files}
    write_new(folder / FILE, json.dumps(manifest, indent=1).encode() + b"\n")
    return manifest


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Reads a vault's manifest, or gives None where there is none.

    Raises:
      CorruptionError: if it is none that can be read.
    """
    try:
        manifest = json.loads((folder / FILE).read_bytes())
        for file in manifest["files"]:
            _ = str(file["path"]), int(file["size"]), bytes.fromhex(file["sha256"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, LookupError) as error:
        raise CorruptionError(
            f"The manifest {str(folder / FILE)!r} is damaged: {error!r}. The steps are not touched; pack the "
            "vault again, or remove the file."
        ) from error
    return manifest


def check_manifest(folder: Path, *, deep: bool, progress: Progress | None = None) -> list[str]:
    """Compares the files of a vault with its manifest, and names those that differ; none where it has none.

    Args:
      folder: of the vault.
      deep: compare hashes; otherwise sizes.
      progress: called with (done, total) in files.
    """
    try:
        manifest = read_manifest(folder)
    except CorruptionError as error:
        return [str(error)]
    if manifest is None:
        return []
    wrong: list[str] = []
    for done, file in enumerate(manifest["files"], 1):
        what = _differs(folder / file["path"], file, deep=deep)
        if what is not None:
            wrong.append(f"The file {file['path']} is not the one in the manifest: {what}.")
        if progress is not None:
            progress(done, len(manifest["files"]))
    return wrong


def sha256_of(path: Path) -> str:
    """Gives a file's SHA-256, in hexadecimal.

    Example:
      >>> _ = Path("a").write_bytes(b"abc")
      >>> sha256_of(Path("a"))[:8]
      'ba7816bf'
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _differs(path: Path, file: Mapping[str, Any], *, deep: bool) -> str | None:
    if not path.is_file():
        return "it is missing"
    if path.stat().st_size != file["size"]:
        return f"it has {path.stat().st_size} bytes, not {file['size']}"
    if deep and sha256_of(path) != file["sha256"]:
        return "its hash is another"
    return None


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_file() and path.name not in (LOCK, FILE):
            yield path
