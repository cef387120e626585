"""Where a vault comes from: which file, which bytes, which dataset, read how."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry


@dataclass(frozen=True)
class Origin:
    """The file or folder that is converted, and what the catalogue knows of it.

    Attributes:
      path: of the file or folder.
      size: in bytes; of a folder, that of all its files.
      sha256: in hexadecimal; of a folder, that of a line `<sha256>  <path below it>` a file, sorted by path.
      entry: the dataset that it is, or None.
      same_bytes: whether the file has the checksum that the catalogue knows; None if it knows none.
    """

    path: Path
    size: int
    sha256: str
    entry: "DatasetEntry | None"
    same_bytes: bool | None

    @property
    def dataset_id(self) -> str | None:
        """Of the dataset that it is; None where the catalogue knows that it has other bytes."""
        return None if self.entry is None or self.same_bytes is False else self.entry.id

    @property
    def notes(self) -> tuple[str, ...]:
        """What is told of it where it is named like a dataset that it is not."""
        if self.entry is None or self.same_bytes is not False:
            return ()
        told = (
            f"The file has the name of {self.entry.id}, but not its SHA-256: it is read with that dataset's "
            "horizon, and gets neither its id nor its licence, citation and scores."
        )
        return (told,)

    def to_card(self, form: str, options: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what the card says of the origin, JSON.

        The file's name is kept and its folder is not: it means nothing on another machine.

        Args:
          form: name of the format that it was read as.
          options: of the conversion, as the user gave them.
          facts: of the source.
        """
        entry = None if self.same_bytes is False else self.entry
        about: dict[str, Any] = {} if entry is None else _about(entry)
        return about | {
            "provenance": {
                "file": self.path.name,
                "url": None if entry is None else entry.url,
                "size": self.size,
                "sha256": self.sha256,
                "matches_catalogue": self.same_bytes,
                "format": form,
                "converter": f"{__package__}.{form}",
                "version": __version__,
                "options": dict(options),
                "source": dict(facts),
            }
        }


def inspect(path: Path) -> Origin:
    """Returns the origin of a file or folder, having read all its bytes once.

    A file is recognised by its checksum, else by its name.

    Example:
      >>> Path("hopper_medium-v2.hdf5").write_bytes(b"something else")
      14
      >>> origin = inspect(Path("hopper_medium-v2.hdf5"))
      >>> origin.entry.id, origin.same_bytes
      ('D4RL/hopper/medium-v2', False)
    """
    sha256 = _of_folder(path) if path.is_dir() else _of_file(path)
    size = sum(file.stat().st_size for file in _files(path)) if path.is_dir() else path.stat().st_size
    return origin_of(path, size, sha256)


def origin_of(path: Path, size: int, sha256: str, options: Mapping[str, Any] | None = None) -> Origin:
    """Returns the origin of a file or folder whose size and hash are known.

    Args:
      path: of it.
      size: in bytes.
      sha256: in hexadecimal.
      options: that it is read with: of several datasets in one file, they tell which it is.

    Example:
      >>> origin_of(Path("hopper_medium-v2.hdf5"), 0, "").entry.id
      'D4RL/hopper/medium-v2'
    """
    # Imported here: only this module asks the catalogue, and only for facts.
    from ..datasets.catalogue import recognise

    found = recognise(file=path.name, sha256=sha256)
    meant = [one for one in found if one.options.items() <= (options or {}).items()]
    alike = all(one.options == found[0].options for one in found)
    entry = next(iter(meant or (found if alike else ())), None)
    same = None if entry is None or entry.sha256 is None else entry.sha256 == sha256
    return Origin(path, size, sha256, entry, same)


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_folder(path: Path) -> str:
    lines = [f"{_of_file(file)}  {file.relative_to(path).as_posix()}\n" for file in _files(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(path: Path) -> list[Path]:
    """The files below a folder, by their paths."""
    found = (file for file in path.rglob("*") if file.is_file())
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def _about(entry: "DatasetEntry") -> dict[str, Any]:
    return {
        "dataset_id": entry.id,
        "licence": entry.licence,
        "citation": entry.citation,
        "ref_min_score": entry.ref_min_score,
        "ref_max_score": entry.ref_max_score,
    }
