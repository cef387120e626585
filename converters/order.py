"""An order: what is to be converted, and how; equal orders are one conversion, whoever works at it, and when.

```
# .hopper.vault.converting/lock               held while one process makes the vault, or puts it in its place
#                         /5f2c…/order.json   the order; the folder is named by its hash
#                               /vault        the new vault, growing
#                               /share-0      what waits of a share, beside its shards
#                               /share-0.json the share is whole and compared with the source
#                         /ready              the new vault, for the moment before it is put in place
```
The folder stands beside the vault's place, so that a conversion that was killed is found and goes on.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..vault.files import make_directories
from ..vault.files import replace as replace_file
from .source import ReadAgain

FILE = "order.json"
_DIGITS = 16  # of a hash in a folder's name


@dataclass(frozen=True)
class Order:
    """What is to be made.

    Attributes:
      fingerprint: of the source's files, by name, size and times: others mean another conversion.
      size: of the source, in bytes.
      sha256: of the source; see `Origin`.
      form: name of the format.
      given: options, as the user gave them.
      options: that the source is read with.
      notes: why they are not those given, a sentence each.
      skip_bad: leave out what cannot be read.
      share_bytes: of the vault that are one share, about.
      version: of this library.
    """

    fingerprint: str
    size: int
    sha256: str
    form: str
    given: Mapping[str, Any]
    options: Mapping[str, Any]
    notes: tuple[str, ...]
    skip_bad: bool
    share_bytes: int
    version: str = __version__

    def to_json(self) -> str:
        """Returns the order as a text, always the same for the same order."""
        return json.dumps(asdict(self), sort_keys=True, default=str)

    @property
    def name(self) -> str:
        """The folder's name."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:_DIGITS]

    def again(self, why: ReadAgain) -> "Order":
        """Returns the order to read the source otherwise."""
        return replace(self, options={**self.options, **why.options}, notes=(*self.notes, why.why))

    def follows(self, other: "Order") -> bool:
        """Says whether this is the other order, or what became of it."""
        mine, others = (replace(one, options={}, notes=()).to_json() for one in (self, other))
        return mine == others and len(self.notes) >= len(other.notes)


def work_of(dst: Path) -> Path:
    """Returns the folder in which the vault of a place is made.

    Example:
      >>> work_of(Path("runs/hopper.vault")).name
      '.hopper.vault.converting'
    """
    dst = dst.absolute()
    return dst.with_name(f".{dst.name}.converting")


def fingerprint(path: Path) -> str:
    """Returns what tells a file or folder from itself after a change, without reading it.

    Example:
      >>> from pathlib import Path
      >>> _ = Path("a").write_text("some")
      >>> first = fingerprint(Path("a"))
      >>> _ = Path("a").write_text("more")
      >>> fingerprint(Path("a")) == first
      False
    """
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    lines: list[str] = []
    for file in files:
        about = file.stat()
        # The time of the last change too: a copy may keep the other one.
        lines.append(f"{file.relative_to(path)} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def save(order: Order, work: Path) -> Path:
    """Notes an order in a folder of its own, durably, and returns the folder; twice is harmless."""
    folder = work / order.name
    if not (folder / FILE).exists():
        make_directories(folder)
        replace_file(folder / FILE, order.to_json().encode())
    return folder


def newest(order: Order, work: Path) -> Order:
    """Returns what became of an order while others were at work on it."""
    return max((order, *(one for one in orders(work) if one.follows(order))), key=lambda one: len(one.notes))


def orders(work: Path) -> Iterator[Order]:
    """Yields the orders that are noted in a folder."""
    for path in sorted(work.glob(f"*/{FILE}")):
        try:
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            found["notes"] = tuple(found["notes"])
            yield Order(**found)
        except (OSError, ValueError, TypeError, KeyError):
            continue  # of another version, or going this moment
