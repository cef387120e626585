"""What is written and read: vectors that compress as MuJoCo's do, frames of a game, made offline.

A workload says how many streams there are, what one step holds and how many steps a flush brings. Its
steps are a smooth system with noise (`vectors`) or the pictures of `game.py`, from a fixed seed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .game import play

Steps = Mapping[str, np.ndarray[Any, Any]]  # leaves [B, T, ...]

_EPISODE = 500  # mean steps of an episode


@dataclass(frozen=True)
class Workload:
    """Steps to be flushed.

    Attributes:
      name: as the table says it.
      streams: `B`.
      flush: steps a stream that one flush brings.
      make: total steps a stream -> leaves `[B, T, ...]`.
      frames: whether there are pictures, so that peers who can compress do.
    """

    name: str
    streams: int
    flush: int
    make: Callable[[int], Steps]
    frames: bool = False

    def batches(self, flushes: int) -> list[Steps]:
        """Gives so many flushes, each `[B, flush, ...]` and contiguous."""
        steps = self.make(flushes * self.flush)
        return [
            {name: np.ascontiguousarray(leaf[:, at : at + self.flush]) for name, leaf in steps.items()}
            for at in range(0, flushes * self.flush, self.flush)
        ]


def size(steps: Steps) -> int:
    """Gives the bytes of steps."""
    return sum(leaf.nbytes for leaf in steps.values())


def one_step(steps: Steps) -> dict[str, np.ndarray[Any, Any]]:
    """Gives a single step, without streams and time."""
    return {name: leaf[0, 0] for name, leaf in steps.items()}


def vectors(streams: int, steps: int, observation: int, action: int) -> Steps:
    """Makes oscillators whose phases drift, seen through sensor noise; a policy with exploration acts.

    Float32 all over: general compressors gain about a tenth, as on MuJoCo.
    """
    generator = np.random.default_rng(0)
    rate = generator.uniform(0.02, 0.4, observation)
    scale = generator.uniform(0.2, 4.0, observation)
    mix = generator.normal(size=(observation, action)) / observation
    phase = generator.normal(0.0, 0.05, (streams, steps, observation)).cumsum(axis=1)
    phase += rate * np.arange(steps)[:, None]
    seen = scale * np.sin(phase) + generator.normal(0.0, 0.1, phase.shape)
    acted = np.tanh(seen @ mix + generator.normal(0.0, 0.3, (streams, steps, action)))
    return {
        "observation": seen.astype(np.float32),
        "action": acted.astype(np.float32),
        **_outcome(generator, seen[..., 0] - 0.1 * (acted**2).sum(-1)),
    }


def frames(steps: int) -> Steps:
    """Makes frames of the game, the paddle's moves, and what they earn."""
    generator = np.random.default_rng(0)
    pictures, moves, points = play(steps, generator)
    return {"observation": pictures[None], "action": moves[None], **_outcome(generator, points[None])}


def _outcome(generator: np.random.Generator, reward: Any) -> Steps:
    done = generator.random(reward.shape) < 1 / _EPISODE
    return {
        "reward": reward.astype(np.float32),
        "discount": (~done).astype(np.float32),
        "done": done,
    }


HOPPER = Workload("1,000 steps", 1, 1_000, lambda n: vectors(1, n, 11, 3))
HOPPER_LONG = Workload("10,000 steps", 1, 10_000, lambda n: vectors(1, n, 11, 3))
ANT = Workload("64 streams x 16 steps", 64, 16, lambda n: vectors(64, n, 27, 8))
GAME = Workload("1,000 frames 84x84", 1, 1_000, frames, frames=True)
