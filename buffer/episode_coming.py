"""What steps on their way into a ring are: of which episode each is, and which windows they complete.

Letters: `B` streams, `C` capacity in steps, `T` steps, `K` windows, `W` window in steps.
"""

from dataclasses import dataclass, replace
from typing import Literal

import jax.numpy as jnp
from jax import Array

from .running import running

Short = Literal["drop", "pad", "pad_left", "shift"]


@dataclass(frozen=True)
class Rule:
    """Which windows an episode has.

    Windows begin at the steps 0, `period`, 2 `period` … of an episode, and whatever the ring has
    overwritten, these do not move.

    Attributes:
      length: `W`, in steps.
      period: between starts, in steps.
      short: what becomes of a window that the episode's end cuts short: none is made of it (drop), it is
        padded (pad, pad_left), or it moves back to end with the episode (shift).
    """

    length: int
    period: int = 1
    short: Short = "drop"


@dataclass(frozen=True)
class Coming:
    """Steps on their way into the ring.

    Attributes:
      cursor: int32 `[]`, the slot that the first of them goes to.
      last: bool `[B, T]`, whether a step is the last of its episode.
      first: bool `[B, T]`, whether it is said to be the first of its episode; None where nothing says so.
      count: int32 `[]`, how many of the `T` steps there are; None for all.
    """

    cursor: Array
    last: Array
    first: Array | None = None
    count: Array | None = None


@dataclass(frozen=True)
class Steps:
    """What is known of steps on their way, bool or int32 `[B, T]`.

    Attributes:
      begins: whether an episode begins.
      episode: the episode's number.
      age: how many steps of the episode came before this one.
      before: the age of the step before, -1 if that ended its episode.
    """

    begins: Array
    episode: Array
    age: Array
    before: Array


@dataclass(frozen=True)
class Windows:
    """Windows that may join the queue, `[B, K]`, in the order of their starts.

    Attributes:
      chosen: bool, whether there is such a window.
      start: int32, its first step, counted from the first of the coming steps.
      episode: int32, the number of its episode.
    """

    chosen: Array
    start: Array
    episode: Array


def read(coming: Coming, number: Array, age: Array, capacity: int) -> Steps:
    """Numbers the episodes of the steps, and counts how old the steps are.

    Args:
      coming: the steps.
      number: int32 `[B]`, of the newest episode so far.
      age: int32 `[B]`, how many steps it has, 0 if it has ended.
      capacity: `C`; numbers are counted modulo `C + 1`.

    Example:
      >>> last = jnp.array([[False, True, False]])
      >>> zero = jnp.zeros(1, jnp.int32)
      >>> read(Coming(jnp.asarray(0), last), number=zero, age=zero, capacity=8).episode
      Array([[1, 1, 2]], dtype=int32)
    """
    number, age = number[:, None], age[:, None]
    ended = jnp.concatenate([age == 0, coming.last[:, :-1]], axis=1)
    begins = ended if coming.first is None else ended | coming.first
    i = jnp.broadcast_to(jnp.arange(begins.shape[1], dtype=jnp.int32)[None], begins.shape)
    count, begun = running(begins)
    ages = jnp.where(begun >= 0, i - begun, age + i)
    before = jnp.where(ended, -1, jnp.concatenate([age - 1, ages[:, :-1]], axis=1))
    return Steps(begins, wrap(number + count, capacity + 1), ages, before)


def completed(steps: Steps, coming: Coming, rule: Rule, capacity: int) -> Windows:
    """Finds the windows that come to be with the steps.

    Args:
      steps: what `read` made of them.
      coming: the steps.
      rule: which windows there are.
      capacity: `C`.

    Example:
      >>> coming, zero = Coming(jnp.asarray(0), jnp.zeros((1, 3), bool)), jnp.zeros(1, jnp.int32)
      >>> windows = completed(read(coming, zero, zero, capacity=8), coming, Rule(length=2), capacity=8)
      >>> windows.chosen.tolist(), windows.start.tolist()
      ([[False, True, True]], [[-1, 0, 1]])
    """
    i = jnp.broadcast_to(jnp.arange(steps.age.shape[1], dtype=jnp.int32)[None], steps.age.shape)
    reach = rule.length - 1

    def due(age: Array) -> Array:
        """Whether the step of this age completes a window that is not cut short."""
        past = age if rule.short in {"pad", "pad_left"} else age - reach
        return (past >= 0) & (past % rule.period == 0 if rule.period > 1 else True)

    if rule.short in {"pad", "pad_left"}:
        found = Windows(due(steps.age), i, steps.episode)
    elif rule.short == "drop":
        found = Windows(due(steps.age), i - reach, steps.episode)
    else:
        start = i - jnp.minimum(steps.age, reach)
        found = Windows(due(steps.age) | coming.last, start, steps.episode)
        if coming.first is not None:
            # The step that begins an episode tells that the one before ended, unless that said so itself.
            cut = steps.begins & (steps.before >= 0) & ~due(steps.before)
            number = jnp.where(steps.episode == 0, capacity, steps.episode - 1)
            late = Windows(cut, i - 1 - jnp.minimum(steps.before, reach), number)
            found, i = _interleaved(late, found), jnp.repeat(i, 2, axis=1)
    chosen = found.chosen if coming.count is None else found.chosen & (i < coming.count)
    if steps.age.shape[1] + rule.length > capacity:  # these same steps may overwrite what they complete
        count = steps.age.shape[1] if coming.count is None else coming.count
        chosen = chosen & (found.start >= count - capacity)
    return replace(found, chosen=chosen)


def _interleaved(first: Windows, second: Windows) -> Windows:
    """Puts two rows of windows into one, a window of each in turn."""

    def both(a: Array, b: Array) -> Array:
        return jnp.stack([a, b], axis=2).reshape(a.shape[0], -1)

    return Windows(
        both(first.chosen, second.chosen),
        both(first.start, second.start),
        both(first.episode, second.episode),
    )


def wrap(value: Array, size: int) -> Array:
    """Brings what is off by at most one lap into `[0, size)`.

    Args:
      value: int32, in `[-size, 2 * size)`.
      size: of a lap.

    Example:
      >>> wrap(jnp.array([-1, 3, 4]), 4)
      Array([3, 3, 0], dtype=int32)
    """
    value = jnp.where(value < 0, value + size, value)
    return jnp.where(value >= size, value - size, value)
