"""The tail: committed steps that no shard holds yet, block by block, in memory.

A block ends where a shard ends. When it is full it is sealed and dropped; the log keeps its steps until
then.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .dtypes import NpArray
from .root import Mark, Running
from .schema import Leaf, Schema
from .store import ALIGNMENT, aligned_empty


@dataclass(frozen=True)
class State:
    """What is committed beyond the steps themselves.

    Attributes:
      length: steps a stream.
      episodes: ended episodes.
      sequence: number of the next log record.
      running: episodes that have not ended.
      added: where the last buffer's last flush stands, or None.
    """

    length: int
    episodes: int
    sequence: int
    running: Running
    added: Mark | None


@dataclass
class Block:
    """Steps of one shard.

    Attributes:
      row: time of the first step held here; in the shard's middle after a reopening.
      stop: time at which the shard ends.
      fill: steps held.
      leaves: `[B, stop - row, ...]` by name; those beyond `fill` mean nothing.
      after: what is committed with the flush that brought the last step.
    """

    row: int
    stop: int
    fill: int
    leaves: Mapping[str, NpArray]
    after: State | None = None

    @property
    def full(self) -> bool:
        """Whether the block reaches the shard's end."""
        return self.row + self.fill == self.stop

    def held(self, name: str) -> NpArray:
        """Gives a leaf's steps, `[B, fill, ...]`."""
        return self.leaves[name][:, : self.fill]


def allocate(shapes: Sequence[tuple[Leaf, tuple[int, ...]]]) -> list[NpArray]:
    """Allocates a block's leaves as one piece of memory, which the kernel then gives in huge pages.

    A first touch of 4 kB at a time would cost a flush more than its copy does.
    """
    sizes = [math.prod(shape) * leaf.dtype.itemsize for leaf, shape in shapes]
    starts = np.cumsum([0, *(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)])
    memory = aligned_empty((int(starts[-1]),), np.dtype(np.uint8))
    return [
        memory[start : start + size].view(leaf.dtype).reshape(shape)
        for (leaf, shape), start, size in zip(shapes, starts.tolist(), sizes, strict=False)
    ]


class Tail:
    """Blocks in time order, the last one perhaps not full.

    Args:
      schema: of the vault.
      row: time of the first step that no shard holds.
    """

    def __init__(self, schema: Schema, row: int) -> None:
        self._schema = schema
        self.start = row
        self.stop = row
        self.blocks: list[Block] = []

    def put(self, leaves: Mapping[str, NpArray], start: int, steps: int, after: State) -> None:
        """Copies steps `[start, steps)` of `leaves` `[B, steps, ...]` to the end."""
        while start < steps:
            block = self._open_block()
            count = min(steps - start, block.stop - block.row - block.fill)
            for name, target in block.leaves.items():
                target[:, block.fill : block.fill + count] = leaves[name][:, start : start + count]
            block.fill += count
            block.after = after
            start += count
            self.stop += count

    def skip(self, stop: int) -> None:
        """Continues at `stop` after steps that went straight to shards; the tail is empty."""
        self.blocks.clear()
        self.start = self.stop = stop

    def drop(self, blocks: list[Block]) -> None:
        """Forgets blocks, the oldest ones, that are sealed."""
        del self.blocks[: len(blocks)]
        self.start = self.blocks[0].row if self.blocks else self.stop

    @property
    def waiting(self) -> int:
        """The number of blocks that wait for their seal."""
        return len(self.blocks) - 1 + self.blocks[-1].full if self.blocks else 0

    def full_blocks(self) -> list[Block]:
        """Gives the blocks that wait for their seal."""
        return [block for block in self.blocks if block.full]

    def _open_block(self) -> Block:
        if self.blocks and not self.blocks[-1].full:
            return self.blocks[-1]
        size, streams = self._schema.block, self._schema.streams
        stop = (self.stop // size + 1) * size
        steps = stop - self.stop
        shapes = [(leaf, (streams, steps, *leaf.shape)) for leaf in self._schema.leaves]
        leaves = dict(zip(self._schema.names, allocate(shapes), strict=True))
        self.blocks.append(Block(self.stop, stop, 0, leaves))
        return self.blocks[-1]
