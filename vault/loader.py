"""A loader: batches of windows from disk, of a view that need not fit into memory.

Batch number `s` is a function of the seed and `s` alone. So a loader's state is one integer, processes share
a batch without a word, and the windows are those that the episode buffer draws of the same view in memory.

Letters: `N` batch, `W` window in steps.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import draws
from .choices import checked_seed
from .dtypes import NpArray
from .gather import Windows
from .loading import (
    Wanted,
    _check_jax,  # pyright: ignore[reportPrivateUsage] - one way to bring leaves to a device
    _hang,  # pyright: ignore[reportPrivateUsage]
    _to_device,  # pyright: ignore[reportPrivateUsage]
)
from .sample import WindowSample
from .schema import Leaf
from .selected import Selected
from .store import aligned_empty
from .weights import weighed
from .windows import Drawn, Short, checked, draw, draw_epoch, draw_grouped


@dataclass(frozen=True)
class Plan:
    """What a loader is to do; see `Contents.loader`."""

    batch_size: int
    window: int
    stride: int = 1
    short: Short = "drop"
    weights: Any = "windows"
    epochs: bool = False
    seed: int = 0
    shard: tuple[int, int] = (0, 1)
    next_observation: bool = False
    leaves: Sequence[str] | None = None
    prefetch: int = 2
    device: Any = None


class Loader:
    """Batches of windows of a view's episodes.

    Iterating gives batch `step`, `step + 1`, … without end, prepared ahead by threads.

    Attributes:
      step: number of the batch that comes next: all there is to save, and to set before iterating.

    Args:
      selected: the episodes.
      plan: what to do.
      treedef: the containers to hang leaves in, or None for plain ones.

    Raises:
      ValueError: if the plan contradicts itself, or there is no such window.
    """

    def __init__(self, selected: Selected, plan: Plan, treedef: Any = None) -> None:
        table = selected.episodes()
        self._selected, self._plan = selected, plan
        self._index = checked(table["length"], plan.window, plan.stride, plan.short)
        self._tree = weighed(plan.weights, selected, self._index)
        self._grouped = not (isinstance(plan.weights, str) and plan.weights == "windows")
        self._part = _part(plan)
        self._wanted = Wanted(0, 0, plan.leaves, plan.device, treedef)
        self._leaves = [selected.schema.leaf(name) for name in self._wanted.names(selected.schema)]
        self._key = draws.key(checked_seed(plan.seed, "seed"))
        if plan.epochs and (self._grouped or self._index.total > draws.MAX_SHUFFLED):
            raise ValueError(
                "`epochs` must go with weights='windows' and at most 2**31 - 1 windows: got "
                f"{plan.weights!r} and {self._index.total} windows. Draw with replacement."
            )
        self.step = 0

    def __repr__(self) -> str:
        return f"Loader({self.num_windows} windows of {self._plan.window} steps, at batch {self.step})"

    @property
    def num_windows(self) -> int:
        """How many windows there are."""
        return self._index.total

    @property
    def batches_an_epoch(self) -> int:
        """How many batches bring every window once."""
        return -(-self.num_windows // self._plan.batch_size)

    def __iter__(self) -> Iterator[WindowSample]:
        with ThreadPoolExecutor(max(1, self._plan.prefetch), "strongbax-loader") as pool:
            ahead: deque[Future[WindowSample]] = deque()
            ask = self.step
            try:
                while True:
                    while len(ahead) <= self._plan.prefetch:
                        ahead.append(pool.submit(self.batch_numpy, ask))
                        ask += 1
                    sample = ahead.popleft().result()
                    self.step += 1
                    yield self._moved(sample)
            finally:
                pool.shutdown(cancel_futures=True)

    def batch(self, step: int) -> WindowSample:
        """Gives a batch on the device, by its number."""
        return self._moved(self.batch_numpy(step))

    def batch_numpy(self, step: int) -> WindowSample:
        """Gives a batch as NumPy, by its number, from 0 on; dtypes as they were written."""
        if step < 0:
            raise ValueError(f"`step` must be at least 0: got {step}.")
        drawn = self._draw(step).part(*self._part)
        length, ends = self._plan.window, self._index.lengths[drawn.episode]
        steps = np.minimum(ends - drawn.first, length)
        lead = length - steps if self._plan.short == "pad_left" else np.zeros_like(steps)
        place = np.arange(length) - lead[:, None]
        mask = (place >= 0) & (place < steps[:, None])
        windows = self._selected.place(drawn.episode, drawn.first, steps, lead)
        values = [self._gathered(leaf, drawn.episode, windows, mask) for leaf in self._leaves]
        following = self._following(drawn, windows, mask) if self._plan.next_observation else (None, None)
        return WindowSample(
            experience=self._hung(values),
            mask=mask & drawn.counts[:, None],
            step_in_episode=np.where(mask, drawn.first[:, None] + place, 0).astype(np.int32),
            indices=self._selected.starts[drawn.episode] + drawn.first,
            next_observation=following[0],
            next_mask=following[1],
        )

    def _draw(self, step: int) -> Drawn:
        count = self._plan.batch_size
        if self._plan.epochs:
            return draw_epoch(self._index, self._key, count, step)
        key = draws.fold_in(self._key, step)
        if self._grouped:
            return draw_grouped(self._index, key, count, self._tree)
        return draw(self._index, key, count)

    def _gathered(self, leaf: Leaf, episode: NpArray, windows: Windows, mask: NpArray) -> NpArray:
        out = aligned_empty((*mask.shape, *leaf.shape), leaf.dtype)
        self._selected.gather(leaf.name, episode, windows, out)
        if not mask.all():
            out[~mask] = np.zeros((), leaf.dtype)
        return out

    def _following(self, drawn: Drawn, windows: Windows, mask: NpArray) -> tuple[dict[str, NpArray], NpArray]:
        """Gives what each step led to: the next step's row, or the episode's final row."""
        left = self._index.lengths[drawn.episode] - drawn.first - (windows.high - windows.low)
        high = windows.high + (left > 0)  # the last step's successor, where the episode goes on
        after = Windows(windows.stream, windows.row + 1, windows.low + 1, high, windows.place)
        there = mask.copy()
        at = np.flatnonzero(left == 0)
        last = windows.high[at] - 1 - windows.row[at]
        there[at, last] = False
        known = self._selected.where["final_known"][drawn.episode[at]]
        out: dict[str, NpArray] = {}
        for name in self._selected.schema.finals:
            leaf = self._selected.schema.leaf(name)
            rows = out[name] = self._gathered(leaf, drawn.episode, after, there)
            flat = rows.reshape(-1, *leaf.shape)
            places = (at * self._plan.window + last)[known]
            self._selected.gather_finals(name, drawn.episode[at][known], flat, places)
        there[at[known], last[known]] = True
        return out, there & drawn.counts[:, None]

    def _hung(self, values: list[Any]) -> Any:
        if self._plan.leaves is not None:
            return dict(zip(self._plan.leaves, values, strict=True))
        return self._selected.schema.tree.rebuild(values)

    def _moved(self, sample: WindowSample) -> WindowSample:
        """Moves a batch to the device."""
        import jax

        schema = self._selected.schema
        _check_jax(schema, [leaf.name for leaf in self._leaves])
        tree = jax.tree_util.tree_leaves(sample.experience)
        names = [leaf.name for leaf in self._leaves]
        arrays = dict(zip(names, tree, strict=True)) if self._plan.leaves is None else sample.experience
        put = {
            "mask": sample.mask,
            "step_in_episode": sample.step_in_episode,
            "indices": sample.indices.astype(jax.dtypes.canonicalize_dtype(np.int64)),
            "next_mask": sample.next_mask,
        }
        moved = {name: jax.device_put(value, self._plan.device) for name, value in put.items()}
        following = sample.next_observation
        if following is not None:
            following = dict(zip(following, _to_device(schema, following, self._plan.device), strict=True))
        experience = _hang(schema, _to_device(schema, arrays, self._plan.device), self._wanted)
        return WindowSample(experience=experience, next_observation=following, **moved)


def _part(plan: Plan) -> tuple[int, int]:
    """Gives the part of a batch that this process makes."""
    if plan.batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1: got {plan.batch_size}.")
    number, count = plan.shard
    if not 0 <= number < count or plan.batch_size % count:
        raise ValueError(
            f"`shard` must be (i, n) with 0 <= i < n, and n must divide `batch_size`: got {plan.shard} for "
            f"{plan.batch_size}."
        )
    share = plan.batch_size // count
    return number * share, (number + 1) * share
