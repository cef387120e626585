"""The vault: a store with episodes in it, written by one process and read by any.

`Vault.create` and `Vault.open` give it, `write` flushes a training buffer, `append` and `extend` add
recorded steps, `read`, `vault[i]` and `load` give them back.
"""

import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from . import blocks, states, verify
from .create import create
from .create_objects import create_objects
from .describe import describe, treedef_of
from .episodes import Ends, Episode
from .errors import ClosedError
from .flusher import Flusher
from .location import Location, location_of
from .reader import Snapshot, take_snapshot
from .resumable import Resumable
from .root import Root
from .running import begin
from .writer import Writer

Mode = Literal["r", "a"]


class Vault(Resumable):
    """Steps of many streams and their episodes, on disk.

    Use `Vault.create` or `Vault.open`; a vault is a context manager that closes itself.

    Example:
      >>> import tempfile
      >>> import numpy as np
      >>> step = {"observation": np.zeros(3, np.float32), "reward": np.float32(0), "terminated": np.bool_(0)}
      >>> with Vault.create(tempfile.mkdtemp() + "/my.vault", steps=step) as vault:
      ...     _ = vault.append(
      ...         Episode(
      ...             {
      ...                 "observation": np.ones((5, 3), np.float32),
      ...                 "reward": np.ones(5, np.float32),
      ...                 "terminated": np.arange(5) == 4,
      ...             }
      ...         )
      ...     )
      ...     print(vault.num_steps, vault.num_episodes, vault.episodes["return"])
      5 1 [5.]
    """

    def __init__(self, path: Location, flusher: Flusher | None, treedef: Any = None) -> None:
        self.path = path
        self._flusher = flusher
        self._treedef = treedef
        self._snapshot: Snapshot | None = None
        self._closed = False
        if flusher is not None:
            # A writer that is forgotten must not hold the lock; what it committed is in the log.
            weakref.finalize(self, _let_go, flusher).atexit = False

    # -- making and opening

    @classmethod
    def create(
        cls,
        path: str | Location,
        *,
        steps: Any = None,
        like: Any = None,
        streams: int = 1,
        roles: Mapping[str, str | None] | None = None,
        finals: Sequence[str] | None = None,
        codec: str | Mapping[str, str] | None = None,
        columns: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        block: int | None = None,
        overwrite: bool = False,
        storage: Mapping[str, Any] | None = None,
    ) -> "Vault":
        """Makes an empty vault and opens it for writing.

        Args:
          path: of a folder that is not there yet, or the URL of one, as in `open`.
          steps: one step, a pytree of arrays; only shapes and dtypes matter. Or give `like`.
          like: a buffer's state, from which steps and streams are taken.
          streams: `B`, environments side by side.
          roles: the leaf that plays a role, `{"terminated": "d"}`; the others are found by their names.
          finals: leaves (or prefixes) with a final row an episode; the observation's by default.
          codec: "none", "zstd", "lz4", "blosc" or "gzip", for all leaves or by leaf. By default frames are
            zstd, the rest is none and memory-mapped.
          columns: dtypes of further columns of the episode table.
          attributes: facts about the vault that JSON can hold.
          block: steps a stream of one shard, a power of two; by default it is chosen so that a block is about
            8 MiB, 32 with frames.
          overwrite: replace a vault that stands there.
          storage: how to reach an object store, as in `open`.

        Raises:
          AlreadyExistsError: if something stands at `path`.
          StorageError: if the disk refuses, or the object store does not answer.
          ValueError, TypeError: if steps, roles, finals, codec or columns do not fit together.
        """
        if (steps is None) == (like is None):
            raise ValueError("Give either `steps`, an example of one step, or `like`, a buffer's state.")
        if like is not None:
            steps, streams = states.step_of(like)
        if streams < 1:
            raise ValueError(f"`streams` must be at least 1: got {streams}.")
        schema = describe(
            steps, streams, roles=roles, finals=finals, codec=codec, columns=columns or {}, block=block
        )
        root = Root(schema, begin(schema), attributes=blocks.checked_json(attributes or {}, "attributes"))
        where, lock = location_of(path, storage), None
        if isinstance(where, Path):
            lock = create(where, root, overwrite=overwrite)
        else:
            create_objects(where, root, overwrite=overwrite)
        return cls(where, Flusher(Writer(where, lock)), treedef_of(steps))

    @classmethod
    def open(
        cls, path: str | Location, mode: Mode = "r", *, storage: Mapping[str, Any] | None = None
    ) -> "Vault":
        """Opens a vault.

        Args:
          path: of the vault, or its URL: `s3://`, `gs://`, `memory://`, `https://`, `file://`.
          mode: "r" reads, without a lock, while others may write; "a" appends, as the only writer.
          storage: how to reach an object store: "endpoint", "region", "credentials", or TensorStore's own
            names.

        Raises:
          NotFoundError: if nothing is there, or something that is no vault.
          FormatError: if it is of a version that this one does not read.
          CorruptionError: if its root or its log is damaged.
          LockedError: if `mode` is "a" and another writer holds it.
          StorageError: if the disk refuses, or the object store does not answer.
        """
        if mode not in ("r", "a"):
            raise ValueError(f"`mode` must be 'r' to read or 'a' to append: got {mode!r}.")
        where = location_of(path, storage)
        if mode == "a":
            return cls(where, Flusher(Writer(where)))
        vault = cls(where, None)
        vault.refresh()
        return vault

    def close(self) -> None:
        """Seals what is in the log; the vault is a plain Zarr group then. Closing twice is harmless."""
        self._closed = True
        if self._flusher is not None:
            self._flusher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._closed:
            return f"Vault({str(self.path)!r}, closed)"
        return f"Vault({str(self.path)!r}, {self.num_steps} steps, {self.num_episodes} episodes)"

    def refresh(self) -> None:
        """Looks at the newest committed state."""
        self._check_open()
        if self._flusher is None:
            self._snapshot = take_snapshot(self.path)

    # -- writing

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
        """
        items = [episodes] if isinstance(episodes, Episode) else list(episodes)
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

    def verify(self, *, deep: bool = True, progress: Any = None) -> verify.Report:
        """Checks the vault: every checksum (with `deep`), record, length and episode row.

        Args:
          deep: read every shard; otherwise only what opening reads, and that the files are there.
          progress: called with (done, total), in shards.

        Returns:
          A report that names everything that is wrong.
        """
        if self._flusher is not None:
            self._flusher.drain()
        return verify.verify(self.path, deep=deep, progress=progress)

    # -- inside

    def _now(self) -> Snapshot:
        self._check_open()
        if self._flusher is not None:
            self._snapshot = self._flusher.snapshot(self._snapshot)
        assert self._snapshot is not None
        return self._snapshot

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


def _let_go(flusher: Flusher) -> None:
    """Abandons a writer that is forgotten, wherever the collector happens to run."""
    if threading.current_thread().name.startswith("strongbax-"):
        threading.Thread(target=flusher.abandon, name="abandon").start()  # a pool cannot wait for itself
    else:
        flusher.abandon()
