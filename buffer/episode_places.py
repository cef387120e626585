"""Where a step stands in its episode: how many steps came before it, how many come after.

Letters: `B` streams, `C` capacity in steps, `N` batch.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from .episode_index import EpisodeIndex


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Places:
    """Steps, and what their episodes hold around them.

    Attributes:
      streams: int32 `[N]`.
      slots: int32 `[N]`.
      age: int32 `[N]`, steps of the episode before this one, whether or not they are still held.
      before: int32 `[N]`, how many of those are still held.
      after: int32 `[N]`, steps of the episode after this one, as far as it has come.
    """

    streams: Array
    slots: Array
    age: Array
    before: Array
    after: Array


def locate(index: EpisodeIndex, cursor: Array, streams: Array, slots: Array) -> Places:
    """Finds out where steps stand in their episodes.

    Args:
      index: of the ring.
      cursor: int32 `[]`, the slot that the next step goes to.
      streams: int32 `[N]`, each in `[0, B)`.
      slots: int32 `[N]`, each in `[0, C)`, of steps that are held.

    Example:
      >>> from .episode_coming import Coming, Rule
      >>> from .episode_index import extend, init
      >>> coming = Coming(jnp.asarray(0), jnp.array([[False, False, True, False]]))
      >>> index, _ = extend(init(1, 8), coming, Rule(length=2))
      >>> places = locate(index, jnp.asarray(4), jnp.array([0, 0]), jnp.array([1, 3]))
      >>> places.age.tolist(), places.after.tolist()
      ([1, 0], [1, 0])
    """
    capacity = index.capacity
    ago = jnp.where(slots < cursor, cursor - slots, cursor - slots + capacity)  # in [1, C]
    now = index.now.at[streams].get(mode="promise_in_bounds")
    time, newest = now[:, 0] - ago, now[:, 1]
    number = index.episode.at[streams, slots].get(mode="promise_in_bounds")
    following = jnp.where(number == capacity, 0, number + 1)
    begin = index.begins.at[streams, number].get(mode="promise_in_bounds")
    end = index.begins.at[streams, following].get(mode="promise_in_bounds")
    age = time - begin
    return Places(
        streams=streams,
        slots=slots,
        age=age,
        before=jnp.minimum(age, jnp.minimum(now[:, 0] - begin, capacity) - ago),
        after=jnp.where(number == newest, ago, end - time) - 1,
    )
