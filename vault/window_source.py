"""A view's windows by their numbers: what Grain's pipelines and PyTorch's loaders draw from.

Both ask an object for its length and for elements by number, several at once where it can; neither library
is needed to make one. Elements are dicts of NumPy arrays, the fields of a `WindowSample`.

Letters: `N` windows, `W` window in steps.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from .dtypes import NpArray
from .selected import Selected
from .window_reader import WindowReader
from .windows import Drawn, Short, checked

Node = TypeVar("Node")


@dataclass(frozen=True)
class WindowPlan:
    """Which windows a source has, and what of them; see `Contents.grain_source`."""

    window: int
    stride: int = 1
    short: Short = "drop"
    next_observation: bool = False
    leaves: Sequence[str] | None = None


class WindowSource:
    """The windows of a view, numbered episode by episode.

    An element is a dict: `experience` with leaves `[W, ...]`, `mask`, `step_in_episode`, `indices`, and with
    `next_observation` also that and `next_mask`; what they mean is said of `WindowSample`. Several are read
    in one go. A worker process opens the vaults anew, by their paths, and reads the same episodes.

    Args:
      selected: the episodes.
      plan: which windows, and what of them.

    Raises:
      ValueError: if the plan contradicts itself, or there is no such window.

    Example:
      >>> from .view import example
      >>> source = example(lengths=[5, 1, 3]).grain_source(3)
      >>> len(source), source[3]["experience"]["reward"], source[[0, 3]]["mask"].shape
      (4, array([1., 1., 1.], dtype=float32), (2, 3))
    """

    def __init__(self, selected: Selected, plan: WindowPlan) -> None:
        self._plan, self._process, self._reader = plan, os.getpid(), _reader(selected, plan)

    def __len__(self) -> int:
        return self._reader.index.total

    def __repr__(self) -> str:  # Grain keeps it in checkpoints, to tell whether it reads the same
        plan, selected = self._plan, self._reader.selected
        return (
            f"WindowSource({len(self)} windows of {plan.window} steps, stride {plan.stride}, "
            f"short={plan.short!r}, of {len(selected.chosen)} episodes, {selected.mark:08x})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return WindowSource, (self._reader.selected, self._plan)

    def __getitem__(self, number: Any) -> dict[str, Any]:
        """Reads one window, or with several numbers a batch of them, leaves `[N, W, ...]`.

        Raises:
          IndexError: if there is no window of a number.
          CorruptionError: if a shard is missing or damaged.
        """
        numbers = np.asarray(number, np.int64)
        if numbers.ndim:
            return self._read(numbers)
        return _part(self._read(numbers[None]), 0)

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Reads several windows in one go, as PyTorch asks for them: a list of elements."""
        batch = self._read(np.asarray(numbers, np.int64))
        return [_part(batch, place) for place in range(len(numbers))]

    def _getitems(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Reads several windows in one go, as Grain asks for them where it pushes batches down."""
        return self.__getitems__(numbers)

    def _read(self, numbers: NpArray) -> dict[str, Any]:
        count = len(self)
        wrong = numbers[(numbers < -count) | (numbers >= count)]
        if len(wrong):
            raise IndexError(f"There is no window {wrong[0]}: there are {count}.")
        if self._process != os.getpid():  # a fork: the parent's threads may have held a lock
            self._reader = _reader(self._reader.selected.reopened(), self._plan)
            self._process = os.getpid()
        places = np.where(numbers < 0, numbers + count, numbers)
        drawn = Drawn(*self._reader.index.nth(places), np.ones(len(places), np.bool_))
        sample = self._reader.read(drawn)
        fields = {
            "experience": sample.experience,
            "mask": sample.mask,
            "step_in_episode": sample.step_in_episode,
            "indices": sample.indices,
        }
        if not self._plan.next_observation:
            return fields
        return fields | {"next_observation": sample.next_observation, "next_mask": sample.next_mask}


def _reader(selected: Selected, plan: WindowPlan) -> WindowReader:
    index = checked(selected.where["length"], plan.window, plan.stride, plan.short)
    return WindowReader(selected, index, plan.leaves, next_observation=plan.next_observation)


def _part(node: Any, place: int) -> Any:
    """Takes one window out of a batch: a copy, so that the batch can go."""
    if isinstance(node, Mapping):
        return {key: _part(value, place) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_part(value, place) for value in node)
    return np.array(node[place])
