"""The least a durable flush can cost: the bytes appended to one file with one call, and one `fdatasync`."""

import os
from pathlib import Path

import numpy as np

from ..data import Steps, Workload


class Raw:
    """Appends bytes to a file."""

    def __init__(self, path: Path, work: Workload) -> None:
        del work
        path.mkdir(parents=True)
        self._file = os.open(path / "steps", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        self._parts: list[memoryview] = []

    def prepare(self, steps: Steps) -> None:
        self._parts = [memoryview(leaf.reshape(-1).view(np.uint8)) for leaf in steps.values()]

    def flush(self) -> None:
        written = os.writev(self._file, self._parts)
        assert written == sum(map(len, self._parts))
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)
