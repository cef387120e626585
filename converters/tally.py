"""What a dataset amounts to: hashes of its leaves, and its episodes. Equal tallies, equal datasets.

One is taken of the source while it is read, another of the vault as it stands on disk. Neither
knows how the other was made.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from .source import Block

# Sums of the same rewards in another order differ by this much of the sum of their sizes, at most.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Tally:
    """A dataset, summed up.

    Attributes:
      num_steps: its steps.
      leaves: sha256 of all rows of a leaf, by name; derived leaves too.
      finals: sha256 of all final rows of a leaf, by name.
      stops: int64 `[E]`, the step after each episode's last one.
      terminated: bool `[E]`.
      truncated: bool `[E]`.
      returns: float64 `[E]`, sums of rewards.
      sizes: float64 `[E]`, sums of the rewards' absolute values.
    """

    num_steps: int
    leaves: Mapping[str, str]
    finals: Mapping[str, str]
    stops: NpArray
    terminated: NpArray
    truncated: NpArray
    returns: NpArray
    sizes: NpArray

    @property
    def num_episodes(self) -> int:
        """The number of episodes, a cut one at the end included."""
        return len(self.stops)

    def to_dict(self) -> dict[str, Any]:
        """Returns the counts and hashes as JSON."""
        return {
            "num_steps": self.num_steps,
            "num_episodes": self.num_episodes,
            "sha256": dict(self.leaves),
            "final_sha256": dict(self.finals),
        }


class Count:
    """Adds up the blocks of a dataset into a `Tally`.

    Example:
      >>> from strongbax.vault.episodes import Ends
      >>> flags = np.array([False, True, False])
      >>> ends = Ends(np.array([2]), flags[1:2], flags[:1])
      >>> count = Count()
      >>> count.add(Block({"reward": np.array([1.0, 2.0, 4.0])}, ends))
      >>> count.tally().num_steps, count.tally().returns.tolist()
      (3, [3.0])
    """

    def __init__(self) -> None:
        self._num_steps = 0
        self._leaves: dict[str, Any] = {}
        self._finals: dict[str, Any] = {}
        self._rows: dict[str, list[NpArray]] = {"stops": [], "terminated": [], "truncated": []}
        self._sums: list[NpArray] = []
        self._open = np.zeros(2)  # return and size of the episode that runs

    def add(self, block: Block) -> None:
        """Adds the next block."""
        ends = block.ends
        for name, rows in (*block.steps.items(), *block.derived.items()):
            _update(self._leaves, name, rows)
        for name, rows in (ends.final or {}).items():
            _update(self._finals, name, rows)
        self._rows["stops"].append(self._num_steps + ends.stop)
        self._rows["terminated"].append(ends.terminated)
        self._rows["truncated"].append(ends.truncated)
        self._sums.append(self._sum(block.steps["reward"], ends.stop))
        self._num_steps += block.num_steps

    def tally(self) -> Tally:
        """Returns the tally of all that was added."""
        sums = np.concatenate([*self._sums, np.zeros((2, 0))], axis=1)
        stops, terminated, truncated = (np.concatenate(rows) for rows in self._rows.values())
        return Tally(
            num_steps=self._num_steps,
            leaves={name: digest.hexdigest() for name, digest in self._leaves.items()},
            finals={name: digest.hexdigest() for name, digest in self._finals.items()},
            stops=stops,
            terminated=terminated,
            truncated=truncated,
            returns=sums[0],
            sizes=sums[1],
        )

    def _sum(self, reward: NpArray, stops: NpArray) -> NpArray:
        """Returns the returns and sizes `[2, E]` of the episodes that end in a block."""
        rewards = reward.astype(np.float64).reshape(len(reward), -1).sum(axis=1)
        both = np.stack([rewards, np.abs(rewards)])
        # One column of zeros more, for the empty rest where an episode ends with the block.
        padded = np.pad(both, ((0, 0), (0, 1)))
        sums = np.add.reduceat(padded, np.concatenate([[0], stops]), axis=1)
        sums[:, 0] += self._open
        self._open = sums[:, -1]
        return sums[:, :-1]


def differences(source: Tally, vault: Tally) -> list[str]:
    """Returns what differs between two tallies, a sentence each; nothing if they are equal.

    Example:
      >>> empty = Count()
      >>> nothing = Block({"reward": np.zeros(0)}, Ends(*[np.zeros(0, int)] * 3))
      >>> empty.add(nothing)
      >>> differences(empty.tally(), empty.tally())
      []
    """
    found = [
        f"{what}: {getattr(source, what)} in the source, {getattr(vault, what)} in the vault"
        for what in ("num_steps", "num_episodes")
        if getattr(source, what) != getattr(vault, what)
    ]
    found += _different_hashes("leaf", source.leaves, vault.leaves)
    found += _different_hashes("final rows", source.finals, vault.finals)
    if source.num_episodes != vault.num_episodes:
        return found
    for column in ("stops", "terminated", "truncated"):
        found += _different_rows(column, getattr(source, column) != getattr(vault, column))
    apart = np.abs(source.returns - vault.returns) > TOLERANCE * source.sizes
    return found + _different_rows("return", apart)


def _update(digests: dict[str, Any], name: str, rows: NpArray) -> None:
    digests.setdefault(name, hashlib.sha256()).update(np.ascontiguousarray(rows).data)


def _different_hashes(what: str, source: Mapping[str, str], vault: Mapping[str, str]) -> list[str]:
    names = sorted(source.keys() | vault.keys())
    return [
        f"{what} `{name}`: sha256 {source.get(name)} in the source, {vault.get(name)} in the vault"
        for name in names
        if source.get(name) != vault.get(name)
    ]


def _different_rows(column: str, differs: NpArray) -> list[str]:
    (rows,) = np.nonzero(differs)
    return [f"{column} of episode {rows[0]} and {len(rows) - 1} others"] if len(rows) else []
