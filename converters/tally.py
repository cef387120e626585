"""What a dataset amounts to: hashes of its leaves, and its episodes. Equal tallies, equal datasets.

One is taken of the source, another of the vault as it stands on disk.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.episodes import Ends
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
      columns: sha256 of each further column of the episode table, of the episodes' attributes, and of which
        final rows are known.
      stops: int64 `[E]`, the step after each episode's last one.
      terminated: bool `[E]`.
      truncated: bool `[E]`.
      returns: float64 `[E, ...]`, sums of rewards.
      sizes: float64 `[E, ...]`, sums of the rewards' absolute values.
    """

    num_steps: int
    leaves: Mapping[str, str]
    finals: Mapping[str, str]
    columns: Mapping[str, str]
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


def tally_of(blocks: Iterable[Block]) -> Tally:
    """Returns what the blocks of a dataset amount to; there is at least one.

    Example:
      >>> from strongbax.vault.episodes import Ends
      >>> flags = np.array([False, True, False])
      >>> ends = Ends(np.array([2]), flags[1:2], flags[:1])
      >>> tally = tally_of([Block({"reward": np.array([1.0, 2.0, 4.0])}, ends)])
      >>> tally.num_steps, tally.returns.tolist()
      (3, [3.0])
    """
    num_steps = 0
    leaves: dict[str, Any] = {}
    finals: dict[str, Any] = {}
    columns: dict[str, Any] = {}
    rows: list[tuple[NpArray, ...]] = []
    running: Any = 0.0  # return and size of the episode that runs, `[2, ...]`
    for block in blocks:
        ends = block.ends
        for name, values in (*block.steps.items(), *block.derived.items()):
            _update(leaves, name, values)
        for name, values in (ends.final or {}).items():
            _update(finals, name, values)
        for name, values in _columns(ends).items():
            _update(columns, name, values)
        reward = block.steps.get("reward", np.zeros(block.num_steps))
        sums, running = _sums(reward, ends.stop, running)
        rows.append((num_steps + ends.stop, ends.terminated, ends.truncated, *sums))
        num_steps += block.num_steps
    table = [np.concatenate(column) for column in zip(*rows, strict=True)]
    return Tally(num_steps, _texts(leaves), _texts(finals), _texts(columns), *table)


def _columns(ends: Ends) -> dict[str, NpArray]:
    """What the episodes that end in a block have beside flags and returns."""
    known = ends.final_known
    if known is None and ends.final is not None:
        known = np.ones(len(ends.stop), np.bool_)
    texts = ends.attributes or [{}] * len(ends.stop)
    text = "".join(f"{json.dumps(dict(one), sort_keys=True)}\n" for one in texts)
    found = dict(ends.columns) | {"attributes": np.frombuffer(text.encode(), np.uint8)}
    return found if known is None else found | {"final_known": known}


def _sums(reward: NpArray, stops: NpArray, running: Any) -> tuple[NpArray, NpArray]:
    """Returns return and size `[2, E, ...]` of the episodes that end in a block, `[2, ...]` of the rest.

    The trailing axes are those of a reward of many agents.
    """
    rewards = reward.astype(np.float64)
    if rewards.size == len(rewards):
        rewards = rewards.reshape(-1)  # one number a step, whatever its axes
    # One zero more, for the empty rest where an episode ends with the block.
    both = np.pad(np.stack([rewards, np.abs(rewards)]), ((0, 0), (0, 1), *[(0, 0)] * (rewards.ndim - 1)))
    starts = np.concatenate([[0], stops])
    sums = np.add.reduceat(both, starts, axis=1)
    sums[:, :-1][:, np.diff(starts) == 0] = 0  # of an episode without steps it gives the next one's first
    sums[:, 0] += running
    return sums[:, :-1], sums[:, -1]


def differences(source: Tally, vault: Tally) -> list[str]:
    """Returns what differs between two tallies, a sentence each; nothing if they are equal.

    Example:
      >>> from strongbax.vault.episodes import Ends
      >>> block = Block({"reward": np.ones(2)}, Ends(np.array([2]), *np.eye(2, dtype=bool)[:, :1]))
      >>> other = Block({"reward": np.zeros(2)}, block.ends)
      >>> differences(tally_of([block]), tally_of([block]))
      []
      >>> differences(tally_of([block]), tally_of([other]))[-1]
      'return of episode 0 and 0 others'
    """
    found = [
        f"{what}: {getattr(source, what)} in the source, {getattr(vault, what)} in the vault"
        for what in ("num_steps", "num_episodes")
        if getattr(source, what) != getattr(vault, what)
    ]
    found += _different_hashes("leaf", source.leaves, vault.leaves)
    found += _different_hashes("final rows", source.finals, vault.finals)
    found += _different_hashes("column", source.columns, vault.columns)
    if source.num_episodes != vault.num_episodes:
        return found
    for column in ("stops", "terminated", "truncated"):
        found += _different_rows(column, getattr(source, column) != getattr(vault, column))
    with np.errstate(invalid="ignore"):  # infinite returns have no difference, and equal themselves
        close = np.abs(source.returns - vault.returns) <= TOLERANCE * source.sizes
    unknown = np.isnan(source.returns) & np.isnan(vault.returns)  # of a reward that is NaN
    return found + _different_rows("return", ~close & ~unknown & (source.returns != vault.returns))


def _update(digests: dict[str, Any], name: str, rows: NpArray) -> None:
    digests.setdefault(name, hashlib.sha256()).update(_bytes(rows))


def _bytes(rows: NpArray) -> NpArray:
    # Not the array itself: the buffer protocol knows fewer dtypes than NumPy.
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8)


def _texts(digests: Mapping[str, Any]) -> dict[str, str]:
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _different_hashes(what: str, source: Mapping[str, str], vault: Mapping[str, str]) -> list[str]:
    names = sorted(source.keys() | vault.keys())
    return [
        f"{what} `{name}`: sha256 {source.get(name)} in the source, {vault.get(name)} in the vault"
        for name in names
        if source.get(name) != vault.get(name)
    ]


def _different_rows(column: str, differs: NpArray) -> list[str]:
    (rows,) = np.nonzero(differs.reshape(len(differs), -1).any(axis=1)) if len(differs) else ([],)
    return [f"{column} of episode {rows[0]} and {len(rows) - 1} others"] if len(rows) else []
