"""What episodes weigh, and draws of episodes by it, as the episode buffer's sum tree makes them in memory.

The tree is that of `buffer/sum_tree.py`, of float32 sums over eight, 64, 512 … neighbours, and is gone down
in the same way, so that a draw from disk is the draw from memory. Its leaves are the episodes that have a
window: in memory, whatever the capacity, the leaves behind those have no mass, and change no sum.

Letters: `E` episodes, `G` episodes that have a window, `N` batch.
"""

import functools
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from . import draws
from .dtypes import NpArray
from .selected import Selected
from .windows import WindowIndex

Named = Literal["windows", "episodes", "length", "return"]

_FAN_OUT = 8
_LEAST, _MOST = 2.0**-96, 2.0**96  # as in buffer/sum_tree.py: below it counts as 0, above as this
_SPENT = 2.0**-12  # of the mass, as there: in a smaller node half of the 24 bits of a draw are spent
_ROWS = 1 << 20  # rewards that are looked at a time


@dataclass(frozen=True)
class MassTree:
    """Weights of `G` episodes, and the sums over their neighbours.

    Attributes:
      levels: float32 `[., 8]`, the children of each node, from the root's down to the weights.

    Example:
      >>> tree = MassTree.of(np.array([1.0, 0.0, 3.0]))
      >>> tree.mass, tree.draw(draws.key(0), 4)
      (np.float32(4.0), array([0, 2, 2, 2]))
    """

    levels: tuple[NpArray, ...]

    @classmethod
    def of(cls, weights: NpArray) -> "MassTree":
        """Makes the tree of weights `[G]`; what is negative or not a number counts as 0."""
        with np.errstate(over="ignore"):
            values = weights.astype(np.float32)
        values = np.where(values >= _LEAST, np.minimum(values, np.float32(_MOST)), np.float32(0))
        levels = [_rows(values)]
        while len(levels[0]) > 1:
            levels.insert(0, _rows(_sums(levels[0])))
        return cls(tuple(levels))

    @property
    def mass(self) -> Any:
        """The sum of all weights, float32."""
        return _sums(self.levels[0])[0]

    def draw(self, key: draws.Key, count: int) -> NpArray:
        """Draws episodes by their weights, one from each of `N` strata; int64 `[N]`, ascending."""
        within, again = draws.uniform(key, (2, count))
        mass, below = self.mass, self.mass * np.float32(_SPENT)
        rest = (np.arange(count, dtype=np.float32) + within) * (mass / np.float32(count))
        node = np.zeros(count, np.int64)
        for level in self.levels:
            children = level[node]
            child, inside, rest = _choose(children.T, rest)
            enters = (inside < below) & (_sums(children) >= below)
            node, rest = _FAN_OUT * node + child, np.where(enters, again * inside, rest)
        return node


@dataclass(frozen=True)
class Episodes:
    """What a function that weighs episodes is given, as by the episode buffer: JAX arrays `[E]`.

    Attributes:
      selected: the episodes.
    """

    selected: Selected

    @functools.cached_property
    def lengths(self) -> Any:
        """Int32, in steps."""
        return _to_jax(self.selected.where["length"].astype(np.int32))

    @functools.cached_property
    def returns(self) -> Any:
        """Float32, the sums of their rewards; None where no leaf is a reward."""
        return None if self.selected.schema.roles.reward is None else _to_jax(returns(self.selected))

    @functools.cached_property
    def ended(self) -> Any:
        """Bool, True: these are the episodes that ended."""
        return _to_jax(np.ones(len(self.selected.chosen), np.bool_))


def weighed(weights: Any, selected: Selected, index: WindowIndex) -> MassTree | None:
    """Gives the tree that episodes are drawn from, or None where they, or windows, are all alike.

    Args:
      weights: a name, numbers `[E]`, or a function of `Episodes`.
      selected: the episodes.
      index: of their windows.

    Raises:
      ValueError: if weights are not one an episode, or negative, or all 0; or there is no reward to go by.
    """
    if isinstance(weights, str):
        if weights not in get_args(Named):
            raise ValueError(
                f"`weights` must be [E] numbers, a function, or one of {get_args(Named)}: got {weights!r}."
            )
        if weights in ("windows", "episodes"):
            return None
        values = index.lengths if weights == "length" else returns(selected)
    elif callable(weights):
        values = np.asarray(weights(Episodes(selected)), np.float32)
        _check_shape(values, index)
    else:
        values = np.asarray(weights, np.float64)
        _check_shape(values, index)
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(
                f"`weights` must be finite and at least 0: the least is {values.min()}, the greatest "
                f"{values.max()}."
            )
    tree = MassTree.of(values[index.groups])
    if not tree.mass > 0:
        raise ValueError("`weights` must be above 0 for an episode that has a window: all are 0.")
    return tree


def returns(selected: Selected) -> NpArray:
    """Sums each episode's rewards, float32 `[E]`, step by step and over agents, as memory does.

    It reads the rewards once, in blocks.

    Raises:
      ValueError: if no leaf is a reward.
    """
    name = selected.schema.roles.reward
    if name is None:
        raise ValueError(
            "`weights` can be 'return' only where a leaf is the reward: none has that role. Give numbers."
        )
    out, starts = np.zeros(len(selected.chosen), np.float32), selected.starts
    for low in range(0, int(starts[-1]), _ROWS):
        high = min(low + _ROWS, int(starts[-1]))
        rows = selected.read(name, low, high)[0].astype(np.float32)
        agents = np.moveaxis(rows.reshape(high - low, -1), 1, 0)
        episode = np.searchsorted(starts, np.arange(low, high), side="right") - 1
        np.add.at(out, episode, functools.reduce(np.add, agents))
    return out


def _check_shape(values: NpArray, index: WindowIndex) -> None:
    if values.shape != index.lengths.shape:
        raise ValueError(
            f"`weights` must be {len(index.lengths)} finite numbers of at least 0, one an episode: got "
            f"{list(values.shape)}."
        )


def _rows(values: NpArray) -> NpArray:
    """Pads a level with zeros to whole rows of eight."""
    return np.pad(values, (0, -len(values) % _FAN_OUT)).reshape(-1, _FAN_OUT)


def _sums(rows: NpArray) -> NpArray:
    """Adds up children `[., 8]` by neighbours, then by neighbours of those: rounded as in memory."""
    while rows.shape[-1] > 1:
        rows = rows[..., 0::2] + rows[..., 1::2]
    return rows[..., 0]


def _choose(children: NpArray, rest: NpArray) -> tuple[NpArray, NpArray, NpArray]:
    """Picks one of eight children `[8, N]`: its number, its mass, and what is left of the target.

    Where a half has no mass the other is taken, whatever the target.
    """
    pairs = children[0::2] + children[1::2]
    halves = (pairs[0::2] + pairs[1::2], pairs, children)
    number, column, mass = np.zeros(len(rest), np.int64), np.arange(len(rest)), rest
    for half in halves:
        left, right = half[2 * number, column], half[2 * number + 1, column]
        go_right = ((rest >= left) & (right > 0)) | (left <= 0)
        number = 2 * number + go_right
        mass = np.where(go_right, right, left)
        rest = np.where(go_right, rest - left, rest)
    return number, mass, rest


def _to_jax(values: NpArray) -> Any:
    import jax.numpy as jnp

    return jnp.asarray(values)
