"""The episode buffer: windows that never cross the end of an episode, drawn from a ring.

`make_episode_buffer` binds sizes to pure functions, as its siblings do. Its state is a trajectory buffer's
with an index of episodes beside it, so it is flushed to a vault as any other.

Letters: `B` streams (`add_batch_size`), `C` slots a stream (`max_length_time_axis`), `T` steps, `N` batch,
`W` window in steps.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Generic

import jax
import jax.numpy as jnp
from jax import Array

from . import episode_draw, episode_index, episode_roles, ring
from .episode_coming import Coming, Short
from .episode_plan import MAX_SLOTS, Plan, Weights, parse
from .episode_sample import EpisodeBufferSample, EpisodeBufferState, windows_at
from .layout import AS_STORED
from .records import record
from .trajectory_buffer import Experience, TrajectoryBuffer, TrajectoryBufferState, ring_of

__all__ = [
    "EpisodeBuffer",
    "EpisodeBufferSample",
    "EpisodeBufferState",
    "add",
    "can_sample",
    "index",
    "init",
    "make_episode_buffer",
    "sample",
]


@record
class EpisodeBuffer(
    TrajectoryBuffer[Experience, EpisodeBufferState[Any], EpisodeBufferSample[Any]], Generic[Experience]
):
    """The functions of an episode buffer, its sizes bound: pure, and fit for jit, vmap, scan and pmap.

    Attributes:
      init: one timestep -> an empty state.
      add: (state, batch) -> the state with the batch added. Donate the state, and it is in place.
      sample: (state, rng_key) -> a sample.
      can_sample: state -> whether there is a window to be drawn, bool `[]`.
      index: state of any uniform buffer -> a state of this one, with the same steps.
    """

    index: Callable[..., EpisodeBufferState[Any]]


def make_episode_buffer(
    add_batch_size: int,
    sample_batch_size: int,
    sample_sequence_length: int,
    max_length_time_axis: int,
    min_length_time_axis: int | None = None,
    period: int = 1,
    short: Short = "drop",
    weights: Weights = "windows",
    roles: Mapping[str, str | None] | None = None,
) -> EpisodeBuffer[Any]:
    """Makes a buffer that samples windows of consecutive steps of one episode.

    A window begins at step 0, `period`, 2 `period` … of its episode. It can be drawn as soon as its steps
    have come, also while its episode goes on, until its first step is overwritten.

    Args:
      add_batch_size: `B`, streams that advance together.
      sample_batch_size: `N`, windows in a sample.
      sample_sequence_length: `W`, in steps.
      max_length_time_axis: `C`, capacity in steps a stream.
      min_length_time_axis: steps that a stream must hold before `can_sample` is true; None for 1.
      period: between starts of windows, in steps.
      short: what becomes of a window that is cut short by the end of its episode. `"drop"`: it is none.
        `"pad"`, `"pad_left"`: it is filled up with zeros, after or before its steps. `"shift"`: it begins
        earlier, so that it is full and ends with its episode; an episode shorter than `W` gives one
        window, padded at its end.
      weights: `"windows"`: every window is equally likely. `"episodes"`: every episode that has a window
        is, and then every window of it.
      roles: leaves by role, where they have other names than the usual: `terminated`, `truncated`, `done`,
        `discount`, `is_first`, `is_last`, `reward`.

    Returns:
      The buffer.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is not positive, sizes contradict each other, or a choice is not known.

    Example:
      >>> buffer = make_episode_buffer(1, 2, 3, max_length_time_axis=8, short="pad")
      >>> state = buffer.init({"reward": 0.0, "done": False})
      >>> done = jnp.array([[False, True]])
      >>> state = buffer.add(state, {"reward": jnp.ones((1, 2)), "done": done})
      >>> sample = buffer.sample(state, jax.random.key(1))
      >>> sample.experience["reward"], sample.mask
      (Array([[1., 1., 0.],
             [1., 0., 0.]], dtype=float32), Array([[ True,  True, False],
             [ True, False, False]], dtype=bool))
    """
    plan = parse(
        add_batch_size,
        sample_batch_size,
        sample_sequence_length,
        max_length_time_axis,
        min_length_time_axis,
        period,
        short,
        weights,
        roles,
    )
    return EpisodeBuffer(
        init=functools.partial(
            init, add_batch_size=add_batch_size, max_length_time_axis=max_length_time_axis, plan=plan
        ),
        add=functools.partial(add, plan=plan),
        sample=functools.partial(sample, plan=plan),
        can_sample=functools.partial(can_sample, plan=plan),
        index=functools.partial(index, plan=plan),
    )


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
      ValueError: if no leaf says where episodes end.
    """
    episode_roles.find(experience, dict(plan.roles))
    empty = ring.init(experience, add_batch_size, max_length_time_axis)
    return EpisodeBufferState(
        experience=empty.steps,
        current_index=empty.cursor,
        is_full=empty.full,
        laps=empty.laps,
        index=episode_index.init(add_batch_size, max_length_time_axis, grouped=plan.grouped),
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
    last, first = episode_roles.ends(batch, episode_roles.find(batch, dict(plan.roles)))
    longer = ring.append(ring_of(state), batch)
    return dataclasses.replace(
        state,
        experience=longer.steps,
        current_index=longer.cursor,
        is_full=longer.full,
        laps=longer.laps,
        index=episode_index.extend(state.index, Coming(state.current_index, last, first), plan.rule),
    )


def sample(
    state: EpisodeBufferState[Experience], rng_key: Array, plan: Plan
) -> EpisodeBufferSample[Experience]:
    """Samples windows, with replacement; always as many as the plan says.

    Args:
      state: the state; where it holds no window (`can_sample`), the sample means nothing.
      rng_key: a PRNG key, consumed.
      plan: of the buffer.
    """
    draw = episode_draw.episodes if plan.grouped else episode_draw.windows
    streams, slots = draw(state.index, rng_key, plan.batch_size)
    return windows_at(state, streams, slots, plan.rule)


def can_sample(state: EpisodeBufferState[Any], plan: Plan) -> Array:
    """Tells whether there is a window to be drawn, bool `[]`; elementwise on replicated states.

    Args:
      state: the state.
      plan: of the buffer.
    """
    enough = state.is_full | (state.current_index >= plan.minimum)
    return enough & (state.index.windows.ends[..., 1].sum(axis=-1) > 0)


def index(
    state: TrajectoryBufferState[Experience], plan: Plan, starts: Array | None = None
) -> EpisodeBufferState[Experience]:
    """Makes a state of another's steps: of one loaded from a vault, or built by hand.

    Args:
      state: the state of any uniform buffer, with JAX or NumPy leaves, of any size.
      plan: of the buffer.
      starts: bool `[B, C]`, by slot, steps that begin an episode though no leaf says so; None for none.

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
    last, first = episode_roles.ends(held.steps, episode_roles.find(held.steps, dict(plan.roles)))
    if starts is not None:
        first = jnp.asarray(starts) if first is None else first | jnp.asarray(starts)
    oldest = held.oldest
    coming = Coming(
        cursor=oldest,
        last=jnp.roll(last, -oldest, axis=1),
        first=None if first is None else jnp.roll(first, -oldest, axis=1),
        count=held.held,
    )
    empty = episode_index.init(held.streams, held.capacity, grouped=plan.grouped)
    return EpisodeBufferState(
        experience=held.steps,
        current_index=held.cursor.astype(jnp.int32) % held.capacity,
        is_full=held.full,
        laps=held.laps,
        index=episode_index.extend(empty, coming, plan.rule),
    )


def _uniform(state: Any) -> dict[str, Any]:
    return {field.name: getattr(state, field.name) for field in dataclasses.fields(TrajectoryBufferState)}
