"""Plain NumPy rings with the fields of a buffer's state, and the steps that go into them.

Every step that a `Source` gives differs from every other, so that a step in the wrong place is seen.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

SHAPES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "action": (np.int16, ()),
    "observation": (np.float32, (2,)),
    "pixels": (np.uint8, (3,)),
    "reward": (np.float32, ()),
    "terminated": (np.bool_, ()),
    "truncated": (np.bool_, ()),
}

Steps = dict[str, np.ndarray]


@dataclass(frozen=True)
class State:
    """A buffer's state as anybody may build it: `laps` is None where nobody counted."""

    experience: Any
    current_index: Any
    is_full: Any
    laps: Any = None


def one_step() -> Steps:
    return {name: np.zeros(shape, dtype) for name, (dtype, shape) in SHAPES.items()}


class Source:
    """Gives steps `[B, T, ...]`, no two alike; rewards are quarters, so that their sums are exact."""

    def __init__(self, streams: int = 1, ends: float = 0.2, seed: int = 0) -> None:
        self.streams, self.ends, self.given = streams, ends, 0
        self._random = np.random.default_rng(seed)

    def steps(self, count: int) -> Steps:
        serial = self.given + np.arange(count) + 1_000_000 * np.arange(self.streams)[:, None]
        self.given += count
        ended = self._random.random(serial.shape) < self.ends
        terminated = ended & (self._random.random(serial.shape) < 0.5)
        return {
            "action": (serial % 30011).astype(np.int16),
            "observation": np.stack([serial, -serial], -1).astype(np.float32),
            "pixels": np.stack([serial % 251, serial % 241, serial % 7], -1).astype(np.uint8),
            "reward": ((serial % 17) / 4 - 2).astype(np.float32),
            "terminated": terminated,
            "truncated": ended & ~terminated,
        }


class Ring:
    """A ring of `capacity` slots a stream that remembers everything it was ever given.

    Its states say how much that was, unless `laps` is false, as in a state built by hand.
    """

    def __init__(self, streams: int, capacity: int, *, laps: bool = True) -> None:
        self.streams, self.capacity, self.laps, self.count = streams, capacity, laps, 0
        self.slots = {
            name: np.zeros((streams, capacity, *shape), dtype) for name, (dtype, shape) in SHAPES.items()
        }
        self.history: list[Steps] = []

    @property
    def held(self) -> int:
        return min(self.count, self.capacity)

    @property
    def oldest(self) -> int:
        return self.count - self.held

    @property
    def least_count(self) -> int:
        """The count that the state tells."""
        whole = self.count < self.capacity or self.laps
        return self.count if whole else self.capacity + self.count % self.capacity

    def add(self, steps: Steps) -> None:
        for time in range(steps["reward"].shape[1]):
            step = {name: values[:, time].copy() for name, values in steps.items()}
            for name, values in step.items():
                self.slots[name][:, self.count % self.capacity] = values
            self.history.append(step)
            self.count += 1

    def state(self) -> State:
        return State(
            {name: values.copy() for name, values in self.slots.items()},
            np.int32(self.count % self.capacity),
            np.bool_(self.count >= self.capacity),
            np.int32(self.count // self.capacity) if self.laps else None,
        )


def split(steps: Steps) -> list[Steps]:
    """Parts a block `[B, T, ...]` into its steps `[B, ...]`."""
    return [
        {name: values[:, time].copy() for name, values in steps.items()}
        for time in range(steps["reward"].shape[1])
    ]


def same(a: Any, b: Any) -> bool:
    """Compares dtype, shape and bytes, so that NaN equals itself."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
