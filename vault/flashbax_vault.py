"""Flashbax's `Vault`, by its name and arguments, over a vault of ours; vaults that Flashbax wrote are read.

Code that says `from flashbax.vault import Vault` runs on it unchanged after
`strongbax.flashbax_alias.install()`. Where Flashbax loses or doubles steps without a word it does not:
a ring that came round unseen is an error, a full one is written whole, the cursor outlives the process.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from ..buffer.trajectory_buffer import TrajectoryBufferState
from .errors import ClosedError, NotFoundError
from .flashbax_files import FlashbaxFiles, is_flashbax, open_flashbax
from .flashbax_making import Slotted, make, opened, unused
from .root import FILE
from .tree import Tree, flatten

__all__ = ["Vault"]

VERSION = 1.2  # of Flashbax's format, which `_metadata` is described by

_logger = logging.getLogger(__name__)


class Vault:
    """A vault below `rel_dir/vault_name/vault_uid`, as Flashbax has it.

    Where one stands there it is opened; else it is made, which needs `experience_structure`. One process
    writes at a time, any may read; a vault that Flashbax wrote is read only.

    Args:
      vault_name: the folder of the vaults of one kind; may have slashes.
      experience_structure: a state's `experience`, leaves `[B, T, ...]`. Of a vault that is there it gives
        the containers that `read` hangs leaves in, and it may be a part.
      rel_dir: the folder of all vaults, relative to the working directory or absolute.
      vault_uid: the folder of this one; the time by default, which is never that of another vault.
      compression: as numcodecs has it, `{"id": "zstd"}`; only the id counts. By default frames are
        compressed and the rest is memory-mapped. Without effect on a vault that is there.
      metadata: facts to keep; what JSON cannot hold is kept as text. Without effect on a vault that is there.

    Attributes:
      vault_index: steps that each stream has.

    Raises:
      ValueError: if there is no vault and no `experience_structure`, or a codec that is not known.
      NotFoundError: if something else stands there.

    Example:
      >>> import tempfile
      >>> import strongbax
      >>> from strongbax.vault.flashbax_vault import Vault
      >>> buffer = strongbax.make_item_buffer(max_length=4, min_length=1, sample_batch_size=2)
      >>> state = buffer.add(buffer.init({"reward": 0.0}), {"reward": 1.0})
      >>> with Vault("toy", state.experience, rel_dir=tempfile.mkdtemp(), vault_uid="1") as vault:
      ...     vault.write(state), vault.vault_index, vault.read().experience["reward"]
      (1, 1, Array([[1.]], dtype=float32))
    """

    def __init__(
        self,
        vault_name: str,
        experience_structure: Any = None,
        rel_dir: str = "vaults",
        vault_uid: str | None = None,
        compression: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        parent = Path(os.path.normpath(Path.cwd() / Path(rel_dir).expanduser() / vault_name))
        path = parent / vault_uid if vault_uid else unused(parent)
        self._base_path = str(path)
        self._structure = experience_structure
        self._old: FlashbaxFiles | None = None
        if is_flashbax(path):
            self._old = open_flashbax(path)
        elif (path / FILE).exists():
            self._vault = opened(path, "r")
        elif path.exists() and any(path.iterdir()):
            raise NotFoundError(f"What stands at {str(path)!r} is no vault. Choose another `vault_uid`.")
        else:
            self._vault = make(path, experience_structure, compression, metadata)
            return
        if compression is not None or metadata is not None:
            _logger.info("The vault %s is there: `compression` and `metadata` have no effect.", path)

    @property
    def vault(self) -> Slotted:
        """The vault of ours behind it: episodes, views, loaders, resume points.

        Raises:
          ClosedError: if Flashbax wrote it.
        """
        if self._old is not None:
            raise ClosedError(
                f"The vault {self._base_path!r} was written by Flashbax and can be read only. Copy it: "
                "`new = Vault(name, old.read().experience); new.write(old.read())`, with `new.vault` then."
            )
        return self._vault

    @property
    def vault_index(self) -> int:
        """Steps that each stream has."""
        return self.vault.length if self._old is None else self._old.length

    @property
    def _metadata(self) -> dict[str, Any]:
        """What Flashbax keeps in `metadata.json`, which some programs look at."""
        if self._old is not None:
            return dict(self._old.metadata)
        schema, length = self._vault.schema, self.vault_index
        shapes = [str((schema.streams, length, *leaf.shape)) for leaf in schema.leaves]
        return {
            **self._vault.attributes,
            "version": VERSION,
            "structure_shape": schema.tree.rebuild(shapes),
            "structure_dtype": schema.tree.rebuild([leaf.dtype.name for leaf in schema.leaves]),
        }

    def write(
        self,
        fbx_state: Any,
        source_interval: tuple[int, int] = (0, 0),
        dest_start: int | None = None,
        *,
        on_gap: Literal["error", "record"] = "error",
        continues: bool | None = None,
    ) -> int:
        """Writes what is new of a buffer's state; on disk when it returns.

        Args:
          fbx_state: of any buffer, Flashbax's too, or built by hand.
          source_interval: slots `[low, high)` to write instead, whatever the cursor says; `high < low` goes
            round. Where they follow what was written before, the next write goes on behind them.
          dest_start: the vault's end, which is where steps go in any case.
          on_gap: as in `strongbax.Vault.write`.
          continues: as in `strongbax.Vault.write`.

        Returns:
          The steps a stream that were written.

        Raises:
          ClosedError: if Flashbax wrote the vault.
          GapError: if the ring overwrote steps since the last write; nothing is written.
          ConflictError, StorageError: as `strongbax.Vault.write` does.
          ValueError: if the state is not the vault's, or `dest_start` lies within what is written.
        """
        vault = self._writing()
        if dest_start is not None and dest_start != vault.length:
            raise ValueError(
                f"`dest_start` must be the vault's end, {vault.length}: got {dest_start}. Steps that are "
                "written are never changed; leave it out to append."
            )
        low, high = source_interval
        if low == high == 0:
            return vault.write(fbx_state, on_gap=on_gap, continues=continues)
        return vault.write_slots(fbx_state, low, high)

    def read(
        self, timesteps: int | None = None, percentiles: tuple[float, float] | None = None
    ) -> TrajectoryBufferState[Any]:
        """Reads steps as a trajectory buffer's state: full, its next step in slot 0.

        Args:
          timesteps: the last so many; all by default.
          percentiles: those between two percentiles of the length, where `timesteps` is not given.

        Raises:
          ValueError: if they do not rise, or do not lie in the vault.
        """
        if self._old is None:
            self.vault.refresh()
        start, stop = _interval(self.vault_index, timesteps, percentiles)
        tree = self._tree if self._structure is None else flatten(self._structure)[1]
        _check_names(tree.names, self._tree.names)
        leaves = self._read(tree.names, start, stop)
        if self._structure is None:
            experience = tree.rebuild(leaves)
        else:
            import jax

            experience = jax.tree.unflatten(jax.tree.structure(self._structure), leaves)
        return _full(experience, stop - start)

    def close(self) -> None:
        """Seals the vault: a plain Zarr group then. Without it nothing is lost either."""
        if self._old is None:
            self._vault.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _tree(self) -> Tree:
        return self._vault.schema.tree if self._old is None else self._old.tree

    def _read(self, names: Sequence[str], start: int, stop: int) -> list[Any]:
        if self._old is None:
            read = self._vault.read(start, stop, leaves=names).experience
            return [read[name] for name in names]
        import jax.numpy as jnp

        return [jnp.asarray(self._old.read(name, start, stop)) for name in names]

    def _writing(self) -> Slotted:
        """Becomes the writer at the first write, so that many can read."""
        if not self.vault.writable:
            self._vault = opened(Path(self._base_path), "a")
        return self._vault


def _interval(length: int, timesteps: int | None, percentiles: tuple[float, float] | None) -> tuple[int, int]:
    if timesteps is not None:
        if not 0 <= timesteps <= length:
            raise ValueError(f"`timesteps` must be within the vault's {length} steps: got {timesteps}.")
        return length - timesteps, length
    if percentiles is None:
        return 0, length
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise ValueError(f"`percentiles` must be in ascending order, within 0 and 100: got {percentiles}.")
    return int(length * (low / 100)), int(length * (high / 100))


def _check_names(wanted: Sequence[str], there: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        raise ValueError(
            f"`experience_structure` must be of the vault's leaves, {list(there)}: it has {missing} beside "
            "them. Leave it out to see what there is."
        )


def _full(experience: Any, steps: int) -> TrajectoryBufferState[Any]:
    import jax.numpy as jnp

    return TrajectoryBufferState(
        experience=experience,
        current_index=jnp.asarray(0, jnp.int32),
        is_full=jnp.asarray(steps > 0),
        laps=jnp.asarray(int(steps > 0), jnp.int32),
    )
