"""A publication: a dataset as it stands somewhere, for everybody to fetch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Called as `progress(what, done, total)`, in bytes; total is None where it is not known.
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Publication:
    """What was published.

    Attributes:
      place: URL or path of the publication; who is given it gets the newest.
      pinned: the same, but of exactly these bytes for ever; `place` in a folder, which holds one.
      dataset_id: `namespace/name-vN`.
      revision: names every byte of it, 32 hexadecimal digits; the same wherever the same is published.
      version: where the place counts its publications: a number, or the Hub's commit; else None.
      files: that it has.
      size: of them, in bytes.
      sent: bytes that were copied or uploaded this time; 0 where all was there already.
    """

    place: str
    pinned: str
    dataset_id: str
    revision: str
    version: str | None
    files: int
    size: int
    sent: int


@dataclass(frozen=True)
class Terms:
    """How something is published.

    Attributes:
      pack: write the vault anew for reading, if it is not packed; else its files are taken as they are.
      table: put `episodes.parquet` beside it.
      page: put the static page beside it.
      allow: fields that may hold what looks like a secret or a private path.
      overwrite: take the place of what is no older publication of the same dataset.
    """

    pack: bool = True
    table: bool = True
    page: bool = True
    allow: Sequence[str] = ()
    overwrite: bool = False


def silence(what: str, done: int, total: int | None) -> None:
    """Takes progress that nobody asked for."""
