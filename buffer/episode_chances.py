"""How likely each window, or each episode, is to be drawn, where they are not all alike: kept in a sum tree.

Letters: `B` streams, `C` capacity in steps, `T` steps, `N` batch.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from . import episode_draw, sum_tree
from .episode_index import Change, EpisodeIndex
from .episode_plan import Episodes, Plan
from .sum_tree import SumTree


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Chances:
    """How likely windows or episodes are to be drawn.

    Attributes:
      tree: of `B C` leaves, `C` a stream. For windows, a leaf a slot, at which a window starts. For
        episodes, the leaf of a slot of `groups`, modulo `C`: at most `C` in a row are in use.
      returns: float32 `[B, C + 1]`, by episode number, the sum of its rewards; None where not needed.
    """

    tree: SumTree
    returns: Array | None = None


def init(streams: int, capacity: int, plan: Plan, *, rewarded: bool) -> Chances | None:
    """Makes the chances of an empty ring; None where a plan needs none.

    Args:
      streams: `B`.
      capacity: `C`, in steps.
      plan: of the buffer.
      rewarded: whether a leaf of a step is its reward.

    Raises:
      ValueError: if returns are needed, and no leaf is a reward.
    """
    if plan.weights == "return" and not rewarded:
        raise ValueError(
            "`roles` must say which leaf is the reward, for `weights='return'`: none is named reward or "
            "rewards. Give it, for example `roles={'reward': 'my_leaf'}`."
        )
    if not plan.treed:
        return None
    kept = rewarded and plan.weigh is not None
    returns = jnp.zeros((streams, capacity + 1), jnp.float32) if kept else None
    return Chances(sum_tree.init(streams * capacity), returns)


def update(
    chances: Chances | None, index: EpisodeIndex, change: Change, rewards: Array | None, plan: Plan
) -> Chances | None:
    """Returns the chances after steps were added.

    Args:
      chances: as they were before.
      index: as it is now.
      change: what the steps changed.
      rewards: float32 `[B, T]`, of the steps; None where there are none.
      plan: of the buffer.
    """
    if chances is None:
        return None
    if plan.weigh is None:
        greatest = chances.tree.max_recorded_priority
        return Chances(_set(chances.tree, change.lost, change.came, jnp.full(change.came.shape, greatest)))
    returns = chances.returns
    if returns is not None and rewards is not None:
        rows = jnp.arange(rewards.shape[0], dtype=jnp.int32)[:, None]
        outside = index.capacity + 1 + jnp.arange(rewards.shape[1], dtype=jnp.int32)[None]
        fresh = jnp.where(change.begins, change.numbers, outside)
        returns = returns.at[rows, fresh].set(0.0, mode="drop", unique_indices=True)
        returns = returns.at[rows, change.numbers].add(rewards)
    weights = plan.weigh(_episodes(index, returns, change.episodes)).astype(jnp.float32)
    return Chances(_set(chances.tree, change.closed, change.met, jnp.maximum(weights, 0.0)), returns)


def draw(chances: Chances, index: EpisodeIndex, key: Array, plan: Plan) -> tuple[Array, Array]:
    """Draws windows by their chances, or episodes by theirs and a window of each.

    Args:
      chances: the chances; where all are 0, the draws mean nothing.
      index: the index.
      key: a PRNG key, consumed.
      plan: of the buffer.

    Returns:
      `streams` and `slots`, int32 `[N]`: where each window's first step lies.
    """
    if plan.weigh is None:
        leaves = sum_tree.sample(chances.tree, key, plan.batch_size)
        return leaves // index.capacity, leaves % index.capacity
    assert index.groups is not None
    key_leaf, key_window = jax.random.split(key)
    leaves = sum_tree.sample(chances.tree, key_leaf, plan.batch_size)
    streams = leaves // index.capacity
    places = (leaves - index.groups.heads[streams]) % index.capacity
    bits = jax.random.bits(key_window, (2, plan.batch_size), jnp.uint32)
    return episode_draw.within(index, bits, streams, places)


def _set(tree: SumTree, gone: Array, set_: Array, values: Array) -> SumTree:
    """Sets leaves, given by stream and slot, -1 for none, after taking those that are gone to 0."""
    streams, capacity = gone.shape[0], tree.capacity // gone.shape[0]
    slots = jnp.concatenate([gone, set_], axis=1)
    base = capacity * jnp.arange(streams, dtype=jnp.int32)[:, None]
    leaves = jnp.where(slots < 0, -1, base + slots % capacity)
    values = jnp.concatenate([jnp.zeros(gone.shape, jnp.float32), values], axis=1)
    # Of two values for one leaf the last wins: what is gone comes first.
    return sum_tree.set_many(tree, leaves.ravel(), values.ravel())


def _episodes(index: EpisodeIndex, returns: Array | None, numbers: Array) -> Episodes:
    """What is known of episodes, by number."""
    rows = jnp.arange(numbers.shape[0], dtype=jnp.int32)[:, None]
    known = jnp.maximum(numbers, 0)
    following = jnp.where(known == index.capacity, 0, known + 1)
    newest = known == index.now[:, 1:2]
    end = jnp.where(newest, index.now[:, :1], index.begins[rows, following])
    return Episodes(
        lengths=end - index.begins[rows, known],
        returns=None if returns is None else returns[rows, known],
        ended=~newest | (index.now[:, 2:3] == 0),
    )
