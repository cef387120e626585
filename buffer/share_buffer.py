"""The buffer of one share: the same functions as the whole one's, with its sizes divided by the devices."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from .layout import AS_STORED
from .shares import Shares
from .trajectory_buffer import TrajectoryBuffer

Buffer = TypeVar("Buffer", bound=TrajectoryBuffer[Any, Any, Any])

_MOST = 2**31 - 1  # windows are numbered in int32


def of_one_share(buffer: Buffer, shares: Shares) -> Buffer:
    """The buffer of one device: the same functions, with sizes divided."""
    init, sample = _bound(buffer, "init"), _bound(buffer, "sample")
    layout = getattr(buffer.add, "keywords", {}).get("layout", AS_STORED)
    streams, capacity = init["add_batch_size"], init["max_length_time_axis"]
    divided = functools.partial(_divided, shares=shares)
    sizes: dict[str, Any] = {}
    if layout.merged:
        _check_batched(layout.batched, "add_batches", "`add_batches=True`")
        minimum = _bound(buffer, "can_sample")["min_length_time_axis"]
        sizes["max_length_time_axis"] = divided("max_length", capacity)
        sizes["min_length_time_axis"] = -(-minimum // shares.count)
    else:
        _check_batched(layout.batched, "add_batch_size", f"`add_batch_size={shares.count}`, say")
        sizes["add_batch_size"] = divided("add_batch_size", streams)
    if "plan" in sample:
        plan = sample["plan"]
        size = divided("sample_batch_size", plan.batch_size)
        sizes["plan"] = dataclasses.replace(plan, batch_size=size)
    else:
        sizes["batch_size"] = divided("sample_batch_size", sample["batch_size"])
    if streams * capacity // init.get("period", 1) > _MOST:
        raise ValueError(
            f"`buffer` must have at most {_MOST} windows, whose numbers are int32: got {streams} streams of "
            f"{capacity} steps. Make the streams shorter."
        )
    return buffer.replace(**{name: _resized(function, sizes) for name, function in buffer.items()})


def _resized(function: Callable[..., Any], sizes: dict[str, Any]) -> Callable[..., Any]:
    """The function with those sizes changed that are bound to it."""
    bound = getattr(function, "keywords", {})
    return functools.partial(function, **{name: size for name, size in sizes.items() if name in bound})


def _bound(buffer: Any, name: str) -> dict[str, Any]:
    """What is bound to a function of a buffer."""
    function = getattr(buffer, name, None)
    if isinstance(buffer, TrajectoryBuffer) and isinstance(function, functools.partial):
        return function.keywords
    raise TypeError(
        "`buffer` must be a trajectory, flat, item or episode buffer, as a `make_…_buffer` gave it: got "
        f"{type(buffer).__name__}. Shard it before its functions are wrapped."
    )


def _divided(name: str, size: int, shares: Shares) -> int:
    if size % shares.count:
        raise ValueError(
            f"`{name}` must be divisible by the {shares.count} devices along {shares.axes}: got {size}. "
            f"Take {max(1, size // shares.count) * shares.count}, say."
        )
    return size // shares.count


def _check_batched(batched: bool, name: str, mend: str) -> None:
    if not batched:
        raise ValueError(
            f"`{name}` must be given to the buffer, so that `add` takes a batch whose rows are laid over the "
            f"devices. Make it with {mend}."
        )
