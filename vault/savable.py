"""Verbs that write what a vault or a view holds as another vault."""

from pathlib import Path
from typing import TYPE_CHECKING

from .beside import beside
from .files import storage_errors
from .location import folder_of
from .manifest import write_manifest
from .rewrite import Codec, Layout, Progress, copy_attached, facts_of, write_out
from .sampled import Sampled

if TYPE_CHECKING:
    from .view import View


class Savable(Sampled):
    """Episodes that can be written as a vault of their own."""

    def save(
        self,
        path: str | Path,
        *,
        codec: Codec = None,
        block: int | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Writes the episodes as a new vault of one stream, end to end in their order.

        The vault is there whole or not at all, whenever the process ends. Every byte that is read is checked.
        Of a vault the episodes that run are taken too: cut where the recording stands, as the last ones.
        Facts of the card that hold for other episodes only (statistics) are left out.

        Args:
          path: of a folder that is not there yet.
          codec: as in `Vault.create`; leaves that are not named keep the codec that they have.
          block: steps of a shard, a power of two; chosen by default.
          overwrite: replace a vault that stands there.
          progress: called with (done, total), in bytes.

        Returns:
          The vault's path.

        Raises:
          AlreadyExistsError: if something stands at `path`.
          CorruptionError: if what is to be copied is damaged; `strongbax repair` keeps what is whole.
          StorageError: if the disk refuses.

        Example:
          >>> from strongbax.vault.view import example
          >>> vault = example(lengths=[5, 2, 9])
          >>> path = vault.filter({"length": (3, None)}).save("long.vault")
          >>> type(vault).open(path).episodes["length"]
          array([5, 9])
        """
        return self._write(path, Layout(codec, block), overwrite=overwrite, progress=progress)

    def pack(
        self,
        path: str | Path,
        *,
        codec: Codec = "zstd",
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Writes the episodes as a new vault for reading and publishing, as `save` does, but packed.

        It has few files: shards of up to 512 MiB before compression, inner chunks of about 256 KiB, and
        `manifest.json` with the size and SHA-256 of every file. Packing the same episodes, or a packed vault,
        gives the same bytes. Memory is bounded by some MiB a thread, and by the episode table.

        Args:
          path: of a folder that is not there yet.
          codec: one for all leaves, or by leaf; zstd where nothing is said.
          overwrite: replace a vault that stands there.
          progress: called with (done, total), in bytes.

        Returns:
          The vault's path.

        Raises:
          AlreadyExistsError, CorruptionError, StorageError: as `save`.

        Example:
          >>> from strongbax.vault.view import example
          >>> path = example(lengths=[5, 2, 9]).pack("packed.vault")
          >>> (path / "manifest.json").exists()
          True
        """
        named = {"": "zstd"} | ({"": codec} if isinstance(codec, str) else dict(codec or {}))
        layout = Layout(named, packed=True)
        return self._write(path, layout, overwrite=overwrite, progress=progress)

    def finished(self) -> "View":
        """Gives a view of every step, as of a recording that is over: what runs is cut, as the last episodes.

        Example:
          >>> from strongbax.vault.view import example
          >>> example(lengths=[5, 2]).finished().num_episodes
          2
        """
        from .parts import whole
        from .view import View

        sources = self.selected().sources
        return View(whole([source.finished() for source in sources]), self.treedef)

    def _write(
        self, where: str | Path, layout: Layout, *, overwrite: bool, progress: Progress | None
    ) -> Path:
        path = folder_of(where)
        chosen = self.finished().selected()
        with beside(path, overwrite=overwrite) as folder, storage_errors(path, "write the vault"):
            write_out(folder, chosen, layout, facts_of(chosen), progress)
            copy_attached(folder, chosen)
            if layout.packed:
                write_manifest(folder)
        return path
