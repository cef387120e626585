"""The root `zarr.json`: what the shards hold, and the commit point of sealing.

It is a Zarr v3 group document with consolidated metadata, so one atomic rename publishes the new lengths
of all arrays to every Zarr reader at once. A crc32c over its own bytes tells a flipped one.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .arrays import ArraySpec
from .checksum import crc32c
from .dtypes import NpArray
from .errors import CorruptionError, FormatError, NotFoundError
from .location import Location
from .schema import Schema

FILE = "zarr.json"
LOCK = "writer.lock"
FORMAT = 1
GROUPS = ("steps", "final", "episodes")

_CRC = re.compile(rb'"crc32c": "([0-9a-f]{8})"')
_NO_CRC = b'"crc32c": "00000000"'


@dataclass(frozen=True)
class Running:
    """The episodes that have not ended, one a stream.

    Attributes:
      start: int64 [B], time of the episode's first step.
      total: float64 [B, ...], rewards summed so far.
    """

    start: NpArray
    total: NpArray

    def to_dict(self) -> dict[str, Any]:
        """Gives the running episodes as JSON; floats survive exactly."""
        return {"start": self.start.tolist(), "total": self.total.tobytes().hex()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], return_shape: tuple[int, ...]) -> "Running":
        """Reads the running episodes from JSON."""
        start = np.array(data["start"], np.int64)
        total = np.frombuffer(bytes.fromhex(data["total"]), np.float64)
        return cls(start, total.reshape(len(start), *return_shape).copy())


@dataclass(frozen=True)
class Gap:
    """A place where consecutive rows are not consecutive steps.

    Attributes:
      time: the first row after the gap.
      lost: steps a stream that were never flushed, 0 where another buffer's history begins.
    """

    time: int
    lost: int


@dataclass(frozen=True)
class Mark:
    """Where a buffer's last flush stands in the vault.

    Attributes:
      count: steps a stream that the buffer had added.
      row: time after the last of them.
    """

    count: int
    row: int

    def to_list(self) -> list[int]:
        """Gives the mark as JSON."""
        return [self.count, self.row]


@dataclass(frozen=True)
class Root:
    """What stands in the root document.

    Attributes:
      schema: what the vault holds.
      running: episodes running at `length`.
      length: sealed steps a stream.
      committed: steps a stream that are committed with record `sequence - 1`; those beyond `length` are in
        the log.
      episodes: sealed episodes.
      attribute_bytes: sealed bytes of episode attributes.
      log: number of the first log file that may hold rows beyond `length`.
      sequence: the record number that follows the last sealed whole record.
      added: where the last buffer's last flush stands, or None where no buffer was flushed.
      gaps: where consecutive rows are not consecutive steps.
      attributes: the user's JSON, as given at creation.
      card: facts about the dataset, JSON.
    """

    schema: Schema
    running: Running
    length: int = 0
    committed: int = 0
    episodes: int = 0
    attribute_bytes: int = 0
    log: int = 0
    sequence: int = 0
    added: Mark | None = None
    gaps: tuple[Gap, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    card: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def arrays(self) -> list[ArraySpec]:
        """Gives every array with its sealed length."""
        return self.schema.arrays(self.length, self.episodes, self.attribute_bytes)

    def encode(self) -> bytes:
        """Gives the bytes of the root `zarr.json`."""
        arrays = {array.path: array.to_dict() for array in self.arrays()}
        nodes = {group: group_document() for group in group_paths(list(arrays))} | arrays
        nodes = dict(sorted(nodes.items()))  # zarr-python wants the children of a group side by side
        own = {
            "format": FORMAT,
            "crc32c": "00000000",
            "length": self.length,
            "committed": self.committed,
            "episodes": self.episodes,
            "attribute_bytes": self.attribute_bytes,
            "log": self.log,
            "sequence": self.sequence,
            "added": self.added.to_list() if self.added else None,
            "gaps": [[gap.time, gap.lost] for gap in self.gaps],
            "running": self.running.to_dict(),
            "schema": self.schema.to_dict(),
            "attributes": dict(self.attributes),
            "card": dict(self.card),
        }
        document = {
            **group_document(),
            "attributes": {"strongbax": own},
            "consolidated_metadata": {
                "kind": "inline",
                "must_understand": False,
                "metadata": nodes,
            },
        }
        data = json.dumps(document, allow_nan=False).encode()
        digest = f"{crc32c(data):08x}".encode()
        return data.replace(_NO_CRC, b'"crc32c": "' + digest + b'"', 1)

    @classmethod
    def decode(cls, data: bytes, path: Location) -> "Root":
        """Reads the root document.

        Raises:
          FormatError: if it is not a vault's, or of a version this library does not read.
          CorruptionError: if its bytes are not those that were written.
        """
        own = _own(data, path)
        version = own.get("format")
        if version != FORMAT:
            older = isinstance(version, int) and version < FORMAT
            mend = f"strongbax upgrade {path}" if older else "pip install --upgrade strongbax"
            raise FormatError(
                f"The vault {str(path)!r} is of format {version!r}, this version reads format {FORMAT}. "
                f"Upgrade with `{mend}`."
            )
        _check(data, path)
        schema = Schema.from_dict(own["schema"])
        return cls(
            schema=schema,
            running=Running.from_dict(own["running"], schema.return_shape),
            length=own["length"],
            committed=own["committed"],
            episodes=own["episodes"],
            attribute_bytes=own["attribute_bytes"],
            log=own["log"],
            sequence=own["sequence"],
            added=Mark(*own["added"]) if own["added"] else None,
            gaps=tuple(Gap(*gap) for gap in own["gaps"]),
            attributes=own["attributes"],
            card=own["card"],
        )


def read_bytes(path: Location) -> bytes:
    """Reads the bytes of a vault's root document.

    Raises:
      NotFoundError: if there is nothing, or something that is no vault.
    """
    try:
        return (path / FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        what = (
            "it has no zarr.json"
            if path.is_dir()
            else "it is a file"
            if path.is_file()
            else "nothing is there"
        )
        raise NotFoundError(
            f"{str(path)!r} is not a vault: {what}. Make one with `Vault.create`, or `strongbax convert`."
        ) from None


def read_root(path: Location) -> Root:
    """Reads the root document of a vault."""
    return Root.decode(read_bytes(path), path)


def document(node: Mapping[str, Any]) -> bytes:
    """Gives the bytes of an inner node's `zarr.json`."""
    return json.dumps(node, indent=2).encode()


def group_document() -> dict[str, Any]:
    """Gives the `zarr.json` of a plain group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": {}}


def group_paths(arrays: list[str]) -> list[str]:
    """Gives the groups that hold the arrays, parents first."""
    groups: dict[str, None] = dict.fromkeys(GROUPS)
    for path in arrays:
        parts = path.split("/")[:-1]
        groups.update(dict.fromkeys("/".join(parts[: n + 1]) for n in range(len(parts))))
    return list(groups)


def _own(data: bytes, path: Location) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise CorruptionError(
            f"The root {str(path / FILE)!r} is not readable JSON ({error}). The steps are not touched; "
            "restore that file from a copy of the vault."
        ) from error
    attributes = document.get("attributes") if isinstance(document, dict) else None
    own = attributes.get("strongbax") if isinstance(attributes, dict) else None
    if not isinstance(own, dict):
        raise FormatError(
            f"{str(path)!r} is a Zarr node but not a vault: its attributes have no 'strongbax'. "
            "Convert it with `strongbax convert`."
        )
    return own


def _check(data: bytes, path: Location) -> None:
    found = _CRC.search(data)
    blank = _CRC.sub(_NO_CRC, data, count=1)
    if found is None or int(found[1], 16) != crc32c(blank):
        raise CorruptionError(
            f"The root {str(path / FILE)!r} does not have the checksum that was written with it. The steps "
            "are not touched; restore that file from a copy of the vault."
        )
