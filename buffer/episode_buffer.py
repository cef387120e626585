"""The episode buffer: windows that never cross the end of an episode, drawn from a ring.

`make_episode_buffer` binds sizes to pure functions, as its siblings do. Its state is a trajectory buffer's
with an index of episodes beside it, so it is flushed to a vault as any other.

Letters: `B` streams (`add_batch_size`), `C` slots a stream (`max_length_time_axis`), `T` steps, `N` batch,
`W` window in steps.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Generic

from .episode_coming import Short
from .episode_plan import Episodes, Weights, parse
from .episode_sample import (
    EpisodeBufferSample,
    PrioritisedEpisodeBufferSample,
    sample,
    sample_epoch,
    sample_prioritised,
)
from .episode_state import EpisodeBufferState, add, can_sample, index, init, set_priorities
from .records import record
from .trajectory_buffer import Experience, TrajectoryBuffer

__all__ = [
    "EpisodeBuffer",
    "EpisodeBufferSample",
    "EpisodeBufferState",
    "Episodes",
    "PrioritisedEpisodeBufferSample",
    "add",
    "can_sample",
    "index",
    "init",
    "make_episode_buffer",
    "sample",
    "sample_epoch",
    "set_priorities",
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
      sample_epoch: (state, rng_key, step) -> a sample without replacement: batch `step` of an endless row
        of epochs.
      set_priorities: (state, indices, priorities) -> the state with these priorities, where they are what
        windows are drawn by.
    """

    index: Callable[..., EpisodeBufferState[Any]]
    sample_epoch: Callable[..., EpisodeBufferSample[Any]]
    set_priorities: Callable[..., EpisodeBufferState[Any]]


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
    priority_exponent: float = 0.6,
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
      weights: what is how likely to be drawn. `"windows"`: every window alike. `"episodes"`: every episode
        that has a window alike, and then every window of it. `"length"`, `"return"`: an episode by what it
        has of that so far, not below 0, and then every window of it. A function: an episode by what it
        gives for `Episodes(lengths, returns, ended)`, elementwise; it is asked whenever steps of the
        episode are added. `"priorities"`: a window by its priority (`set_priorities`), at first the
        greatest that was ever set.
      roles: leaves by role, where they have other names than the usual: `terminated`, `truncated`, `done`,
        `discount`, `is_first`, `is_last`, `reward`.
      priority_exponent: what priorities are raised to.

    Returns:
      The buffer.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is not positive, sizes contradict each other, or a choice is not known.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> buffer = make_episode_buffer(1, 2, 3, max_length_time_axis=8, short="pad")
      >>> state = buffer.init({"reward": 0.0, "done": False})
      >>> done = jnp.array([[False, True]])
      >>> state = jax.jit(buffer.add)(state, {"reward": jnp.ones((1, 2)), "done": done})
      >>> sample = jax.jit(buffer.sample)(state, jax.random.key(1))
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
        priority_exponent,
    )
    by_priority = weights == "priorities"
    return EpisodeBuffer(
        init=functools.partial(
            init, add_batch_size=add_batch_size, max_length_time_axis=max_length_time_axis, plan=plan
        ),
        add=functools.partial(add, plan=plan),
        sample=functools.partial(sample_prioritised if by_priority else sample, plan=plan),
        can_sample=functools.partial(can_sample, plan=plan),
        index=functools.partial(index, plan=plan),
        sample_epoch=functools.partial(sample_epoch, plan=plan),
        set_priorities=functools.partial(set_priorities, plan=plan),
    )
