"""What an episode buffer was made to do: its choices and sizes, checked.

Letters: `B` streams, `C` capacity in steps, `N` batch, `W` window in steps.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import jax.numpy as jnp
from jax import Array

from .arguments import positive
from .episode_coming import Rule, Short

Named = Literal["windows", "episodes", "length", "return", "priorities"]

MAX_SLOTS = 2**30  # over all streams; with more, the arithmetic on slots would leave int32


@dataclass(frozen=True)
class Episodes:
    """What is known of some episodes, for those who weigh them. All of any one shape.

    Attributes:
      lengths: int32, in steps, as far as they have come.
      returns: float32, the sums of their rewards so far; None where no leaf is a reward.
      ended: bool, whether they have ended.
    """

    lengths: Array
    returns: Array | None
    ended: Array


Weigh = Callable[[Episodes], Array]
Weights = Named | Weigh


@dataclass(frozen=True)
class Plan:
    """What an episode buffer was made to do.

    Attributes:
      rule: which windows there are.
      weights: how they are drawn.
      exponent: what priorities are raised to.
      batch_size: `N`.
      minimum: steps that a stream must hold before it is sampled.
      roles: leaves by role, as far as they were given.
    """

    rule: Rule
    weights: Weights
    exponent: float
    batch_size: int
    minimum: int
    roles: tuple[tuple[str, str | None], ...] = ()

    @property
    def grouped(self) -> bool:
        """Whether windows are drawn by episodes."""
        return self.weights not in {"windows", "priorities"}

    @property
    def treed(self) -> bool:
        """Whether windows, or episodes, have chances of their own."""
        return self.weights not in {"windows", "episodes"}

    @property
    def weigh(self) -> Weigh | None:
        """What an episode weighs; None where nothing is weighed by episodes."""
        if callable(self.weights):
            return self.weights
        return {"length": _length, "return": _return}.get(self.weights)


def parse(
    add_batch_size: int,
    sample_batch_size: int,
    sample_sequence_length: int,
    max_length_time_axis: int,
    min_length_time_axis: int | None,
    period: int,
    short: Short,
    weights: Weights,
    roles: Mapping[str, str | None] | None,
    priority_exponent: float,
) -> Plan:
    """Checks the arguments of `make_episode_buffer`.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is not positive, sizes contradict each other, or a choice is not known.

    Example:
      >>> parse(4, 32, 8, 100, None, 1, "drop", "windows", None, 0.6).rule
      Rule(length=8, period=1, short='drop')
    """
    minimum = 1 if min_length_time_axis is None else min_length_time_axis
    positive(
        add_batch_size=add_batch_size,
        sample_batch_size=sample_batch_size,
        sample_sequence_length=sample_sequence_length,
        max_length_time_axis=max_length_time_axis,
        min_length_time_axis=minimum,
        period=period,
    )
    for name, size in (("sample_sequence_length", sample_sequence_length), ("min_length_time_axis", minimum)):
        if size > max_length_time_axis:
            raise ValueError(
                f"`{name}` must be at most the capacity of a stream: got {size} for `max_length_time_axis` "
                f"{max_length_time_axis}. Make the buffer longer."
            )
    if add_batch_size * max_length_time_axis > MAX_SLOTS:
        raise ValueError(
            f"`add_batch_size` times `max_length_time_axis` must be at most {MAX_SLOTS}: got "
            f"{add_batch_size} times {max_length_time_axis}. Hold fewer steps, or shard the streams "
            "over devices."
        )
    if period > sample_sequence_length:
        warnings.warn(
            f"`period` {period} is greater than `sample_sequence_length` {sample_sequence_length}: "
            f"{period - sample_sequence_length} steps between neighbours are never sampled.",
            stacklevel=3,
        )
    if short not in get_args(Short):
        raise ValueError(f"`short` must be one of {list(get_args(Short))}: got {short!r}.")
    if not callable(weights) and weights not in get_args(Named):
        raise ValueError(f"`weights` must be a function or one of {list(get_args(Named))}: got {weights!r}.")
    if not 0 <= priority_exponent <= 1:
        raise ValueError(f"`priority_exponent` must be from 0 to 1: got {priority_exponent}.")
    return Plan(
        Rule(sample_sequence_length, period, short),
        weights,
        priority_exponent,
        sample_batch_size,
        minimum,
        tuple((roles or {}).items()),
    )


def _length(episodes: Episodes) -> Array:
    return episodes.lengths.astype(jnp.float32)


def _return(episodes: Episodes) -> Array:
    assert episodes.returns is not None
    return episodes.returns
