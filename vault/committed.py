"""What can be read: steps of streams and their episodes, at one moment.

A snapshot of a vault is that, and so are episodes chosen from several: whoever reads steps asks for no more.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from .dtypes import NpArray
from .episodes import EpisodeTable
from .root import Gap
from .schema import Schema
from .tail import State


class Committed(Protocol):
    """Steps `[B, T, ...]` and episodes that do not change any more."""

    @property
    def schema(self) -> Schema:
        """Leaves, streams, roles and columns."""
        ...

    @property
    def state(self) -> State:
        """How many steps and episodes there are, and what runs."""
        ...

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Where consecutive rows are not consecutive steps."""
        ...

    def read(
        self, name: str, start: int, stop: int, streams: slice = ..., out: NpArray | None = None
    ) -> NpArray:
        """Reads a leaf's rows `[start, stop)`, `[B, stop - start, ...]`."""
        ...

    def read_leaves(
        self,
        names: Sequence[str],
        start: int,
        stop: int,
        streams: slice = ...,
        outs: Mapping[str, NpArray] | None = None,
    ) -> dict[str, NpArray]:
        """Reads several leaves as `read` does, into `outs` where it is given."""
        ...

    def episodes(self) -> EpisodeTable:
        """Gives the table of the episodes that ended."""
        ...

    def running(self) -> EpisodeTable:
        """Gives the table of the episodes that run."""
        ...

    def final(self, name: str, episode: int) -> NpArray:
        """Reads a leaf's final row of an episode."""
        ...

    def finals(self, name: str) -> NpArray:
        """Reads a leaf's final rows of all ended episodes, `[E, ...]`."""
        ...
