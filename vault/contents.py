"""What a vault holds, read: its facts, its episodes, its steps as NumPy and as buffer states."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import blocks
from .committed import Committed
from .describe import treedef_of
from .dtypes import NpArray
from .episodes import Episode, EpisodeTable
from .loading import Wanted, load_buffer, load_trajectory
from .reader import Snapshot
from .roles import Roles
from .root import Gap
from .savable import Savable
from .schema import Schema
from .selected import Selected
from .stats import QUANTILES, LeafStats, describe_steps

if TYPE_CHECKING:
    from .manifest import Progress
    from .view import View


class Contents(Savable):
    """Steps of many streams and their episodes, as they are committed: what a vault and a view share."""

    _treedef: Any = None  # the containers of a step, where they are known

    @abstractmethod
    def _now(self) -> Committed:
        """Gives what is committed."""

    @property
    def attributes(self) -> dict[str, Any]:
        """The facts given at creation."""
        return dict(self.selected().sources[0].root.attributes)

    @property
    def card(self) -> dict[str, Any]:
        """Facts about the dataset."""
        return dict(self.selected().sources[0].root.card)

    @property
    def treedef(self) -> Any:
        """The containers of a step as JAX knows them, or None where only their names are known."""
        return self._treedef

    def selected(self) -> Selected:
        """Gives all episodes that ended, end to end."""
        now = self._now()
        if isinstance(now, Selected):
            return now
        assert isinstance(now, Snapshot)
        return Selected.whole(now)

    def _view(self, places: NpArray) -> "View":
        from .view import View

        return View(self.selected().choose(places), self._treedef)

    @property
    def schema(self) -> Schema:
        """Leaves, streams, roles and columns."""
        return self._now().schema

    @property
    def streams(self) -> int:
        """`B`, environments side by side."""
        return self.schema.streams

    @property
    def leaves(self) -> tuple[str, ...]:
        """The leaves' names."""
        return self.schema.names

    @property
    def roles(self) -> Roles:
        """Which leaf plays which role."""
        return self.schema.roles

    @property
    def length(self) -> int:
        """Steps a stream."""
        return self._now().state.length

    @property
    def num_steps(self) -> int:
        """Steps of all streams."""
        return self.length * self.streams

    @property
    def num_episodes(self) -> int:
        """Episodes that ended."""
        return self._now().state.episodes

    @property
    def block_steps(self) -> int:
        """Steps a stream of one shard: a flush of a multiple goes straight to shards."""
        return self.schema.block

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Where consecutive rows are not consecutive steps."""
        return self._now().gaps

    @property
    def episodes(self) -> EpisodeTable:
        """The episodes that ended, in the order of their ends."""
        return self._now().episodes()

    @property
    def open_episodes(self) -> EpisodeTable:
        """The episodes that run, at most one a stream; their id is -1."""
        return self._now().running()

    # -- reading

    def __len__(self) -> int:
        return self.num_episodes

    def __bool__(self) -> bool:
        return True  # an empty vault is a vault

    def __iter__(self) -> Iterator[Episode]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, episode: int) -> Episode:
        """Reads an episode, by its id; negative ids count from the end."""
        snapshot = self._now()
        table = snapshot.episodes()
        place = episode + table.num_rows if episode < 0 else episode
        if not 0 <= place < table.num_rows:
            raise IndexError(
                f"There is no episode {episode}: the {type(self).__name__.lower()} holds {table.num_rows}."
            )
        return blocks.read_episode(snapshot, table, place)

    def read_numpy(
        self,
        start: int | None = None,
        stop: int | None = None,
        *,
        timesteps: int | None = None,
        percentiles: tuple[float, float] | None = None,
        leaves: Sequence[str] | None = None,
        streams: slice | None = None,
    ) -> Any:
        """Reads steps as NumPy, dtypes as they were written; PRNG keys as their data.

        Args:
          start: first step; negative counts from the end.
          stop: after the last step; negative counts from the end.
          timesteps: the last so many steps, instead.
          percentiles: the steps between two percentiles of the length, instead.
          leaves: names of leaves; all by default.
          streams: a run of streams; all by default.

        Returns:
          Leaves `[B, T, ...]` in plain containers; `{name: leaf}` where `leaves` is given. A leaf that one
          inner chunk holds is a read-only view of the file; copy it to change it.
        """
        snapshot = self._now()
        first, last = blocks.span(snapshot.state.length, start, stop, timesteps, percentiles)
        chosen = slice(None) if streams is None else blocks.run_of(streams, snapshot.schema.streams)
        names = snapshot.schema.names if leaves is None else tuple(leaves)
        arrays = snapshot.read_leaves(names, first, last, chosen)
        return arrays if leaves is not None else snapshot.schema.tree.rebuild(list(arrays.values()))

    def read(
        self,
        start: int | None = None,
        stop: int | None = None,
        *,
        timesteps: int | None = None,
        percentiles: tuple[float, float] | None = None,
        leaves: Sequence[str] | None = None,
        device: Any = None,
        like: Any = None,
    ) -> Any:
        """Reads steps as a trajectory buffer's state: full, so that it can be sampled at once.

        Arguments as in `read_numpy`, and `device` and `like` as in `load`.
        """
        snapshot = self._now()
        first, last = blocks.span(snapshot.state.length, start, stop, timesteps, percentiles)
        return load_trajectory(snapshot, self._wanted(first, last, leaves=leaves, device=device, like=like))

    def load(
        self,
        buffer: Any,
        *,
        start: int | None = None,
        stop: int | None = None,
        leaves: Sequence[str] | None = None,
        device: Any = None,
        like: Any = None,
    ) -> Any:
        """Loads the vault into a buffer: a state that can be sampled under jit at once.

        The state holds every step asked for, whatever the buffer's own capacity; where that is larger, there
        is room for more. A state loaded up to the vault's end goes on with the vault when it is written.

        Args:
          buffer: a uniform buffer.
          start: first step; the first by default.
          stop: after the last step; the end by default.
          leaves: names of leaves; all by default.
          device: a JAX device or sharding; JAX's default by default.
          like: an example of a step, for its container types (named tuples, dataclasses).

        Returns:
          The buffer's state, leaves `[B, T, ...]`.
        """
        snapshot = self._now()
        first, last = blocks.span(snapshot.state.length, start, stop, None, None)
        return load_buffer(
            snapshot, buffer, self._wanted(first, last, leaves=leaves, device=device, like=like)
        )

    def stats(
        self,
        *,
        leaves: Sequence[str] | None = None,
        quantiles: Sequence[float] = QUANTILES,
        progress: "Progress | None" = None,
    ) -> dict[str, LeafStats]:
        """Describes the steps, leaf by leaf: mean, spread, range, quantiles; in one pass, in bounded memory.

        Args:
          leaves: names of leaves; all that are numbers by default.
          quantiles: which, from 0 to 1.
          progress: called with (done, total), in steps of a stream read of each leaf.

        Example:
          >>> from strongbax.vault.view import example
          >>> described = example(lengths=[5, 3]).stats()["terminated"]
          >>> float(described.mean), float(described.quantiles[0.5])
          (0.25, 0.0)
        """
        return describe_steps(self._now(), leaves, quantiles, progress)

    def finals(self, leaf: str) -> NpArray:
        """Reads a leaf's final rows of all ended episodes, `[E, ...]`; zeros where `final_known` is false.

        Raises:
          ValueError: if the leaf has no final rows.
        """
        snapshot = self._now()
        if leaf not in snapshot.schema.finals:
            raise ValueError(
                f"The leaf {leaf!r} has no final rows: those with are {list(self.schema.finals)}."
            )
        return snapshot.finals(leaf)

    def _wanted(
        self, start: int, stop: int, *, leaves: Sequence[str] | None, device: Any, like: Any
    ) -> Wanted:
        return Wanted(start, stop, leaves, device, self._treedef if like is None else treedef_of(like))
