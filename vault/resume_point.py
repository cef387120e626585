"""A resume point: what a run needs beside the steps in its vault so as to go on exactly.

It is one file: cursor, counters, priorities, the user's keys and values, and where in the vault the steps of
the ring lie. Steps that the vault does not have, or not any more in that order, it holds itself.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checksum import crc32c
from .dtypes import NpArray, dtype_name, parse_dtype
from .errors import CorruptionError, FormatError
from .location import Location
from .root import Mark
from .spans import Span, Spans
from .store import ALIGNMENT
from .tree import Json

FORMAT = 1

_MAGIC = b"SBXP"
_HEADER = struct.Struct("<4sIIIQ")  # magic, CRC-32C of all from byte 8 on, format, 0, size of the meta text
_SUMMED = 8


@dataclass(frozen=True)
class Steps:
    """Where the steps of a ring are.

    Attributes:
      at: the ring's count, and the row of the vault after its last step.
      capacity: slots a stream; step `t`, by count, lies in slot `t % capacity`.
      axes: leading axes of replicas, often none.
      spans: steps that are taken from the vault.
      kept: the others, as runs `[first, stop)` by count; slots that are in neither hold zeros.
      leaves: for each leaf by name where its kept steps are, as a packed array `[B, steps, ...]`.
    """

    at: Mark
    capacity: int
    axes: tuple[int, ...]
    spans: Spans
    kept: tuple[tuple[int, int], ...]
    leaves: Mapping[str, Json]

    def to_dict(self) -> dict[str, Json]:
        """Gives it as JSON."""
        return {
            "at": self.at.to_list(),
            "capacity": self.capacity,
            "axes": list(self.axes),
            "spans": [[span.count, span.row, span.steps] for span in self.spans],
            "kept": [list(run) for run in self.kept],
            "leaves": dict(self.leaves),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Json]) -> "Steps":
        """Reads it from JSON."""
        return cls(
            at=Mark(*data["at"]),
            capacity=data["capacity"],
            axes=tuple(data["axes"]),
            spans=tuple(Span(*span) for span in data["spans"]),
            kept=tuple((first, stop) for first, stop in data["kept"]),
            leaves=data["leaves"],
        )


@dataclass(frozen=True)
class Point:
    """What stands in the file.

    Attributes:
      steps: where the ring's steps are; None for a state without a cursor, of which all is in `state`.
      state: every other array of the state by its name, packed.
      extra: the user's values, packed.
      arrays: what the packed values refer to.
    """

    steps: Steps | None
    state: Mapping[str, Json]
    extra: Json
    arrays: Sequence[NpArray]

    @property
    def length(self) -> int:
        """Rows that the vault must have."""
        return 0 if self.steps is None else max([0, *(span.row + span.steps for span in self.steps.spans)])

    def encode(self) -> bytes:
        """Gives the bytes of the file."""
        table, offset = list[Json](), 0
        for array in self.arrays:
            table.append([dtype_name(array.dtype), list(array.shape), offset])
            offset += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        meta = json.dumps(
            {
                "steps": self.steps.to_dict() if self.steps else None,
                "state": dict(self.state),
                "extra": self.extra,
                "arrays": table,
            },
            allow_nan=False,
        ).encode()
        meta += b" " * (-(_HEADER.size + len(meta)) % ALIGNMENT)
        body = bytearray(_HEADER.size + len(meta) + offset)
        _HEADER.pack_into(body, 0, _MAGIC, 0, FORMAT, 0, len(meta))
        start = _HEADER.size + len(meta)
        body[_HEADER.size : start] = meta
        for array, (_, _, place) in zip(self.arrays, table, strict=True):
            body[start + place : start + place + array.nbytes] = array.tobytes()
        struct.pack_into("<I", body, 4, crc32c(memoryview(body)[_SUMMED:]))
        return bytes(body)

    @classmethod
    def decode(cls, data: bytes, path: Location) -> "Point":
        """Reads the file.

        Raises:
          FormatError: if it is of a version this library does not read.
          CorruptionError: if its bytes are not those that were written.
        """
        if len(data) < _HEADER.size or data[:4] != _MAGIC:
            raise _damaged(path, "it does not begin as one")
        _, crc, version, _, size = _HEADER.unpack_from(data)
        if crc32c(memoryview(data)[_SUMMED:]) != crc:
            raise _damaged(path, "its checksum is wrong")
        if version != FORMAT:
            raise FormatError(
                f"The resume point {str(path)!r} is of format {version}, this version reads format {FORMAT}. "
                "Upgrade with `pip install --upgrade strongbax`, or restore another one with `step=`."
            )
        start = _HEADER.size + size
        meta = json.loads(data[_HEADER.size : start])
        return cls(
            steps=Steps.from_dict(meta["steps"]) if meta["steps"] else None,
            state=meta["state"],
            extra=meta["extra"],
            arrays=[_array(data, start + place, *form) for *form, place in meta["arrays"]],
        )


def _array(data: bytes, start: int, dtype: str, shape: Sequence[int]) -> NpArray:
    form = parse_dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.frombuffer(data, np.uint8, count * form.itemsize, start)
    return raw.copy().view(form).reshape(shape)


def _damaged(path: Location, why: str) -> CorruptionError:
    return CorruptionError(
        f"The resume point {str(path)!r} is damaged: {why}. The steps are not touched; restore an earlier "
        "one with `step=`, by a number of `resume_points`."
    )


def values_of(array: NpArray) -> Any:
    """Sees an array's bytes, to look for what is not zero."""
    return array.reshape(-1).view(np.uint8).view(np.bool_)
