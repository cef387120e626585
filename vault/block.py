"""The block: how many steps a shard holds, chosen when a vault is made."""

import numpy as np

from .codecs import NONE
from .schema import Leaf, power_of_two

BLOCK_BYTES = 8 << 20  # of a block of all streams: a seal is short, the tail in memory small
FRAME_BLOCK_BYTES = 32 << 20  # pixels: fewer files
PACKED_BLOCK_BYTES = 512 << 20  # of the largest leaf: few files, each of a size that every store takes


def choose_block(streams: int, leaves: tuple[Leaf, ...], block: int | None) -> int:
    """Chooses how many steps a shard holds, a power of two.

    A block of all leaves is about 8 MiB, 32 MiB with frames. A compressed leaf gets at least 8 frames.

    Raises:
      ValueError: if `block` is asked for and no power of two.
    """
    if block is not None:
        if block < 1 or block & (block - 1):
            raise ValueError(f"`block` must be a power of two: got {block}. Leave it out to have it chosen.")
        return block
    frames = any(leaf.codec != NONE for leaf in leaves)
    step_bytes = max(1, streams * sum(leaf.row_bytes for leaf in leaves))
    block = power_of_two((FRAME_BLOCK_BYTES if frames else BLOCK_BYTES) / step_bytes)
    return int(np.clip(block, 8 if frames else 1, 1 << 20))


def choose_packed_block(length: int, leaves: tuple[Leaf, ...]) -> int:
    """Chooses how many steps a shard of a packed vault holds, for one stream of `length` steps.

    A shard of the largest leaf is 256 to 512 MiB before compression, or all that there is.
    """
    row_bytes = max(1, *(leaf.row_bytes for leaf in leaves), 1)
    most = 1 << max(0, (PACKED_BLOCK_BYTES // row_bytes).bit_length() - 1)
    return min(most, 1 << max(0, length - 1).bit_length())
