"""Many short reads at once: windows of steps, gathered from shards and tail, one call a leaf and shard.

A window that one inner chunk holds is copied as one item of bytes from the mapped file, which is faster than
an index of its rows. The few that cross an edge, or are not yet sealed, are gathered row by row. Compressed
leaves are read by TensorStore, a slice a window, all at once.

Letters: `N` windows, `W` window in steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .dtypes import NpArray
from .items import items_of
from .shards import ShardReader


@dataclass(frozen=True)
class Windows:
    """Where windows lie among a snapshot's rows, and where they go. int64 `[N]`.

    Attributes:
      stream: of the snapshot.
      row: of the first step; may lie outside, where the window is padded.
      low: the first row that is wanted.
      high: after the last row that is wanted.
      place: where the window goes in the output's first axis.
    """

    stream: NpArray
    row: NpArray
    low: NpArray
    high: NpArray
    place: NpArray

    def part(self, chosen: NpArray) -> "Windows":
        """Gives some of the windows."""
        return Windows(*(getattr(self, name)[chosen] for name in ("stream", "row", "low", "high", "place")))


class Tailed(Protocol):
    """Steps that no shard holds yet."""

    @property
    def row(self) -> int:
        """Time of the first."""
        ...

    @property
    def leaves(self) -> Mapping[str, NpArray]:
        """`[B, T, ...]` by name."""
        ...

    @property
    def stop(self) -> int:
        """Time after the last."""
        ...


def gather(reader: ShardReader, tail: Sequence[Tailed], name: str, windows: Windows, out: NpArray) -> None:
    """Gathers a leaf's windows into `out`, `[N, W, ...]`, in C order; what is not wanted means nothing.

    Args:
      reader: of the leaf's shards.
      tail: steps behind those, in time order.
      name: of the leaf.
      windows: which.
      out: what to fill.
    """
    array, length = reader.array, out.shape[1]
    sealed = array.shape[1]
    if not out.size:
        return
    if not reader.mapped:
        here = np.flatnonzero(windows.low < np.minimum(windows.high, sealed))
        reader.slices(windows.part(here), out)
        rest = windows.part(np.flatnonzero(windows.high > sealed))
        rows = _rows(rest, np.maximum(rest.low, sealed), length)
    else:
        chunk, last = array.chunk[1], windows.row + length - 1
        whole = (windows.row >= 0) & (last < sealed) & (windows.row // chunk == last // chunk)
        inside = windows if whole.all() else windows.part(np.flatnonzero(whole))
        reader.gather(inside.stream, inside.row, _items(out, length), inside.place)
        rest = windows.part(np.flatnonzero(~whole))
        rows = _rows(rest, rest.low, length)
        settled = rows.part(np.flatnonzero(rows.row < sealed))
        reader.gather(settled.stream, settled.row, _items(out, 1), settled.place)
    if len(rows.row) and int(rows.row.max()) >= sealed:
        _from_tail(tail, name, rows, out.reshape(-1, *out.shape[2:]))


def _items(out: NpArray, rows: int) -> NpArray:
    """Sees `out` as items of bytes, each of so many rows."""
    return items_of(out, out.nbytes // (out.shape[0] * out.shape[1]) * rows)


def _rows(windows: Windows, low: NpArray, length: int) -> Windows:
    """Takes windows apart into their wanted rows from `low` on; places count rows then."""
    counts = np.maximum(windows.high - low, 0)
    window = np.repeat(np.arange(len(counts)), counts)
    row = np.arange(len(window)) - np.repeat(np.cumsum(counts) - counts, counts) + low[window]
    place = windows.place[window] * length + row - windows.row[window]
    return Windows(windows.stream[window], row, row, row + 1, place)


def _from_tail(tail: Sequence[Tailed], name: str, rows: Windows, out: NpArray) -> None:
    for piece in tail:
        here = np.flatnonzero((rows.row >= piece.row) & (rows.row < piece.stop))
        if len(here):
            out[rows.place[here]] = piece.leaves[name][rows.stream[here], rows.row[here] - piece.row]
