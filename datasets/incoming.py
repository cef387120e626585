"""A dataset on its way into the cache: downloaded, converted, verified, put in place."""

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..vault.errors import CorruptionError, FormatError
from ..vault.files import make_directories, storage_errors, sync_directory
from .download import Patience, download
from .entry import DatasetEntry
from .published import PublishedFile

WORK = ".fetching"

# Called as `progress(what, done, total)`: bytes while it is downloaded; steps while it is converted, where
# every step counts twice.
Progress = Callable[[str, int, int | None], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Incoming:
    """One dataset on its way into the cache.

    Attributes:
      entry: the dataset.
      root: folder of the cache.
      offline: ask nobody for anything.
      mirrors: URLs of folders, tried before the entry's own addresses.
      progress: told what goes on.
      patience: with the network.
    """

    entry: DatasetEntry
    root: Path
    offline: bool
    mirrors: tuple[str, ...]
    progress: Progress
    patience: Patience

    @property
    def work(self) -> Path:
        """The folder in which it is made."""
        return self.root / WORK / self.entry.id.replace("/", "--")

    @property
    def files(self) -> Path:
        """The folder of the files; its name goes into the card."""
        return self.work / self.entry.id.rpartition("/")[2]

    @property
    def downloaded(self) -> bool:
        """Whether all files have come."""
        return all((self.files / file.path).exists() for file in self.entry.files)

    def urls(self, file: PublishedFile) -> tuple[str, ...]:
        """Returns where a file can be had, in the order in which they are tried."""
        return (*(f"{mirror.rstrip('/')}/{file.path}" for mirror in self.mirrors), *file.urls)

    def make(self, place: Path) -> None:
        """Downloads, converts, verifies, and puts in place."""
        self.download()
        vault = self.work / "vault"
        self.convert(vault)
        self.sign(vault)
        with storage_errors(place, "put in place"):
            make_directories(place.parent)
            vault.rename(place)
            sync_directory(place.parent)
        shutil.rmtree(self.work, ignore_errors=True)

    def download(self) -> None:
        """Downloads the files that are not there yet."""
        for file in self.entry.files:
            path = self.files / file.path
            if path.exists():
                continue
            with storage_errors(path, "make room for"):
                make_directories(path.parent)
            _log.info("Downloading %s of %s.", file.path, self.entry.id)
            label = f"Downloading {file.name}"
            download(
                file,
                path,
                urls=self.urls(file),
                progress=lambda done, total, label=label: self.progress(label, done, total),
                patience=self.patience,
            )

    def convert(self, vault: Path) -> None:
        """Makes the vault of the files."""
        from ..converters import convert

        alone = len(self.entry.files) == 1 and "/" not in self.entry.files[0].path
        source = self.files / self.entry.files[0].path if alone else self.files
        label = f"Converting {source.name}"
        try:
            convert(
                source,
                vault,
                format=self.entry.format,
                overwrite=True,
                progress=lambda done, total: self.progress(label, done, total),
                **self.entry.options,
            )
        except FormatError as error:
            raise self.refuse(error) from error

    def refuse(self, error: FormatError) -> FormatError:
        """Throws away what may be a wrong file; one whose checksum is right is kept."""
        unknown = [file for file in self.entry.files if not (file.sha256 or file.md5)]
        for file in unknown:
            (self.files / file.path).unlink(missing_ok=True)
        done = "it was removed; another mirror may have the right one" if unknown else "its checksum is right"
        return FormatError(f"What came for {self.entry.id} is not what it should be, {done}: {error}")

    def sign(self, path: Path) -> None:
        """Writes into the card which dataset this is, and reads every byte of the vault."""
        from ..vault import Vault

        with Vault.open(path, mode="a") as vault:
            vault.write_card(dict(vault.card) | self.card(vault.card))
            report = vault.verify()
        if not report.ok:
            raise CorruptionError(f"The vault of {self.entry.id} is damaged: {report.problems[0]}")

    def card(self, written: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what the card says of the dataset, over what the conversion wrote."""
        entry = self.entry
        facts = {
            "dataset_id": entry.id,
            "licence": entry.licence,
            "citation": entry.citation,
            "ref_min_score": entry.ref_min_score,
            "ref_max_score": entry.ref_max_score,
            "horizon": entry.horizon,
        }
        provenance = written["provenance"] | {
            "url": entry.url,
            "files": [file.to_dict() for file in entry.files],
        }
        return {name: fact for name, fact in facts.items() if fact is not None} | {"provenance": provenance}
