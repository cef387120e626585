"""The sizes that the `make_*` functions are given: checked, warned about, resolved.

The warnings begin with Flashbax's words, since the warning filters of its users match on them.
"""

import operator
import warnings
from typing import Any

MAX_CAPACITY = 2**31 - 1  # slots are numbered in int32


def positive(**sizes: Any) -> None:
    """Checks that every size is an integer of at least 1.

    Args:
      **sizes: the sizes by the names of their arguments.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is below 1.

    Example:
      >>> positive(period=0)
      Traceback (most recent call last):
      ValueError: `period` must be at least 1: got 0. Give a positive integer.
    """
    for name, size in sizes.items():
        try:
            value = operator.index(size)
        except TypeError:
            raise TypeError(f"`{name}` must be an integer: got {size!r}. Convert it with `int`.") from None
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1: got {value}. Give a positive integer.")


def validate_size(max_length_time_axis: int | None, max_size: int | None, add_batch_size: int) -> int:
    """Resolves the two ways to give a capacity.

    Args:
      max_length_time_axis: capacity in steps a stream, or None.
      max_size: capacity in steps over all streams, or None.
      add_batch_size: streams.

    Returns:
      The capacity in steps a stream.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if both or neither are given, or a stream could hold no step or too many.

    Example:
      >>> validate_size(max_length_time_axis=100, max_size=None, add_batch_size=4)
      100
    """
    positive(add_batch_size=add_batch_size)
    if (max_size is None) == (max_length_time_axis is None):
        came = "neither" if max_size is None else f"{max_size} and {max_length_time_axis}"
        raise ValueError(
            "Give exactly one of `max_size` (steps over all streams) and `max_length_time_axis` "
            f"(steps a stream): got {came}."
        )
    capacity = max_length_time_axis
    if max_size is not None:
        positive(max_size=max_size)
        capacity = max_size // add_batch_size
        warnings.warn(
            f"Setting max_size dynamically sets the `max_length_time_axis` to be {capacity}, which "
            f"is `max_size` {max_size} // `add_batch_size` {add_batch_size}: the buffer holds "
            f"{capacity * add_batch_size} steps.",
            stacklevel=4,
        )
    positive(max_length_time_axis=capacity)
    assert capacity is not None
    if capacity > MAX_CAPACITY:
        raise ValueError(
            f"`max_length_time_axis` must be at most {MAX_CAPACITY}: got {capacity}. "
            "Spread the steps over more streams."
        )
    return capacity


def validate_trajectory_buffer_args(
    max_length_time_axis: int | None,
    min_length_time_axis: int,
    add_batch_size: int,
    sample_sequence_length: int,
    period: int,
    max_size: int | None,
) -> tuple[int, int]:
    """Checks the sizes of a trajectory buffer against each other.

    Args:
      max_length_time_axis: capacity in steps a stream, or None.
      min_length_time_axis: steps a stream must hold before it is sampled.
      add_batch_size: streams.
      sample_sequence_length: of a window, in steps.
      period: between admissible starts, in steps.
      max_size: capacity in steps over all streams, or None.

    Returns:
      The capacity in steps a stream, and the steps it must hold before it is sampled.

    Raises:
      TypeError: if a size is not an integer.
      ValueError: if a size is below 1, or a window or the minimum exceeds the capacity.

    Example:
      >>> validate_trajectory_buffer_args(100, 10, 4, 8, 1, None)
      (100, 10)
    """
    capacity = validate_size(max_length_time_axis, max_size, add_batch_size)
    positive(sample_sequence_length=sample_sequence_length, period=period)
    minimum = min_length_time_axis
    if sample_sequence_length > minimum:
        warnings.warn(
            "`sample_sequence_length` greater than `min_length_time_axis`, therefore overriding "
            f"`min_length_time_axis` {minimum} by {sample_sequence_length}: a window needs as many "
            "steps.",
            stacklevel=3,
        )
        minimum = sample_sequence_length
    if period > sample_sequence_length:
        warnings.warn(
            "Setting period greater than sample_sequence_length will result in no overlap between"
            f"trajectories; {period - sample_sequence_length} steps between neighbours are never "
            "sampled. `sample_sequence_length` as the period samples every step once.",
            stacklevel=3,
        )
    for name, size in (
        ("sample_sequence_length", sample_sequence_length),
        ("min_length_time_axis", minimum),
    ):
        if size > capacity:
            raise ValueError(
                f"`{name}` must be at most the capacity of a stream: got {size} for "
                f"`max_length_time_axis` {capacity}. Make the buffer longer."
            )
    return capacity, minimum
