"""A recording: players act, a ring in memory takes their steps, a vault what is new of the ring.

Started again, it goes on where the vault ends: the ring gets back its newest steps, and the policy search
the newest episodes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .players import GENERATION, Players
from .search import improve

if TYPE_CHECKING:
    from ..vault import Vault

RING = 512  # steps a stream in memory: fewer than are recorded, so that the vault outlives the ring

# Called with what just happened; see `record`.
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Plan:
    """What to record.

    Attributes:
      environment: a Gymnasium id.
      streams: environments side by side.
      steps: of each stream, in all.
      flush_every: steps of each stream between two flushes.
      seed: of all randomness.
    """

    environment: str = "CartPole-v1"
    streams: int = 16
    steps: int = 6400
    flush_every: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.flush_every <= min(self.steps, RING):
            raise ValueError(
                f"`flush_every` must be 1 to {min(self.steps, RING)} steps, what the ring and the "
                f"recording hold: got {self.flush_every}."
            )


def record(path: Path, plan: Plan, tell: Tell) -> None:
    """Records until the vault holds `plan.steps` steps a stream; makes it or goes on with it.

    Args:
      path: of the vault.
      plan: what to record.
      tell: called with `{"played": steps}` when half a block is in memory, and with `{"flushed":
        steps, "seconds": of the flush}` when a flush has returned; `steps` are of all streams.

    Raises:
      StrongbaxError: if the vault cannot be made, opened or written.
    """
    import jax

    from ..buffer import make_trajectory_buffer
    from ..vault import Vault

    players = Players(plan.environment, plan.streams, seed=plan.seed + _recorded(path))
    buffer = make_trajectory_buffer(
        add_batch_size=plan.streams,
        sample_batch_size=1,
        sample_sequence_length=1,
        period=1,
        min_length_time_axis=1,
        max_length_time_axis=RING,
    )
    add = jax.jit(buffer.add, donate_argnums=0)
    empty = buffer.init(players.step())
    with Vault.open(path, mode="a") if path.exists() else Vault.create(path, like=empty) as vault:
        _take_up(players, vault)
        state = vault.load(buffer, start=max(0, vault.length - RING))
        while vault.length < plan.steps:
            steps = min(plan.flush_every, plan.steps - vault.length)
            state = add(state, _play(players, steps, vault.num_steps, tell))
            start = time.perf_counter()
            vault.write(state)
            tell({"flushed": vault.num_steps, "seconds": time.perf_counter() - start})


def _recorded(path: Path) -> int:
    """Steps that the vault holds: part of the seed, or each start would play the same again."""
    from ..vault import Vault

    if not path.exists():
        return 0
    with Vault.open(path) as vault:
        return vault.num_steps


def _play(players: Players, steps: int, recorded: int, tell: Tell) -> dict[str, Any]:
    """Plays a block, and tells half way how many steps were played that no vault has."""
    half = steps // 2
    first = players.play(half)
    tell({"played": recorded + first["reward"].size})
    second = players.play(steps - half)
    return {name: np.concatenate([leaf, second[name]], axis=1) for name, leaf in first.items()}


def _take_up(players: Players, vault: "Vault") -> None:
    """Takes up the search where the vault's last episodes left it."""
    table = vault.episodes
    latest = range(max(0, len(table) - GENERATION), len(table))
    if latest:
        candidates = np.stack([vault[row].steps["policy"][0] for row in latest])
        players.take_up(improve(candidates, table["return"][latest.start :]))
