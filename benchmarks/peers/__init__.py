"""Who is measured: each peer takes the same steps to the same disk, and is done when they are durable.

A sink prepares a flush untimed (the steps are where the writer takes them from: in memory for `raw` and
`hdf5`, in a buffer's state on the device for the two vaults) and is timed while it makes them durable.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ..data import Steps, Workload
from . import flashbax, hdf5, ours, raw

OURS, RAW, HDF5, FLASHBAX = "Strongbax", "raw append", "HDF5", "Flashbax Vault"


class Sink(Protocol):
    """Something that makes steps durable."""

    def prepare(self, steps: Steps) -> None:
        """Brings steps `[B, flush, ...]` to where they are taken from. Not timed."""
        ...

    def flush(self) -> None:
        """Makes them durable. Timed."""
        ...

    def close(self) -> None:
        """Leaves on disk what stays there."""
        ...


SINKS: dict[str, Callable[[Path, Workload], Sink]] = {
    RAW: raw.Raw,
    HDF5: hdf5.Hdf5,
    OURS: ours.Ours,
    FLASHBAX: flashbax.Flashbax,
}


def installed() -> list[str]:
    """Gives the peers that can be measured here."""
    return [who for who in SINKS if who != FLASHBAX or importlib.util.find_spec("flashbax")]
