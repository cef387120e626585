"""Windows read from disk: a batch of any of a view's windows, leaf by leaf in one go, as NumPy.

Letters: `N` windows, `W` window in steps.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .dtypes import NpArray
from .gather import Windows
from .sample import WindowSample
from .schema import Leaf
from .selected import Selected
from .store import aligned_empty
from .windows import Drawn, WindowIndex


class WindowReader:
    """Reads windows of a view.

    Args:
      selected: the episodes.
      index: which windows there are.
      leaves: names of leaves, or None for all.
      next_observation: whether to read what each step led to, too.
      to_go: `[n, ...]`, the rewards still to come of each step of the view, or None.

    Raises:
      KeyError, ValueError: if there is no such leaf.
    """

    def __init__(
        self,
        selected: Selected,
        index: WindowIndex,
        leaves: Sequence[str] | None,
        *,
        next_observation: bool,
        to_go: NpArray | None = None,
    ) -> None:
        self.selected, self.index, self.named = selected, index, leaves
        names = selected.schema.names if leaves is None else tuple(leaves)
        self.leaves = [selected.schema.leaf(name) for name in names]
        self._next, self._to_go = next_observation, to_go

    def read(self, drawn: Drawn) -> WindowSample:
        """Reads windows, leaves `[N, W, ...]`, dtypes as they were written.

        Raises:
          CorruptionError: if a shard is missing or damaged.
        """
        length, ends = self.index.length, self.index.lengths[drawn.episode]
        steps = np.minimum(ends - drawn.first, length)
        lead = length - steps if self.index.short == "pad_left" else np.zeros_like(steps)
        place = np.arange(length) - lead[:, None]
        mask = (place >= 0) & (place < steps[:, None])
        windows = self.selected.place(drawn.episode, drawn.first, steps, lead)
        values = [self._gathered(leaf, drawn.episode, windows, mask) for leaf in self.leaves]
        following = self._following(drawn, windows, mask) if self._next else (None, None)
        indices, real = self.selected.starts[drawn.episode] + drawn.first, mask & drawn.counts[:, None]
        return WindowSample(
            experience=self._hung(values),
            mask=real,
            step_in_episode=np.where(mask, drawn.first[:, None] + place, 0).astype(np.int32),
            indices=indices,
            next_observation=following[0],
            next_mask=following[1],
            return_to_go=None if self._to_go is None else _taken(self._to_go, indices[:, None] + place, real),
        )

    def values(self, experience: Any) -> dict[str, Any]:
        """Takes the containers of a sample's steps apart: values by leaf name."""
        if self.named is not None:
            return dict(experience)
        import jax

        names = [leaf.name for leaf in self.leaves]
        return dict(zip(names, jax.tree_util.tree_leaves(experience), strict=True))

    def _gathered(self, leaf: Leaf, episode: NpArray, windows: Windows, mask: NpArray) -> NpArray:
        out = aligned_empty((*mask.shape, *leaf.shape), leaf.dtype)
        self.selected.gather(leaf.name, episode, windows, out)
        if not mask.all():
            out[~mask] = np.zeros((), leaf.dtype)
        return out

    def _following(self, drawn: Drawn, windows: Windows, mask: NpArray) -> tuple[dict[str, NpArray], NpArray]:
        """Gives what each step led to: the next step's row, or the episode's final row."""
        left = self.index.lengths[drawn.episode] - drawn.first - (windows.high - windows.low)
        high = windows.high + (left > 0)  # the last step's successor, where the episode goes on
        after = Windows(windows.stream, windows.row + 1, windows.low + 1, high, windows.place)
        there = mask.copy()
        at = np.flatnonzero(left == 0)
        last = windows.high[at] - 1 - windows.row[at]
        there[at, last] = False
        known = self.selected.where["final_known"][drawn.episode[at]]
        out: dict[str, NpArray] = {}
        for name in self.selected.schema.finals:
            leaf = self.selected.schema.leaf(name)
            rows = out[name] = self._gathered(leaf, drawn.episode, after, there)
            flat = rows.reshape(-1, *leaf.shape)
            places = (at * self.index.length + last)[known]
            self.selected.gather_finals(name, drawn.episode[at][known], flat, places)
        there[at[known], last[known]] = True
        return out, there & drawn.counts[:, None]

    def _hung(self, values: list[Any]) -> Any:
        if self.named is not None:
            return dict(zip(self.named, values, strict=True))
        return self.selected.schema.tree.rebuild(values)


def _taken(values: NpArray, at: NpArray, mask: NpArray) -> NpArray:
    """Gives rows `[N, W, ...]`; zeros where there is no step."""
    out = np.zeros((*mask.shape, *values.shape[1:]), values.dtype)
    out[mask] = values[at[mask]]
    return out
