"""What an episode buffer holds: a trajectory buffer's state, and an index of its episodes beside it.

Letters: `B` streams, `C` slots a stream, `T` steps, `N` batch.
"""

import dataclasses
from typing import Any, Generic

import jax
import jax.numpy as jnp
from jax import Array

from . import episode_chances, episode_index, episode_roles, ring, sum_tree
from .episode_chances import Chances
from .episode_coming import Coming
from .episode_index import EpisodeIndex
from .episode_plan import MAX_SLOTS, Plan
from .layout import AS_STORED
from .records import record
from .trajectory_buffer import Experience, TrajectoryBufferState, ring_of


@record
class EpisodeBufferState(TrajectoryBufferState[Experience], Generic[Experience]):
    """What an episode buffer holds.

    Attributes:
      experience: leaves `[B, C, ...]`.
      current_index: int32 `[]`, the slot that the next step goes to.
      is_full: bool `[]`, whether every slot has been written.
      laps: int32 `[]`, how often `current_index` came round to 0; None in states built without it.
      index: where the episodes lie, and which windows can be drawn.
      chances: how likely each is to be drawn; None where windows, or episodes, are all alike.
    """

    index: EpisodeIndex
    chances: Chances | None = None


def init(
    experience: Experience, add_batch_size: int, max_length_time_axis: int, plan: Plan
) -> EpisodeBufferState[Experience]:
    """Makes an empty state.

    Args:
      experience: one timestep; only its structure, shapes and dtypes are used.
      add_batch_size: `B`.
      max_length_time_axis: `C`.
      plan: of the buffer.

    Raises:
      ValueError: if no leaf says where episodes end, or none is the reward where returns are weights.
    """
    found = episode_roles.find(experience, dict(plan.roles))
    empty = ring.init(experience, add_batch_size, max_length_time_axis)
    return EpisodeBufferState(
        experience=empty.steps,
        current_index=empty.cursor,
        is_full=empty.full,
        laps=empty.laps,
        index=episode_index.init(add_batch_size, max_length_time_axis, grouped=plan.grouped),
        chances=episode_chances.init(add_batch_size, max_length_time_axis, plan, rewarded="reward" in found),
    )


def add(state: EpisodeBufferState[Experience], batch: Any, plan: Plan) -> EpisodeBufferState[Experience]:
    """Returns the state with the batch added after the newest steps; the oldest make room.

    Args:
      state: the state. Donate it, and the write is in place.
      batch: leaves `[B, T, ...]`, any `T <= C`.
      plan: of the buffer.

    Raises:
      BatchMismatchError: if `T > C`, or structure, dtypes or shapes differ from the state's.
    """
    batch = AS_STORED.steps(batch, state.experience)
    if not jax.tree.leaves(batch)[0].shape[1]:
        return state
    found = episode_roles.find(batch, dict(plan.roles))
    longer = ring.append(ring_of(state), batch)
    coming = Coming(state.current_index, *episode_roles.ends(batch, found))
    index, change = episode_index.extend(state.index, coming, plan.rule)
    rewards = episode_roles.rewards(batch, found)
    return dataclasses.replace(
        state,
        experience=longer.steps,
        current_index=longer.cursor,
        is_full=longer.full,
        laps=longer.laps,
        index=index,
        chances=episode_chances.update(state.chances, index, change, rewards, plan),
    )


def can_sample(state: EpisodeBufferState[Any], plan: Plan) -> Array:
    """Tells whether there is a window to be drawn, bool `[]`; elementwise on replicated states.

    Args:
      state: the state.
      plan: of the buffer.
    """
    enough = state.is_full | (state.current_index >= plan.minimum)
    if state.chances is not None:
        return enough & (sum_tree.total(state.chances.tree) > 0)
    return enough & (state.index.windows.ends[..., 1].sum(axis=-1) > 0)


def index(
    state: TrajectoryBufferState[Experience],
    plan: Plan,
    starts: Array | None = None,
    ends: Array | None = None,
) -> EpisodeBufferState[Experience]:
    """Makes a state of another's steps: of one loaded from a vault, or built by hand.

    Args:
      state: the state of any uniform buffer, with JAX or NumPy leaves, of any size.
      plan: of the buffer.
      starts: bool `[B, C]`, by slot, steps that begin an episode though no leaf says so; None for none.
      ends: bool `[B, C]`, by slot, the last steps of episodes. Where it is given, episodes are what it and
        `starts` say, and what leaves say counts for nothing; None: leaves say where they end.

    Raises:
      TypeError: if it is no buffer's state.
      ValueError: if no leaf says where episodes end, or the state is too large.
    """
    if not isinstance(state, TrajectoryBufferState):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            "`state` must be a buffer's state, with experience, current_index and is_full: got "
            f"{type(state).__name__}. Make one with `TrajectoryBufferState(...)`."
        )
    held = ring_of(jax.tree.map(jnp.asarray, TrajectoryBufferState(**_uniform(state))))
    if held.streams * held.capacity > MAX_SLOTS:
        raise ValueError(
            f"`state` must hold at most {MAX_SLOTS} steps over all streams: got {held.streams} times "
            f"{held.capacity}. Hold fewer steps, or shard the streams over devices."
        )
    found = episode_roles.find(held.steps, dict(plan.roles))
    last, first = episode_roles.ends(held.steps, found)
    if ends is not None:
        last, first = jnp.asarray(ends), None
    if starts is not None:
        first = jnp.asarray(starts) if first is None else first | jnp.asarray(starts)

    def from_oldest(rows: Array | None) -> Array | None:
        return None if rows is None else jnp.roll(rows, -held.oldest, axis=1)

    coming = Coming(
        cursor=held.oldest,
        last=jnp.roll(last, -held.oldest, axis=1),
        first=from_oldest(first),
        count=held.held,
    )
    blank = episode_index.init(held.streams, held.capacity, grouped=plan.grouped)
    full, change = episode_index.extend(blank, coming, plan.rule)
    rewards = from_oldest(episode_roles.rewards(held.steps, found))
    chances = episode_chances.init(held.streams, held.capacity, plan, rewarded=rewards is not None)
    return EpisodeBufferState(
        experience=held.steps,
        current_index=held.cursor.astype(jnp.int32) % held.capacity,
        is_full=held.full,
        laps=held.laps,
        index=full,
        chances=episode_chances.update(chances, full, change, rewards, plan),
    )


def set_priorities(
    state: EpisodeBufferState[Experience], indices: Any, priorities: Any, plan: Plan
) -> EpisodeBufferState[Experience]:
    """Returns the state with other priorities for some windows; where one comes twice, the last wins.

    A window that has been overwritten since it was drawn is passed over, unless another starts at its slot.

    Args:
      state: the state. Donate it, and the write is in place.
      indices: int32 `[N]`, of a sample.
      priorities: real `[N]`, at least 0; they are raised to the exponent. A window of priority 0 is not
        drawn again, and cannot be given another.
      plan: of the buffer.

    Raises:
      ValueError: if windows are not drawn by priorities.
    """
    if state.chances is None or plan.weights != "priorities":
        raise ValueError(
            "`weights` must be 'priorities' for windows to have priorities: the buffer was made with "
            f"{plan.weights!r}. Make it with `weights='priorities'`."
        )
    tree = state.chances.tree
    indices = jnp.asarray(indices)
    alive = sum_tree.get(tree, indices) > 0
    values = jnp.asarray(priorities).astype(jnp.float32)
    values = jnp.where(values == 0, 0.0, values**plan.exponent)
    tree = sum_tree.set_many(tree, jnp.where(alive, indices, -1), values)
    return dataclasses.replace(state, chances=dataclasses.replace(state.chances, tree=tree))


def _uniform(state: Any) -> dict[str, Any]:
    return {field.name: getattr(state, field.name) for field in dataclasses.fields(TrajectoryBufferState)}
