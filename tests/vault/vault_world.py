"""A vault, its model, and a ring that is written to both."""

from typing import Any

import pytest
from strongbax.vault import Vault
from vault_model import Model
from vault_rings import Ring, Source, one_step

CAPACITY = 6


class World:
    """A vault, its model, and a ring that is written to both."""

    def __init__(self, path: Any, *, laps: bool = True, streams: int = 2, ends: float = 0.0) -> None:
        self.path = path
        self.vault = Vault.create(path, steps=one_step(), streams=streams, columns={"score": float}, block=8)
        self.source, self.model = Source(streams, ends), Model(streams)
        self.ring = Ring(streams, CAPACITY, laps=laps)

    def add(self, count: int) -> None:
        self.ring.add(self.source.steps(count))

    def write(self, first: int, *, lost: int = 0, fresh: bool = False, **arguments: Any) -> None:
        """Writes, and expects the ring's steps from `first` on to be new."""
        written = self.vault.write(self.ring.state(), **arguments)
        assert written == self.model.flush(self.ring, first, lost=lost, fresh=fresh)
        self.model.check(self.vault)

    def refuse(self, error: type[Exception], **arguments: Any) -> str:
        """Writes, and expects an error and nothing written."""
        with pytest.raises(error) as caught:
            self.vault.write(self.ring.state(), **arguments)
        self.model.check(self.vault)
        return str(caught.value)

    def reopen(self) -> None:
        self.vault.close()
        self.vault = Vault.open(self.path, mode="a")
