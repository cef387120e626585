"""A buffer's state as an item of an Orbax checkpoint: its steps go to a vault, the checkpoint holds the rest.

    manager.save(number, args=Composite(params=StandardSave(…), replay=VaultSave(vault, state, key=key)))
    manager.restore(number, args=Composite(params=StandardRestore(…), replay=VaultRestore(buffer, vault)))

What Orbax keeps of the item is a resume point, which is counters and priorities, and where the vault is. So a
checkpoint costs what is new, one that is removed takes its resume point with it, and one that was interrupted
is not there. The steps stay in the vault.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orbax.checkpoint as ocp
from orbax.checkpoint import future
from orbax.checkpoint.args import register_with_handler

from .checksum import crc32c
from .dtypes import as_contiguous
from .errors import ConflictError, CorruptionError, FormatError, NotFoundError
from .resume_point import Point
from .vault import Vault

__all__ = ["VaultHandler", "VaultRestore", "VaultSave"]

FORMAT = 1


class VaultHandler(ocp.AsyncCheckpointHandler):
    """Saves and restores such items. Orbax makes it by itself; each process has a vault of its own."""

    async def async_save(self, directory: Any, args: "VaultSave") -> list[future.Future]:
        """Flushes the steps and takes the rest of the state, which may be donated then; writes it later."""
        files = _taken(directory, args)

        async def write() -> None:
            _write(directory, files)

        return [future.CommitFutureAwaitingContractedSignals(write(), name="strongbax_vault_save")]

    def save(self, directory: Any, args: "VaultSave") -> None:
        """Saves, and waits for it."""
        _write(directory, _taken(directory, args))

    def restore(self, directory: Any, args: "VaultRestore") -> tuple[Any, dict[str, Any]]:
        """Gives back the state and `extra`, as `Vault.restore` does.

        Raises:
          NotFoundError: if the item, or its vault, is not there.
          ConflictError: if the vault given is another.
          CorruptionError: if the point is damaged, or the vault lost steps that it needs.
        """
        facts = _facts(directory)
        file = directory / _name("point")
        point = Point.decode(file.read_bytes(), Path(os.fspath(file)))
        wanted = {"device": args.device, "like": args.like, "extra_like": args.extra_like}
        if args.vault is not None:
            return _restored(args.vault, point, facts, args.buffer, wanted)
        with _found(directory, facts) as vault:
            return _restored(vault, point, facts, args.buffer, wanted)

    def metadata(self, directory: Any) -> dict[str, Any]:
        """Gives what is known of the item: where its vault is, and how many rows of it are needed."""
        return _facts(directory)


@register_with_handler(VaultHandler, for_save=True)  # pyright: ignore[reportUntypedClassDecorator]
@dataclass
class VaultSave(ocp.args.CheckpointArgs):
    """What to save.

    Attributes:
      vault: open for writing, this process' own.
      state: of any buffer; what is new of it is flushed. It may be donated when `save` returns.
      key: PRNG keys, any pytree of them.
      extra: what else belongs to it, as in `Vault.checkpoint`.
      on_gap: as in `Vault.write`.
      continues: as in `Vault.write`.
    """

    vault: Vault
    state: Any
    key: Any = None
    extra: Mapping[str, Any] | None = None
    on_gap: Literal["error", "record"] = "error"
    continues: bool | None = None


@register_with_handler(VaultHandler, for_restore=True)  # pyright: ignore[reportUntypedClassDecorator]
@dataclass
class VaultRestore(ocp.args.CheckpointArgs):
    """What to restore.

    Attributes:
      buffer: that made the state, or one made alike.
      vault: the vault it was saved to; where it is open for writing the run goes on in it. By default the
        one that the checkpoint names is opened to read.
      device: as in `Vault.restore`, `like` and `extra_like` too.
      like: an example of a step.
      extra_like: an example of `extra`.
    """

    buffer: Any
    vault: Vault | None = None
    device: Any = None
    like: Any = None
    extra_like: Any = None


def _taken(directory: Any, args: VaultSave) -> dict[str, bytes]:
    """Makes the steps durable, and gives the item's files: copies, no views of the state."""
    import jax

    vault = args.vault
    point = vault.take_point(args.state, args.key, args.extra, on_gap=args.on_gap, continues=args.continues)
    where = str(vault.path)
    local = isinstance(vault.path, Path) and "://" not in os.fspath(directory)
    facts = {
        "format": FORMAT,
        "processes": jax.process_count(),
        "vault": where,
        "relative": os.path.relpath(where, directory) if local else None,
        "rows": point.length,
        "last": _last(vault, point.length),
    }
    return {_name("json"): json.dumps(facts, indent=1).encode(), _name("point"): point.encode()}


def _write(directory: Any, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (directory / name).write_bytes(data)


def _name(suffix: str) -> str:
    import jax

    return f"process-{jax.process_index()}.{suffix}"


def _facts(directory: Any) -> dict[str, Any]:
    """Reads what the item says of its vault."""
    import jax

    file = directory / _name("json")
    try:
        facts = json.loads(file.read_text())
        form, processes = facts["format"], facts["processes"]
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no {file.name} in {os.fspath(directory)!r}: the checkpoint has no replay of process "
            f"{jax.process_index()}. Restore with as many processes as saved it."
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptionError(f"{os.fspath(file)!r} is damaged: {error!r}. Restore another step.") from None
    if form != FORMAT:
        raise FormatError(f"{os.fspath(file)!r} is of format {form}, this version reads format {FORMAT}.")
    if processes != jax.process_count():
        raise ConflictError(
            f"The replay in {os.fspath(directory)!r} is of {processes} processes, each with a vault of its "
            f"own: got {jax.process_count()}. Restore with as many, or load their steps with `Vault.load`."
        )
    return facts


def _found(directory: Any, facts: Mapping[str, Any]) -> Vault:
    """Opens the vault where it lies beside the checkpoint, else where it lay when that was made."""
    places = [facts["vault"]]
    if facts["relative"] is not None:
        places.insert(0, os.path.normpath(Path(os.fspath(directory)) / facts["relative"]))
    for place in places:
        try:
            return Vault.open(place)
        except NotFoundError:
            continue
    raise NotFoundError(
        f"The vault of the checkpoint is at none of {places}. Open it where it is now, and give it: "
        "`VaultRestore(buffer, vault)`."
    )


def _restored(
    vault: Vault, point: Point, facts: Mapping[str, Any], buffer: Any, wanted: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    vault.refresh()
    if point.length <= vault.length and _last(vault, point.length) != facts["last"]:
        raise ConflictError(
            f"The vault {str(vault.path)!r} is not the one that was saved to, {facts['vault']!r}: step "
            f"{point.length - 1} differs. Open that one."
        )
    return vault.restore_point(point, buffer, **wanted)


def _last(vault: Vault, rows: int) -> int | None:
    """Gives a checksum of the last row that a point needs, to tell vaults apart."""
    if not rows:
        return None
    leaves = vault.read_numpy(rows - 1, rows, leaves=vault.leaves)
    return crc32c(b"".join(as_contiguous(leaves[name]).tobytes() for name in vault.leaves))
