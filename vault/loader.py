"""A loader: batches of windows from disk, of a view that need not fit into memory.

Batch number `s` is a function of the seed and `s` alone. So a loader's state is one integer, processes share
a batch without a word, and the windows are those that the episode buffer draws of the same view in memory.
A process draws the whole batch, which is a few numbers, and reads the windows that are its own.

Letters: `N` batch, `W` window in steps.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from . import draws
from .choices import checked_seed
from .placement import box_of, check_jax, hang, put, to_device
from .sample import WindowSample
from .selected import Selected
from .to_go import returns_to_go
from .weights import weighed
from .window_reader import WindowReader
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
    shard: tuple[int, int] | Literal["process"] = (0, 1)
    next_observation: bool = False
    return_to_go: float | None = None
    leaves: Sequence[str] | None = None
    prefetch: int = 2
    device: Any = None


class Loader:
    """Batches of windows of a view's episodes.

    Iterating gives batch `step`, `step + 1`, … without end, read and moved to the devices ahead by threads.
    They end when the iteration does: at a `break`, when the iterator is closed or given up. What fails in a
    thread is raised where its batch was due.

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
        index = checked(selected.where["length"], plan.window, plan.stride, plan.short)
        self._plan, self._index, self._treedef = plan, index, treedef
        self._tree = weighed(plan.weights, selected, index)
        self._grouped = not (isinstance(plan.weights, str) and plan.weights == "windows")
        begin, end = _part(plan)
        self._box = box_of(plan.device, (end - begin, plan.window))
        self._rows = slice(begin + self._box.first[0], begin + self._box.first[1])
        to_go = None if plan.return_to_go is None else returns_to_go(selected, plan.return_to_go)
        self._reader = WindowReader(
            selected, index, plan.leaves, next_observation=plan.next_observation, to_go=to_go
        )
        self._key = draws.key(checked_seed(plan.seed, "seed"))
        if plan.epochs and (self._grouped or index.total > draws.MAX_SHUFFLED):
            raise ValueError(
                "`epochs` must go with weights='windows' and at most 2**31 - 1 windows: got "
                f"{plan.weights!r} and {index.total} windows. Draw with replacement."
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
        import jax

        # Of this thread, which may have been told another than its threads.
        device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue] - made by JAX

        def moved(step: int) -> WindowSample:
            with jax.default_device(device):
                return self.batch(step)

        return self._ahead(moved)

    def numpy(self) -> Iterator[WindowSample]:
        """Iterates over the same batches as NumPy, dtypes as they were written, without a device."""
        return self._ahead(self.batch_numpy)

    def _ahead(self, make: Callable[[int], WindowSample]) -> Iterator[WindowSample]:
        """Yields batches from `step` on, made ahead by threads that last as long as the iteration."""
        with ThreadPoolExecutor(max(1, self._plan.prefetch), "strongbax-loader") as pool:
            ahead: deque[Future[WindowSample]] = deque()
            ask = self.step
            try:
                while True:
                    while len(ahead) <= self._plan.prefetch:
                        ahead.append(pool.submit(make, ask))
                        ask += 1
                    sample = ahead.popleft().result()
                    self.step += 1
                    yield sample
            finally:
                pool.shutdown(cancel_futures=True)

    def batch(self, step: int) -> WindowSample:
        """Gives a batch on the devices, by its number.

        Where `device` is a sharding over several processes, every process asks for the same batch, and has
        of the global arrays what its devices hold.

        Raises:
          TypeError: if JAX cannot hold a leaf.
          ValueError: if integers do not fit the 32 bits that JAX runs with.
        """
        return self._moved(self.batch_numpy(step))

    def batch_numpy(self, step: int) -> WindowSample:
        """Gives what this process makes of a batch as NumPy, by its number; dtypes as they were written.

        Raises:
          ValueError: if `step` is negative.
          CorruptionError: if a shard is missing or damaged.
        """
        if step < 0:
            raise ValueError(f"`step` must be at least 0: got {step}.")
        return self._reader.read(self._draw(step).part(self._rows))

    def _draw(self, step: int) -> Drawn:
        count = self._plan.batch_size
        if self._plan.epochs:
            return draw_epoch(self._index, self._key, count, step)
        key = draws.fold_in(self._key, step)
        if self._grouped:
            return draw_grouped(self._index, key, count, self._tree)
        return draw(self._index, key, count)

    def _moved(self, sample: WindowSample) -> WindowSample:
        """Moves a batch to the devices."""
        import jax

        schema, device, box = self._reader.selected.schema, self._plan.device, self._box
        arrays, following = self._reader.values(sample.experience), sample.next_observation
        check_jax(schema, list(arrays))
        values = to_device(schema, arrays, device, box)
        if following is not None:
            following = dict(zip(following, to_device(schema, following, device, box), strict=True))
        return WindowSample(
            experience=hang(schema, values, self._treedef, self._plan.leaves),
            mask=put(sample.mask, device, box),
            step_in_episode=put(sample.step_in_episode, device, box),
            indices=put(sample.indices.astype(jax.dtypes.canonicalize_dtype(np.int64)), device, box),
            next_observation=following,
            next_mask=None if sample.next_mask is None else put(sample.next_mask, device, box),
            return_to_go=None if sample.return_to_go is None else put(sample.return_to_go, device, box),
        )


def _part(plan: Plan) -> tuple[int, int]:
    """Gives which windows of a batch are this loader's, from and to."""
    if plan.batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1: got {plan.batch_size}.")
    number, count = _process() if plan.shard == "process" else plan.shard
    if not 0 <= number < count or plan.batch_size % count:
        raise ValueError(
            "`shard` must be (i, n) with 0 <= i < n, and n must divide `batch_size`: got "
            f"{(number, count)} for {plan.batch_size}."
        )
    if count > 1 and not getattr(plan.device, "is_fully_addressable", True):
        raise ValueError(
            "`shard` must be left out where `device` is a sharding over several processes: that says already "
            "which windows are whose."
        )
    share = plan.batch_size // count
    return number * share, (number + 1) * share


def _process() -> tuple[int, int]:
    import jax

    return jax.process_index(), jax.process_count()
