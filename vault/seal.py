"""Sealing: committed steps and episodes become write-once shards, and the root is replaced.

Shards and episode rows are made durable first, then one rename publishes the new lengths of all arrays at
once. A crash before it leaves bytes that nothing counts on; they are written anew, atomically, later.
"""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .arrays import ArraySpec
from .dtypes import NpArray
from .episodes import Rows, join_rows
from .errors import StorageError
from .location import Location
from .root import Gap, Root
from .schema import ATTRIBUTES, ATTRIBUTES_STOP, Schema
from .store import begin_write, open_store
from .tail import Block, State


@dataclass(frozen=True)
class Sealed:
    """What a seal brings into shards.

    Attributes:
      blocks: steps, in time order.
      rows: episodes that ended in what is sealed, in order.
      stop: time after the last step.
      after: what is committed with the flush that brought it.
      gaps: all gaps until then.
      log: number of the first log file that is still needed.
    """

    blocks: list[Block]
    rows: list[Rows]
    stop: int
    after: State
    gaps: tuple[Gap, ...]
    log: int


class Seal:
    """Writes shards.

    Args:
      path: folder of the vault.
      schema: of the vault.
      replace_root: makes a root durable in the place of the one that stands.
    """

    def __init__(self, path: Location, schema: Schema, replace_root: Callable[[Root], None]) -> None:
        self._path, self._schema, self._replace_root = path, schema, replace_root
        self._stores: dict[str, Any] = {}

    def publish(self, root: Root, sealed: Sealed) -> Root:
        """Writes shards and episode rows, then replaces the root: the commit.

        Args:
          root: that stands on disk.
          sealed: what is new.

        Returns:
          The root that stands on disk now.

        Raises:
          OSError: if the disk refuses; the old root stands.
        """
        blocks, after = sealed.blocks, sealed.after
        for block in blocks[:-1]:
            _finish(self._begin_block(block))
        pending = self._begin_block(blocks[-1]) if blocks else []
        texts = b"".join(text for part in sealed.rows for text in part.attributes)
        if sum(map(len, sealed.rows)):
            pending += self._begin_rows(root, join_rows(sealed.rows), texts)
        _finish(pending)
        root = replace(
            root,
            running=after.running,
            length=sealed.stop,
            committed=after.length,
            episodes=root.episodes + sum(map(len, sealed.rows)),
            attribute_bytes=root.attribute_bytes + len(texts),
            log=sealed.log,
            sequence=after.sequence,
            added=after.added,
            gaps=sealed.gaps,
        )
        self._replace_root(root)
        return root

    def _begin_block(self, block: Block) -> list[Any]:
        arrays = [(leaf.name, self._schema.step_array(leaf)) for leaf in self._schema.leaves]
        return [self._begin(array, block.row, block.held(name)) for name, array in arrays]

    def _begin_rows(self, root: Root, rows: Rows, texts: bytes) -> list[Any]:
        start, columns = root.episodes, self._schema.column_arrays()
        stops = np.cumsum([len(text) for text in rows.attributes]) + root.attribute_bytes
        values = dict(rows.columns) | {ATTRIBUTES_STOP: stops.astype(np.int64)}
        pending = [self._begin(columns[name], start, column) for name, column in values.items()]
        if texts:
            data = np.frombuffer(texts, np.uint8)
            pending.append(self._begin(columns[ATTRIBUTES], root.attribute_bytes, data))
        for name, final in rows.finals.items():
            pending.append(self._begin(self._schema.final_array(self._schema.leaf(name)), start, final))
        return pending

    def _begin(self, array: ArraySpec, start: int, values: NpArray) -> Any:
        if array.path not in self._stores:
            self._stores[array.path] = open_store(self._path, array, writable=True)
        return begin_write(self._stores[array.path], array, start, np.ascontiguousarray(values))


def _finish(pending: list[Any]) -> None:
    errors = [error for future in pending if (error := future.exception()) is not None]
    if errors:
        raise _as_os_error(errors[0]) from errors[0]


def _as_os_error(error: Exception) -> OSError:
    """Finds the operating system's reason in TensorStore's message."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO):
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number))
    return StorageError(
        f"TensorStore could not write a shard: {str(error)[:300]}. Everything committed before is safe."
    )


def blocks_of(leaves: Mapping[str, NpArray], row: int, steps: int, size: int) -> list[Block]:
    """Takes steps apart, from `row` on, where shards of `size` steps end first; leaves `[B, steps, ...]`."""
    edge = min(steps, -row % size)
    return [
        Block(
            row + start,
            row + stop,
            stop - start,
            {name: values[:, start:stop] for name, values in leaves.items()},
        )
        for start, stop in ((0, edge), (edge, steps))
        if stop > start
    ]


def split_rows(parts: list[Rows], count: int) -> tuple[list[Rows], list[Rows]]:
    """Parts the first `count` rows from the rest."""
    for place, part in enumerate(parts):
        if count < len(part):
            before = [*parts[:place], part.part(0, count)] if count else parts[:place]
            return before, [part.part(count, len(part)), *parts[place + 1 :]]
        count -= len(part)
    return list(parts), []
