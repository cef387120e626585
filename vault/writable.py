"""What is written into a vault: flushes of buffers, recorded episodes, the card."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from . import blocks
from .episodes import Ends, Episode
from .errors import ClosedError
from .flusher import Flusher
from .resumable import Resumable


class Writable(Resumable):
    """A vault that is open for writing, or says that it is not."""

    _closed: bool

    def write(
        self,
        state: Any,
        *,
        wait: bool = True,
        on_gap: Literal["error", "record"] = "error",
        continues: bool | None = None,
    ) -> Any:
        """Flushes what is new in a buffer's state.

        The steps are durable when it returns, or, without `wait`, when the handle's `result` returns; the
        state may be donated at once in both cases. The first flush after opening compares the steps that
        the ring and the vault's end share: equal, and the ring goes on; different, and it is another
        buffer whose steps are all new.

        Args:
          state: of any buffer with `experience` `[B, T, ...]`, `current_index` and `is_full`; with leading
            axes where it is replicated or pmapped.
          wait: whether to wait for the disk.
          on_gap: "error", or "record" to note steps that were overwritten unseen and go on.
          continues: where nothing can be compared: whether the ring goes on with what the vault holds.

        Returns:
          The steps a stream that were new, or with `wait=False` a `Handle`.

        Raises:
          GapError: if steps were overwritten before they were flushed; nothing is written.
          ConflictError: if nothing tells whether the ring goes on with the vault.
          ValueError: if the state's steps are not those of the vault.
          StorageError: if the disk refuses; what was committed stays.
        """
        if on_gap not in ("error", "record"):
            raise ValueError(f"`on_gap` must be 'error' or 'record': got {on_gap!r}.")
        handle = self._writing().write(state, on_gap=on_gap, continues=continues, wait=wait)
        return handle.result() if wait else handle

    def append(self, episodes: Episode | Iterable[Episode]) -> int:
        """Appends whole episodes, in one commit; the vault has one stream.

        Returns:
          The id of the first.

        Raises:
          ValueError: if an episode's leaves are not those of the vault.
          TypeError: if something is no `Episode`.
        """
        items = [episodes] if isinstance(episodes, Episode) else list(episodes)
        _check_episodes(episodes, items)
        flusher = self._writing()
        self._one_stream("append")
        first = self.num_episodes
        if items:
            first += int(flusher.runs_now())
            steps, ends = blocks.join_episodes(self.schema, items)
            flusher.extend(steps, ends, cut_running=True)
        return first

    def extend(self, steps: Any, ends: Ends | None = None) -> None:
        """Appends a block of steps, in one commit; episodes may begin, end and run on in it.

        Args:
          steps: leaves `[T, ...]`; the vault has one stream.
          ends: where episodes end in the block; None: found by the roles.

        Raises:
          ValueError: if leaves or ends do not fit.
        """
        flusher = self._writing()
        self._one_stream("extend")
        leaves = blocks.leaves_of(self.schema, steps, "steps")
        if ends is not None:
            blocks.check_ends(self.schema, ends, len(next(iter(leaves.values()))))
        flusher.extend({name: values[None] for name, values in leaves.items()}, ends)

    def write_card(self, card: Mapping[str, Any], *, stats: bool = False) -> None:
        """Replaces the card, facts about the dataset that JSON can hold; `stats` adds its leaves'."""
        described = {name: leaf.to_dict() for name, leaf in self.stats().items()} if stats else {}
        facts = dict(card) | ({"stats": described} if stats else {})
        self._writing().write_card(blocks.checked_json(facts, "card"))

    def seal(self) -> None:
        """Moves everything committed from the log into shards, where every Zarr reader sees it."""
        self._writing().seal()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"The vault {str(self.path)!r} is closed. Open it again with `Vault.open`.")

    def _writing(self) -> Flusher:
        self._check_open()
        if self._flusher is None:
            raise ClosedError(
                f"The vault {str(self.path)!r} is open for reading. Open it with mode='a' to write."
            )
        return self._flusher

    def _one_stream(self, verb: str) -> None:
        if self.streams != 1:
            raise ValueError(
                f"`{verb}` wants a vault of one stream: this one has {self.streams}. Flush a buffer's state "
                "with `write`, or make the vault with streams=1."
            )


def _check_episodes(given: Any, items: list[Any]) -> None:
    """Checks that what is to be appended are episodes."""
    others = [item for item in items if not isinstance(item, Episode)]
    if others:
        came = given if isinstance(given, Mapping) else others[0]
        raise TypeError(
            f"`episodes` must be an Episode, or several: got {type(came).__name__}. Say how it ended: "
            "`Episode(steps, terminated=…, truncated=…)`; a buffer's state is flushed with `write`."
        )
