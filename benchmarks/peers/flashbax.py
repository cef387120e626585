"""Flashbax: its trajectory buffer, its Vault, its defaults (TensorStore's OCDBT, gzip-5)."""

import contextlib
import io
from pathlib import Path
from typing import Any

from ..data import Steps, Workload, one_step
from .ours import FLUSHES_HELD


class Flashbax:
    """Flushes a buffer's state to a Flashbax Vault."""

    def __init__(self, path: Path, work: Workload) -> None:
        self._path = path
        self._length = FLUSHES_HELD * work.flush
        self._streams = work.streams
        self._vault: Any = None

    def _open(self, steps: Steps) -> Any:
        import flashbax as fbx
        import jax
        from flashbax.vault import Vault

        buffer = fbx.make_trajectory_buffer(
            add_batch_size=self._streams,
            sample_batch_size=1,
            sample_sequence_length=2,
            period=1,
            min_length_time_axis=2,
            max_length_time_axis=self._length,
        )
        self._add = jax.jit(buffer.add, donate_argnums=0)
        self._state = buffer.init(one_step(steps))
        with contextlib.redirect_stdout(io.StringIO()):
            return Vault("vault", self._state.experience, rel_dir=str(self._path.resolve()), vault_uid="0")

    def prepare(self, steps: Steps) -> None:
        import jax

        if self._vault is None:
            self._vault = self._open(steps)
        self._state = jax.block_until_ready(self._add(self._state, dict(steps)))

    def flush(self) -> None:
        assert self._vault.write(self._state) > 0

    def close(self) -> None:
        self._vault = None
