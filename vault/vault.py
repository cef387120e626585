"""The vault: a store with episodes in it, written by one process and read by any.

`Vault.create` and `Vault.open` give it, `write` flushes a training buffer, `append` and `extend` add
recorded steps, `read`, `vault[i]` and `load` give them back.
"""

import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from . import blocks, parts, pointer, states, verify
from .create import create
from .create_objects import create_objects
from .describe import check_one_step, describe, treedef_of
from .errors import NotFoundError
from .flusher import Flusher
from .location import Location, location_of
from .reader import Snapshot, take_snapshot
from .root import Root
from .running import begin
from .selected import Selected
from .writable import Writable
from .writer import Writer

Mode = Literal["r", "a"]


class Vault(Writable):
    """Steps of many streams and their episodes, on disk.

    Use `Vault.create` or `Vault.open`; a vault is a context manager that closes itself.

    Example:
      >>> import tempfile
      >>> import numpy as np
      >>> from strongbax.vault import Episode
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
        self._union: Selected | None = None  # of a reader, where there are parts
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
        check_one_step(steps)
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
        cls,
        path: str | Location,
        mode: Mode = "r",
        *,
        part: str | None = None,
        streams: int | None = None,
        storage: Mapping[str, Any] | None = None,
    ) -> "Vault":
        """Opens a vault.

        Read, a vault with parts is the union of them: the episodes that ended, those of the vault itself
        first, then those of its parts by name, as one stream. Where a dataset was published, the newest
        revision is opened for reading.

        Args:
          path: of the vault, or its URL: `s3://`, `gs://`, `memory://`, `https://`, `file://`.
          mode: "r" reads, without a lock, while others may write; "a" appends, as the only writer.
          part: name of a part, to open that alone; with "a" it is made if it is not there. So many
            processes write one vault at once, each its own part.
          streams: `B` of a part that is made; the vault's by default.
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
        if part is not None and mode == "a":
            writer = parts.claim(where, part, streams)
            return cls(writer.path, Flusher(writer))
        if streams is not None:
            raise ValueError("`streams` is for a part that is made: give `part` and mode='a' too.")
        if part is not None:
            where = where / parts.FOLDER / part
        if mode == "a":
            return cls(where, Flusher(Writer(where)))
        vault = cls(where, None)
        try:
            vault.refresh()
        except NotFoundError as error:
            vault = cls(pointer.follow(where, error), None)
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
            self._union = parts.union(self.path, self._snapshot)

    @property
    def parts(self) -> "dict[str, Vault]":
        """The vault's parts by name, opened for reading."""
        self._check_open()
        return {path.name: Vault.open(path) for path in parts.part_paths(self.path)}

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
        return parts.verify_all(self.path, deep=deep, progress=progress)

    # -- inside

    def _now(self) -> Snapshot | Selected:
        own = self._own()
        return own if self._union is None else self._union

    def _own(self) -> Snapshot:
        self._check_open()
        if self._flusher is not None:
            self._snapshot = self._flusher.snapshot(self._snapshot)
        assert self._snapshot is not None
        return self._snapshot


def _let_go(flusher: Flusher) -> None:
    """Abandons a writer that is forgotten, wherever the collector happens to run."""
    if threading.current_thread().name.startswith("strongbax-"):
        threading.Thread(target=flusher.abandon, name="abandon").start()  # a pool cannot wait for itself
    else:
        flusher.abandon()
