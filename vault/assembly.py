"""Shares, assembled: what lies between them becomes shards, the tables are written, and a vault stands there.

Of the steps only the blocks that shares have in common are copied: one at each place where a share begins.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import ArraySpec
from .create import fill
from .dtypes import NpArray
from .errors import CorruptionError
from .files import TEMPORARY, make_directories, sync_directory, sync_file
from .root import Root
from .running import begin
from .schema import ATTRIBUTES, ATTRIBUTES_STOP, Leaf, Schema
from .shard_writer import PIECE_BYTES, write_array, write_shard
from .shards import ShardReader
from .share import Share, bytes_of
from .share_reader import ShareReader


def prepare(folder: Path, schema: Schema) -> None:
    """Makes the folders that shares are written to; twice is harmless.

    Args:
      folder: of the vault that is to be.
      schema: of it, with one stream.
    """
    for leaf in schema.leaves:
        make_directories(folder / schema.step_array(leaf).path)


def assemble(folder: Path, schema: Schema, shares: Sequence[Share], attributes: Mapping[str, Any]) -> Root:
    """Makes a closed vault of all its shares, reads back what it wrote, and syncs everything.

    Args:
      folder: that the shares were written to; a call that was killed is simply made again.
      schema: of the vault.
      shares: in the order of their steps, without a gap.
      attributes: of the vault.

    Returns:
      The root that stands there, without a card.

    Raises:
      CorruptionError: if a share is missing or damaged, or what was written does not come back.
      OSError: if the disk refuses.
    """
    _check(shares)
    readers = [ShareReader(folder, schema, share) for share in shares]
    total, episodes = shares[-1].span.total, sum(share.episodes for share in shares)
    root = Root(
        schema,
        begin(schema, total),
        length=total,
        committed=total,
        episodes=episodes,
        attribute_bytes=sum(share.attribute_bytes for share in shares),
        attributes=attributes,
    )
    for left in (folder / "steps").rglob(f"*{TEMPORARY}"):
        left.unlink()
    fill(folder, root)
    _join_blocks(folder, schema, readers)
    for array in root.arrays():
        if not array.path.startswith("steps/"):
            rows = _table_rows(readers, array)
            write_array(folder, array, rows, lambda _: None)
            _read_back(folder, array, rows, 0, array.shape[0])
    for path in sorted(path for path in folder.rglob("*") if path.is_dir()):
        sync_directory(path)
    sync_directory(folder)
    return root


def _check(shares: Sequence[Share]) -> None:
    bounds = [0, *(share.span.stop for share in shares)]
    total = shares[-1].span.total
    if bounds[:-1] != [share.span.start for share in shares] or bounds[-1] != total:
        raise CorruptionError(
            "The shares of a vault must follow one another from its first step to its last."
        )
    for share in shares:
        for raw in share.raw.values():
            raw.check()


# -- steps


def _join_blocks(folder: Path, schema: Schema, readers: Sequence[ShareReader]) -> None:
    """Writes the blocks that no share holds whole."""
    total = readers[-1].share.span.total
    edges = {low // schema.block for reader in readers for low, high in reader.edges if low < high}
    with ThreadPoolExecutor(4, "strongbax-assembly") as pool:
        for number in sorted(edges):
            start, stop = number * schema.block, min(total, (number + 1) * schema.block)
            here = [one for one in readers if one.share.span.start < stop and one.share.span.stop > start]
            for leaf in schema.leaves:
                array = schema.step_array(leaf, total)
                if 0 not in array.shape:
                    _join_block(folder, array, _rows_across(here, leaf), (number, start, stop), pool)


def _join_block(
    folder: Path,
    array: ArraySpec,
    rows: Callable[[int, int], NpArray],
    place: tuple[int, int, int],
    pool: ThreadPoolExecutor,
) -> None:
    number, start, stop = place
    path = folder / array.path / array.key(number)
    write_shard(path, array, rows(start, stop), pool)
    sync_file(path)
    _read_back(folder, array, rows, start, stop)


def _rows_across(readers: Sequence[ShareReader], leaf: Leaf) -> Callable[[int, int], NpArray]:
    def rows(start: int, stop: int) -> NpArray:
        spans = [(max(start, r.share.span.start), min(stop, r.share.span.stop)) for r in readers]
        parts = [one.rows(leaf.name, *span) for one, span in zip(readers, spans, strict=True)]
        return np.concatenate(parts)[None]

    return rows


# -- tables


def _table_rows(readers: Sequence[ShareReader], array: ArraySpec) -> Callable[[int, int], NpArray]:
    """Gives what reads rows of a table over all shares."""
    group, name = array.path.split("/", 1)
    bytewise = array.path == f"episodes/{ATTRIBUTES}"
    counts = [one.share.attribute_bytes if bytewise else one.share.episodes for one in readers]
    bounds = [0, *itertools.accumulate(counts)]
    texts = [0, *itertools.accumulate(one.share.attribute_bytes for one in readers)]

    def rows(start: int, stop: int) -> NpArray:
        parts: list[NpArray] = []
        for reader, first, last, before in zip(readers, bounds, bounds[1:], texts, strict=False):
            low, high = max(start, first) - first, min(stop, last) - first
            if low < high:
                part = reader.final(name, low, high) if group == "final" else reader.column(name, low, high)
                parts.append(part + before if name == ATTRIBUTES_STOP else part)
        return np.concatenate(parts) if parts else np.zeros((0, *array.tail), array.dtype)

    return rows


def _read_back(
    folder: Path, array: ArraySpec, rows: Callable[[int, int], NpArray], start: int, stop: int
) -> None:
    """Compares what stands in shards with what was to be written."""
    row_bytes = max(1, int(np.prod(array.tail, dtype=np.int64)) * array.dtype.itemsize)
    step = max(1, PIECE_BYTES // row_bytes)
    reader = ShardReader(folder, array, checked=True)
    for low in range(start, stop, step):
        wanted = rows(low, min(stop, low + step))
        found = np.empty_like(wanted)
        reader.read(low, min(stop, low + step), found)
        if not np.array_equal(bytes_of(found), bytes_of(wanted)):
            raise CorruptionError(
                f"The array {array.path!r} does not come back as it was written. Disk or memory fail."
            )


def sign(folder: Path, root: Root, card: Mapping[str, Any]) -> None:
    """Gives an assembled vault its card."""
    fill(folder, replace(root, card=dict(card)))
