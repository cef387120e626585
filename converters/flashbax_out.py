"""Vaults as Flashbax's `Vault` writes them, version 1.2: read by Flashbax 0.1 and og-marl.

Each leaf is a Zarr v2 array `[1, 10**13, ...]` in one OCDBT database. Rows are written by whole chunks, so
that none is compressed twice.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from ..vault.contents import Contents
from ..vault.dtypes import NpArray
from ..vault.errors import CorruptionError
from ..vault.files import storage_errors
from ..vault.flashbax_files import INDEX, METADATA, open_flashbax
from . import flashbax
from .left_out import left_out
from .outgoing import Outgoing, outgoing
from .source import Source, nest

OPTIONS = ()
VERSION = 1.2
TIME_AXIS = 10**13  # what Flashbax makes the time axis as long as
COMPRESSOR = {"id": "gzip", "level": 5}
_DTYPES = {
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16",
    "float32", "float64", "complex64", "complex128",
}  # fmt: skip
_FLAGS = ("terminated", "truncated")


def write(contents: Contents, path: Path, progress: Callable[[int, int], None]) -> Sequence[str]:
    """Writes a vault or view as Flashbax has it.

    Args:
      contents: of any leaves.
      path: of the folder, the vault's uid.
      progress: called with (done, total), in episodes; all are done when the last leaf is.

    Returns:
      What the format could not hold.

    Raises:
      ValueError: if there are no steps, or Flashbax has no place for the leaves' names.
      CorruptionError: if what was written, read back, is not what the vault holds.
    """
    out = outgoing(contents)
    if not out.num_steps:
        raise ValueError("`contents` must have steps: its episodes have none.")
    names = [name for name in out.schema.names if out.leaf(name)[0].name in _DTYPES]
    added = _added(out, names)
    arrays = _arrays([*names, *added], contents)
    leaves = {name: _rows(out, name, added) for name in arrays}
    described = {name: (np.dtype(np.bool_), ()) if name in added else out.leaf(name) for name in arrays}
    with storage_errors(path, "write"):
        path.mkdir()
        (path / METADATA).write_text(json.dumps(_metadata(out, arrays, described, contents)), "utf-8")
        for name, keys in arrays.items():
            _write_leaf(path, "".join(f"{key}." for key in keys), *described[name], leaves[name]())
        _write_index(path, out.num_steps)
    source = flashbax.read(path)
    told = _check(path, source, out, arrays, leaves)
    progress(len(out.table), len(out.table))
    return [*_notes(out, names, added, told=told), *left_out(contents, source)]


def _added(out: Outgoing, names: Sequence[str]) -> list[str]:
    """The flags that are to be made of the episode table, since the vault's own do not tell its ends."""
    roles = out.schema.roles
    if not roles.ends:
        return [flag for flag in _FLAGS if flag not in names]
    stopped = roles.terminated is not None and roles.truncated is None and out.table["truncated"].any()
    return ["truncated"] if stopped and "truncated" not in names else []


def _arrays(names: Sequence[str], contents: Contents) -> dict[str, tuple[str, ...]]:
    """Gives the keys of each leaf: those that it had where the vault is of Flashbax's."""
    origin = contents.card.get("provenance", {})
    theirs = origin.get("source", {}).get("names", {}) if origin.get("format") == flashbax.NAME else {}
    made = {name: tuple(map(unquote, theirs.get(name, name).split("/"))) for name in names}
    dotted = [name for name, keys in made.items() if any("." in key or "/" in key for key in keys)]
    if dotted:
        raise ValueError(
            f"Flashbax joins keys by dots, so the leaves {dotted} could be taken for others, and a slash "
            "parts folders. Rename them."
        )
    return made


def _rows(out: Outgoing, name: str, added: Sequence[str]) -> Callable[[], Iterator[NpArray]]:
    if name not in added:
        return lambda: (rows for _, rows in out.rows(name))

    def flags() -> Iterator[NpArray]:
        for length, flag in zip(out.table["length"].tolist(), out.table[name].tolist(), strict=True):
            values = np.zeros(length, np.bool_)
            values[length - 1 :] = flag
            yield values

    return flags


def _metadata(
    out: Outgoing, arrays: Mapping[str, tuple[str, ...]], described: Mapping[str, Any], contents: Contents
) -> dict[str, Any]:
    shapes = {"/".join(keys): str((1, out.num_steps, *described[name][1])) for name, keys in arrays.items()}
    dtypes = {"/".join(keys): described[name][0].name for name, keys in arrays.items()}
    facts = {"version": VERSION, "structure_shape": nest(shapes), "structure_dtype": nest(dtypes)}
    return {**contents.attributes, **facts}


def _write_leaf(
    path: Path, array: str, dtype: np.dtype[Any], shape: tuple[int, ...], parts: Iterable[NpArray]
) -> None:
    import tensorstore as ts

    store: Any = ts.open(
        {"driver": "zarr", "kvstore": _kvstore(path, array), "metadata": {"compressor": COMPRESSOR}},
        shape=(1, TIME_AXIS, *shape),
        dtype=dtype,
        create=True,
    ).result()
    chunk = int(store.chunk_layout.write_chunk.shape[1])
    held: list[NpArray] = []
    start, count = 0, 0
    for part in parts:
        held.append(part)
        count += len(part)
        if count >= chunk:
            rows = np.concatenate(held)
            whole = count // chunk * chunk
            store[0, start : start + whole].write(rows[:whole]).result()
            held, start, count = [rows[whole:]], start + whole, count - whole
    if count:
        store[0, start : start + count].write(np.concatenate(held)).result()


def _write_index(path: Path, steps: int) -> None:
    import tensorstore as ts

    store = ts.open(
        {"driver": "zarr", "kvstore": _kvstore(path, INDEX)}, shape=(1,), dtype=np.int32, create=True
    ).result()
    store[0].write(np.int32(steps)).result()


def _kvstore(path: Path, array: str) -> dict[str, Any]:
    return {"driver": "ocdbt", "base": {"driver": "file", "path": f"{path.resolve()}/"}, "path": array}


def _check(
    path: Path,
    source: Source,
    out: Outgoing,
    arrays: Mapping[str, tuple[str, ...]],
    leaves: Mapping[str, Callable[[], Iterator[NpArray]]],
) -> bool:
    """Compares what was written, read back; says whether its flags tell every episode's end."""
    files = open_flashbax(path)
    wrong = [] if files.length == out.num_steps else [f"{files.length} steps"]
    ours = dict(zip(source.example, files.leaves, strict=True))
    found = {name: hashlib.sha256() for name in files.leaves}
    stops: list[int] = []
    start = 0
    for block in source.blocks(1 << 12):
        for name, values in block.steps.items():
            found[ours[name]].update(_bytes(values))
        stops += (block.ends.stop + start).tolist()
        start += block.num_steps
    by_keys = {keys: name for name, keys in arrays.items()}
    for theirs, digest in found.items():
        name = by_keys[tuple(map(unquote, theirs.split("/")))]
        wanted = hashlib.sha256()
        for rows in leaves[name]():
            wanted.update(_bytes(rows))
        wrong += [] if wanted.digest() == digest.digest() else [f"the leaf `{name}` has other values"]
    if wrong or len(found) != len(arrays):
        raise CorruptionError(
            f"What was written as Flashbax's vault is not what the vault holds: {wrong}. Nothing was kept. "
            "Disk or memory fail, or this is a bug to report."
        )
    return stops == np.cumsum(out.table["length"]).tolist()


def _bytes(rows: NpArray) -> memoryview:
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data


def _notes(out: Outgoing, names: Sequence[str], added: Sequence[str], *, told: bool) -> list[str]:
    left = [name for name in out.schema.names if name not in names]
    notes = [f"The leaf `{name}` is {out.leaf(name)[0]}, which Flashbax does not store." for name in left]
    if added:
        notes.append(
            f"The leaves {list(added)} were made of the episode table: no flags said where episodes end so."
        )
    if not told:
        notes.append(
            "The flags do not tell where every episode ends: Flashbax has no episode table, and loses it."
        )
    if out.final_known.any():
        notes.append(
            f"The final rows of {int(out.final_known.sum())} episodes have no place in Flashbax's vaults."
        )
    wide = [name for name in names if out.leaf(name)[0].name in ("int64", "uint64", "float64")]
    if wide:
        notes.append(
            f"{wide} are 64 bits wide: Flashbax's own `read` gives 32, unless JAX is told otherwise."
        )
    if out.columns or any(text != b"{}" for text in out.table.texts()):
        notes.append(
            f"The episode table's columns {out.columns} and attributes have no place in Flashbax's vaults."
        )
    return notes
