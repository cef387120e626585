"""What a dataset amounts to: how much it is, and a hash of every leaf, taken block by block."""

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ..vault.dtypes import NpArray
from ..vault.share import bytes_of
from .source import Block

_THREADS = 4


@dataclass(frozen=True)
class Tally:
    """A dataset, summed up.

    Attributes:
      num_steps: its steps.
      num_episodes: its episodes, a cut one at the end included.
      leaves: sha256 of all rows of a leaf, by name; derived leaves too.
      finals: sha256 of all final rows of a leaf, by name.
    """

    num_steps: int
    num_episodes: int
    leaves: Mapping[str, str]
    finals: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Returns the counts and hashes as JSON."""
        return {
            "num_steps": self.num_steps,
            "num_episodes": self.num_episodes,
            "sha256": dict(self.leaves),
            "final_sha256": dict(self.finals),
        }


class Tallying:
    """Takes a tally of blocks that come one after the other; leaves are hashed side by side.

    While a block is hashed the next one can be read: `add` waits for the one before only.
    """

    def __init__(self) -> None:
        self._num_steps = self._num_episodes = 0
        self._leaves: dict[str, Any] = {}
        self._finals: dict[str, Any] = {}
        self._pool = ThreadPoolExecutor(_THREADS, "strongbax-tally")
        self._pending: list[Future[None]] = []

    def add(self, block: Block) -> None:
        """Takes the next block."""
        self._wait()
        for kept, arrays in (
            (self._leaves, {**block.steps, **block.derived}),
            (self._finals, block.ends.final or {}),
        ):
            for name, rows in arrays.items():
                digest = kept.setdefault(name, hashlib.sha256())
                self._pending.append(self._pool.submit(_update, digest, rows))
        self._num_steps += block.num_steps
        self._num_episodes += len(block.ends.stop)

    def result(self) -> Tally:
        """Returns what the blocks amount to."""
        self._wait()
        leaves, finals = (
            {name: digest.hexdigest() for name, digest in kept.items()}
            for kept in (self._leaves, self._finals)
        )
        return Tally(self._num_steps, self._num_episodes, leaves, finals)

    def close(self) -> None:
        """Lets the threads go."""
        self._pool.shutdown()

    def _wait(self) -> None:
        for one in self._pending:
            one.result()
        self._pending = []


def tally_of(blocks: Iterable[Block]) -> Tally:
    """Returns what the blocks of a dataset amount to.

    Example:
      >>> import numpy as np
      >>> from strongbax.vault.episodes import Ends
      >>> flags = np.array([False, True, False])
      >>> ends = Ends(np.array([2]), flags[1:2], flags[:1])
      >>> tally = tally_of([Block({"reward": np.array([1.0, 2.0, 4.0])}, ends)])
      >>> tally.num_steps, tally.num_episodes
      (3, 1)
    """
    tallying = Tallying()
    try:
        for block in blocks:
            tallying.add(block)
        return tallying.result()
    finally:
        tallying.close()


def _update(digest: Any, rows: NpArray) -> None:
    digest.update(bytes_of(rows))
