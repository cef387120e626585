"""A share: some consecutive steps of a vault that several processes make together, each its own.

```
# rows of the vault : | block 0 | block 1 | block 2 | block 3 |
# two shares        : |<----- share 0 ---->|<---- share 1 --->|
# written by each   :   shards 0, 1      t  h       shard 3        t, h: rows of a block neither has whole
```
A block that lies within a share is written once, as the shard that it stays. The rows of other blocks wait in
plain files beside, as do the episodes' rows, until `assembly` makes shards of them: whoever writes what, the
vault is the same.
"""

import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from .blocks import check_ends
from .checksum import crc32c
from .dtypes import NpArray
from .episodes import Ends, Rows
from .errors import CorruptionError
from .files import TEMPORARY, sync_directory, sync_file
from .raw_rows import RawRows, RawWriter
from .running import advance, begin
from .schema import ATTRIBUTES, ATTRIBUTES_STOP, Schema
from .shard_writer import write_shard
from .states import check_leaf

HEAD, TAIL, FINAL, COLUMN = "head/", "tail/", "final/", "episodes/"  # of what waits
_THREADS = 4


@dataclass(frozen=True)
class Span:
    """Which steps of a vault a share holds.

    Attributes:
      start: of the first step.
      stop: after the last step.
      total: steps of the vault.
    """

    start: int
    stop: int
    total: int

    def holds(self, low: int, high: int) -> bool:
        """Says whether all of some rows lie in it."""
        return self.start <= low and high <= self.stop


@dataclass(frozen=True)
class Share:
    """What a share amounts to, once it is written.

    Attributes:
      span: its steps.
      episodes: that it holds.
      attribute_bytes: of them.
      crc: crc32c of all its rows of each leaf, by name.
      raw: what waits to be assembled, by array.
    """

    span: Span
    episodes: int
    attribute_bytes: int
    crc: Mapping[str, int]
    raw: Mapping[str, RawRows]

    def to_dict(self) -> dict[str, Any]:
        """Gives the share as JSON."""
        return {
            "span": [self.span.start, self.span.stop, self.span.total],
            "episodes": self.episodes,
            "attribute_bytes": self.attribute_bytes,
            "crc32c": dict(self.crc),
            "raw": {name: raw.to_dict() for name, raw in self.raw.items()},
        }

    @classmethod
    def from_dict(cls, folder: Path, data: Mapping[str, Any]) -> "Share":
        """Reads the share from JSON.

        Args:
          folder: of what waits.
          data: as `to_dict` gives it.
        """
        raw = {name: RawRows.from_dict(folder, one) for name, one in data["raw"].items()}
        return cls(Span(*data["span"]), data["episodes"], data["attribute_bytes"], data["crc32c"], raw)


class ShareWriter:
    """Writes a share, block by block; whole episodes. `close` makes it durable.

    Writing one twice, also at the same time, does no harm: the bytes are the same.

    Args:
      vault: folder that has a folder for each array of steps.
      beside: folder that is not there yet, for what waits.
      schema: of the vault, which has one stream.
      span: the steps that come.
    """

    def __init__(self, vault: Path, beside: Path, schema: Schema, span: Span) -> None:
        self._vault, self._schema, self._span = vault, schema, span
        self._arrays = {leaf.name: schema.step_array(leaf, span.total) for leaf in schema.leaves}
        self._raw = RawWriter(beside)
        self._held: dict[str, NpArray] = {}  # the rows of the block that is being filled
        self._at = span.start
        self._running = begin(schema, span.start)
        self._crc = dict.fromkeys(schema.names, 0)
        self._episodes = self._text_bytes = 0
        self._shards: list[Path] = []
        self._pool = ThreadPoolExecutor(_THREADS, "strongbax-share")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        self._raw.abandon()

    def extend(self, leaves: Mapping[str, NpArray], ends: Ends) -> None:
        """Appends steps, leaves `[T, ...]` by name, and the episodes that end among them.

        Raises:
          ValueError: if they do not fit the vault.
          CorruptionError: if there are more than the span has.
          OSError: if the disk refuses.
        """
        count = len(next(iter(leaves.values())))
        self._check(leaves, ends, count)
        leaves = {
            leaf.name: np.ascontiguousarray(leaves[leaf.name], leaf.dtype) for leaf in self._schema.leaves
        }
        reward = None if self._schema.roles.reward is None else leaves[self._schema.roles.reward][None]
        streams = np.zeros(len(ends.stop), np.int64)
        self._running, rows = advance(self._schema, self._running, self._at, reward, streams, ends)
        self._add_rows(rows)
        for name, values in leaves.items():
            self._crc[name] = crc32c(bytes_of(values), self._crc[name])
        done = 0
        while done < count:
            base = self._at - self._at % self._schema.block
            stop = min(base + self._schema.block, self._span.stop)
            take = min(stop - self._at, count - done)
            part = {name: values[done : done + take] for name, values in leaves.items()}
            done += take
            if self._at > base or take < stop - base:
                part = self._hold(part, self._at - base, take)
            self._at += take
            if self._at == stop:
                self._write(base, stop, part)

    def close(self) -> Share:
        """Makes the share durable.

        Raises:
          CorruptionError: if steps are missing.
          OSError: if the disk refuses.
        """
        if self._at != self._span.stop:
            raise CorruptionError(
                f"{self._at - self._span.start} steps came where {self._span.stop - self._span.start} were "
                "announced: the source was changed meanwhile, or says something else than it holds."
            )
        for path in self._shards:
            sync_file(path)
        for folder in {path.parent for path in self._shards}:
            sync_directory(folder)
        return Share(self._span, self._episodes, self._text_bytes, self._crc, self._raw.close())

    def _check(self, leaves: Mapping[str, NpArray], ends: Ends, count: int) -> None:
        for leaf in self._schema.leaves:
            values = leaves[leaf.name]
            check_leaf(leaf, values.dtype, values.shape[1:], "`steps`")
            if len(values) != count:
                raise ValueError(f"The leaves must have one length: {leaf.name!r} has {len(values)} steps.")
        check_ends(self._schema, ends, count)
        if self._at + count > self._span.stop:
            raise CorruptionError(
                f"More steps came than the {self._span.stop - self._span.start} that were announced: the "
                "source was changed meanwhile, or says something else than it holds."
            )

    def _hold(self, part: Mapping[str, NpArray], at: int, count: int) -> Mapping[str, NpArray]:
        """Copies rows to their place in the block that is being filled; gives the block as far as it is."""
        for leaf in self._schema.leaves:
            if leaf.name not in self._held:
                self._held[leaf.name] = np.empty((self._schema.block, *leaf.shape), leaf.dtype)
            self._held[leaf.name][at : at + count] = part[leaf.name]
        return {name: rows[: at + count] for name, rows in self._held.items()}

    def _write(self, base: int, stop: int, block: Mapping[str, NpArray]) -> None:
        """Writes what came of a block: a shard where that is all of it."""
        end = min(base + self._schema.block, self._span.total)
        if self._span.holds(base, end):
            for name, array in self._arrays.items():
                if 0 not in array.shape:
                    self._shards.append(self._shard(array, base // self._schema.block, block[name]))
            return
        low = max(base, self._span.start)
        part = HEAD if base < self._span.start else TAIL
        for name, rows in block.items():
            self._raw.append(part + name, rows[low - base : stop - base])

    def _shard(self, array: Any, number: int, rows: NpArray) -> Path:
        path = self._vault / array.path / array.key(number)
        aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
        write_shard(aside, array, rows[None], self._pool)
        aside.rename(path)
        return path

    def _add_rows(self, rows: Rows) -> None:
        if not len(rows):
            return
        lengths = np.cumsum([len(text) for text in rows.attributes], dtype=np.int64)
        columns = {**rows.columns, ATTRIBUTES_STOP: lengths + self._text_bytes}
        columns[ATTRIBUTES] = np.frombuffer(b"".join(rows.attributes), np.uint8)
        for name, values in columns.items():
            self._raw.append(COLUMN + name, values)
        for name, values in rows.finals.items():
            self._raw.append(FINAL + name, values)
        self._episodes += len(rows)
        self._text_bytes += int(lengths[-1])


def bytes_of(rows: NpArray) -> NpArray:
    """Gives the bytes of rows, uint8 `[n]`.

    Example:
      >>> bytes_of(np.array([1, 2], "<u2")).tolist()
      [1, 0, 2, 0]
    """
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
