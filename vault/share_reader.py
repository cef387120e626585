"""A share, read back from where it was written: shards, and what waits beside them."""

import functools
from pathlib import Path

import numpy as np

from .dtypes import NpArray
from .episodes import Rows
from .schema import ATTRIBUTES, ATTRIBUTES_STOP, Schema
from .shards import ShardReader
from .share import COLUMN, FINAL, HEAD, TAIL, Share


class ShareReader:
    """Reads a share that was written.

    Args:
      vault: folder that has a folder for each array of steps.
      schema: of the vault.
      share: what was written.
    """

    def __init__(self, vault: Path, schema: Schema, share: Share) -> None:
        self.share, self.schema, self._vault = share, schema, vault
        span, block = share.span, schema.block
        # Rows before `first` and from `last` on are in no shard.
        self._first = span.start if span.start % block == 0 else span.start - span.start % block + block
        self._last = span.stop if span.stop == span.total else span.stop - span.stop % block

    @property
    def edges(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The rows at its begin and at its end that are in no shard, `[start, stop)` each."""
        span = self.share.span
        first = min(self._first, span.stop)
        return (span.start, first), (max(first, self._last), span.stop)

    def rows(self, name: str, start: int, stop: int) -> NpArray:
        """Reads steps `[start, stop)` of a leaf, counted in the vault, `[n, ...]`.

        Raises:
          CorruptionError: if they are damaged.
        """
        leaf = self.schema.leaf(name)
        out = np.empty((stop - start, *leaf.shape), leaf.dtype)
        for part, (low, high) in zip((HEAD, TAIL), self.edges, strict=True):
            begin, end = max(low, start), min(high, stop)
            if begin < end and out.size:
                raw = self.share.raw[part + name]
                out[begin - start : end - start] = raw.read(begin - low, end - low, leaf.dtype, leaf.shape)
        low, high = max(self.edges[0][1], start), min(self.edges[1][0], stop)
        if low < high:
            array = self.schema.step_array(leaf, self.share.span.total)
            # Opened for these rows: what a reader has mapped stays mapped while it is there.
            ShardReader(self._vault, array).read(low, high, out[None, low - start : high - start])
        return out

    def final(self, name: str, start: int, stop: int) -> NpArray:
        """Reads a leaf's final rows of the share's episodes `[start, stop)`."""
        leaf = self.schema.leaf(name)
        if start >= stop:
            return np.zeros((0, *leaf.shape), leaf.dtype)
        return self.share.raw[FINAL + name].read(start, stop, leaf.dtype, leaf.shape)

    def column(self, name: str, start: int, stop: int) -> NpArray:
        """Reads rows `[start, stop)` of a column of the episode table, or of its texts' array."""
        array = self.schema.column_arrays(0, 0)[name]
        if start >= stop:
            return np.zeros((0, *array.tail), array.dtype)
        return self.share.raw[COLUMN + name].read(start, stop, array.dtype, array.tail)

    @functools.cached_property
    def table(self) -> Rows:
        """The share's rows of the episode table, without final rows."""
        columns = {name: self.column(name, 0, self.share.episodes) for name in self.schema.column_dtypes}
        text = self.column(ATTRIBUTES, 0, self.share.attribute_bytes).tobytes()
        stops: list[int] = self.column(ATTRIBUTES_STOP, 0, self.share.episodes).tolist()
        texts = [text[low:high] for low, high in zip([0, *stops[:-1]], stops, strict=True)]
        return Rows(columns, {}, texts)
