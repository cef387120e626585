"""Building a whole vault of what is left of a damaged one.

Where no step is lost, or only the last ones, the vault stays what it was: streams, log and resume points.
Where steps are lost in the middle, the episodes that lost none are written end to end as one stream.
"""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import log
from .attachments import attach, attached_folders, read_attached
from .create import fill
from .dtypes import NpArray
from .errors import StrongbaxError
from .extras import copy, copy_others
from .files import make_directories, write_new
from .manifest import FILE as MANIFEST
from .manifest import write_manifest
from .record import encode
from .resume import FOLDER as RESUME
from .resume import file_of, load, numbers
from .rewrite import Facts, Layout, write_out
from .root import Root
from .salvage import Salvage
from .schema import ATTRIBUTES, ATTRIBUTES_STOP
from .selected import Selected
from .shard_writer import write_array
from .swap import MARKER


def stays(found: Salvage) -> bool:
    """Says whether the vault can stay what it was: no step between others is lost, and no episode."""
    return found.complete and not (found.table.without and found.log.records)


def build(folder: Path, found: Salvage) -> None:
    """Builds a vault of all that is whole, synced but for the folders.

    Args:
      folder: empty but for a lock and a marker.
      found: what is left; its notes grow.
    """
    if stays(found):
        _keep(folder, found)
        _copy_points(folder, found)
    else:
        _flatten(folder, found)
        if numbers(found.path):
            found.notes.lost.append("Resume points: the streams in which a run would go on are no more.")
    _copy_attached(folder, found)
    copy_others(found.path, folder)
    if (found.path / MANIFEST).exists():
        write_manifest(folder, without=MARKER)


def _flatten(folder: Path, found: Salvage) -> None:
    schema = found.root.schema
    block = schema.block if schema.streams == 1 and not schema.packed else None
    card = {name: fact for name, fact in found.root.card.items() if name != "stats"}
    chosen = Selected((found.snapshot(),), found.left())
    write_out(folder, chosen, Layout(block=block, packed=schema.packed), Facts(found.root.attributes, card))


def _keep(folder: Path, found: Salvage) -> None:
    root = _root(found)
    fill(folder, root)
    values = _tables(found)
    for array in root.arrays():
        if array.path in found.table.patched and array.axis == 0:
            write_array(folder, array, functools.partial(_part, values[array.path]), _silent)
        elif 0 not in array.shape:
            for shard in range(-(-array.shape[array.axis] // array.rows)):
                name = f"{array.path}/{array.key(shard)}"
                copy(found.path / name, folder / name)
    if found.log.records and root.committed > root.length:
        parts = [part for record in found.log.records for part in encode(record, root.schema)]
        write_new(folder / log.DIRECTORY / log.file_name(root.log), b"".join(parts))


def _part(rows: NpArray, start: int, stop: int) -> NpArray:
    return rows[start:stop]


def _silent(size: int) -> None:
    """Tells nobody how far it is."""
    del size


def _root(found: Salvage) -> Root:
    """Gives the root of what is left: after the last record, or at the shards' end where there is none."""
    root, table = found.root, found.table
    columns = {name: dtype for name, dtype in root.schema.columns.items() if name not in table.without}
    last = found.log.records[-1] if found.log.records else None
    root = replace(
        root,
        schema=replace(root.schema, columns=columns),
        attribute_bytes=sum(map(len, table.texts)),
        running=found.running,
        committed=found.length,
        added=root.added if root.committed == root.length else None,
    )
    if last is None:
        return root
    # Records that the shards hold as a whole go with the log; those after them are counted by the last one.
    return replace(root, sequence=last.sequence + 1, added=last.added)


def _tables(found: Salvage) -> dict[str, NpArray]:
    """Gives the rows of the tables' arrays, by path."""
    table = found.table
    values = {f"episodes/{name}": column for name, column in table.columns.items()}
    values |= {f"final/{name}": rows for name, rows in table.finals.items()}
    values[f"episodes/{ATTRIBUTES}"] = np.frombuffer(b"".join(table.texts), np.uint8)
    values[f"episodes/{ATTRIBUTES_STOP}"] = np.cumsum([len(text) for text in table.texts], dtype=np.int64)
    return values


def _copy_points(folder: Path, found: Salvage) -> None:
    for number in numbers(found.path):
        file = found.path / RESUME / file_of(found.path, number).name
        try:
            needed = load(found.path, number).length
        except StrongbaxError:
            found.notes.lost.append(f"The resume point {file.name} is damaged.")
            continue
        if needed > found.length:
            found.notes.lost.append(f"The resume point {file.name} needs steps that are lost.")
            continue
        make_directories(folder / RESUME)
        copy(file, folder / RESUME / file.name)


def _copy_attached(folder: Path, found: Salvage) -> None:
    for name, place in attached_folders(found.path):
        try:
            attach(folder, {name: read_attached(place)})
        except (StrongbaxError, ValueError, LookupError, TypeError):
            found.notes.lost.append(f"The attached array {name!r} is damaged.")
