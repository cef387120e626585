"""A history that makes a resume point with each write: the newest is of the last write or the one before."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from durable_history import CAPACITY, HISTORIES, RingHistory
from strongbax.vault import NotFoundError, Vault


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """A ring's state with something beside it that no vault holds."""

    experience: Any
    current_index: Any
    is_full: Any
    laps: Any
    priorities: Any


def _ring(step: Any) -> State:
    slots = jax.tree.map(lambda leaf: jnp.zeros((3, CAPACITY, *leaf.shape), leaf.dtype), step)
    return State(slots, *[np.zeros(())] * 3, np.zeros(500))


BUFFER = SimpleNamespace(init=_ring)


class CheckpointedHistory(RingHistory):
    """A ring of 3 streams that is checkpointed after each few steps."""

    begun = False

    def write(self, vault: Vault, number: int, *, wait: bool) -> Any:
        if number and not self.begun:
            self._checkpoint(vault, number)  # the process before may have been killed between the two
        self.begun = True
        super().write(vault, number, wait=wait)
        self._checkpoint(vault, number + 1)

    def _checkpoint(self, vault: Vault, writes: int) -> None:
        state = self.state(self.moment(writes).length)
        vault.checkpoint(state, extra={"writes": writes}, keep=1 + writes % 3)

    def state(self, length: int) -> Any:
        ring = super().state(length)
        return State(**vars(ring), priorities=np.arange(500.0) + length)

    def compare_resumed(self, vault: Vault, writes: int) -> None:
        try:
            state, extra = vault.restore(BUFFER)
        except NotFoundError:
            assert writes <= 1, "there is no resume point"
            return
        assert writes - 1 <= extra["writes"] <= writes, "the newest resume point is too old"
        wanted = self.state(self.moment(extra["writes"]).length)
        for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(wanted), strict=True):
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes(), "the restored state differs"


KINDS = HISTORIES | {"checkpointed": CheckpointedHistory}
