"""Strongbax: a trajectory buffer, steps added under jit and donated, and `Vault.write` of its state."""

from pathlib import Path

import jax
import strongbax.buffer as fbx
from strongbax.vault import Vault

from ..data import Steps, Workload, one_step

FLUSHES_HELD = 4  # the ring's length, in flushes


class Ours:
    """Flushes a buffer's state to a vault."""

    def __init__(self, path: Path, work: Workload) -> None:
        self._path = path
        self._length = FLUSHES_HELD * work.flush
        self._streams = work.streams
        self._vault: Vault | None = None

    def _open(self, steps: Steps) -> Vault:
        buffer = fbx.make_trajectory_buffer(self._streams, 1, 2, 1, 2, max_length_time_axis=self._length)
        self._add = jax.jit(buffer.add, donate_argnums=0)
        self._state = buffer.init(one_step(steps))
        return Vault.create(self._path, like=self._state)

    def prepare(self, steps: Steps) -> None:
        if self._vault is None:
            self._vault = self._open(steps)
        self._state = jax.block_until_ready(self._add(self._state, dict(steps)))

    def flush(self) -> None:
        assert self._vault is not None
        self._vault.write(self._state)

    def close(self) -> None:
        assert self._vault is not None
        self._vault.close()
