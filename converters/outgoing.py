"""What is to be written in another format: a vault's ended episodes, end to end, read in bounded memory."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..vault.contents import Contents
from ..vault.dtypes import CORE, NpArray
from ..vault.episodes import EpisodeTable
from ..vault.schema import Schema
from ..vault.selected import Selected
from ..vault.view import View
from .readback import recorded_of
from .recorded import Recorded

READ_BYTES = 8 << 20
_TABLE = {"id", "stream", "start", "length", "return", "terminated", "truncated", "final_known"}


@dataclass(frozen=True)
class Outgoing:
    """The ended episodes of a vault or view.

    Attributes:
      chosen: them, as one stream.
      table: of them.
    """

    chosen: Selected
    table: EpisodeTable

    @property
    def schema(self) -> Schema:
        """Leaves, roles and columns."""
        return self.chosen.schema

    @property
    def num_steps(self) -> int:
        """Of all the episodes."""
        return int(self.table["length"].sum())

    @property
    def final_known(self) -> NpArray:
        """Of which episodes the final row is known, bool `[E]`."""
        known = self.table["final_known"].astype(np.bool_)
        return known if self.schema.finals else np.zeros(len(known), np.bool_)

    @property
    def columns(self) -> list[str]:
        """The table's columns beside the vault's own."""
        return [name for name in self.table.columns if name not in _TABLE]

    def leaf(self, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Gives a leaf's dtype and its shape, one step."""
        leaf = self.schema.leaf(name)
        return leaf.dtype, leaf.shape

    def groups(self, row_bytes: int) -> Iterator[range]:
        """Yields consecutive episodes, about as many at a time as `READ_BYTES` hold, at least one.

        Args:
          row_bytes: of what is read of a step.
        """
        first, held = 0, 0
        for place, length in enumerate(self.table["length"].tolist()):
            held += (length + 1) * max(1, row_bytes)
            if held >= READ_BYTES:
                yield range(first, place + 1)
                first, held = place + 1, 0
        if first < len(self.table):
            yield range(first, len(self.table))

    def read(self, name: str, episodes: range) -> list[NpArray]:
        """Reads a leaf of some episodes, `[T, ...]` each."""
        starts, lengths = self.table["start"], self.table["length"]
        start, stop = int(starts[episodes[0]]), int(starts[episodes[-1]] + lengths[episodes[-1]])
        rows = self.chosen.read(name, start, stop, slice(0, 1))[0]
        bounds = [*(starts[episodes.start : episodes.stop] - start).tolist(), stop - start]
        return [rows[low:high] for low, high in itertools.pairwise(bounds)]

    def final(self, name: str, episode: int) -> NpArray:
        """Reads an episode's final row of a leaf, `[...]`."""
        return np.asarray(self.chosen.final(name, episode))

    def rows(self, name: str) -> Iterator[tuple[int, NpArray]]:
        """Yields each episode's place and its rows of a leaf, `[T, ...]`."""
        dtype, shape = self.leaf(name)
        for group in self.groups(dtype.itemsize * int(np.prod(shape, dtype=np.int64))):
            yield from zip(group, self.read(name, group), strict=True)

    def choose(self, places: NpArray) -> "Outgoing":
        """Gives some of the episodes, by their places, in that order."""
        return outgoing(View(self.chosen.choose(places)))

    def episodes(self) -> Iterator[Recorded]:
        """Yields the episodes, leaves by name."""
        return recorded_of(View(self.chosen))


def outgoing(contents: Contents) -> Outgoing:
    """Gives the ended episodes of a vault or view.

    Raises:
      ValueError: if there are none.

    Example:
      >>> from strongbax.vault.view import example
      >>> out = outgoing(example(lengths=[2, 1]))
      >>> [rows.tolist() for _, rows in out.rows("reward")]
      [[1.0, 1.0], [1.0]]
    """
    chosen = contents.selected()
    table = chosen.episodes()
    if not len(table):
        raise ValueError("`contents` must have an episode that ended: it has none. Write some first.")
    return Outgoing(chosen, table)


def is_plain(out: Outgoing, name: str) -> bool:
    """Says whether a leaf has a dtype that NumPy itself can save."""
    dtype, _ = out.leaf(name)
    return dtype.name in CORE or dtype.kind in "SUmM"


def require_plain(out: Outgoing, names: Sequence[str], form: str) -> None:
    """Checks that leaves have dtypes that NumPy itself can save.

    Raises:
      ValueError: naming the leaf that has another.
    """
    for name in names:
        if not is_plain(out, name):
            raise ValueError(
                f"The leaf `{name}` is {out.leaf(name)[0]}, which {form} cannot hold. Make a vault without "
                "it, or with it as float32."
            )
