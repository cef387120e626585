"""HDF5 as D4RL and Minari lay it out: a dataset a leaf that grows, flushed, then the file synced."""

import os
from pathlib import Path

import h5py
import numpy as np

from ..data import Steps, Workload

_CHUNK_BYTES = 1 << 16  # of 64 KiB, 1 MiB and h5py's own choice the fastest for flushes of 1,000 steps
_FRAMES_A_CHUNK = 40  # divides a flush, so that no chunk is compressed twice


class Hdf5:
    """Appends to resizable datasets `[T, B, ...]`; frames are compressed with gzip-4."""

    def __init__(self, path: Path, work: Workload) -> None:
        path.mkdir(parents=True)
        self._file = h5py.File(path / "steps.h5", "w")
        self._compress = work.frames
        self._steps: dict[str, np.ndarray] = {}

    def prepare(self, steps: Steps) -> None:
        self._steps = {name: np.ascontiguousarray(leaf.swapaxes(0, 1)) for name, leaf in steps.items()}
        if not len(self._file):
            for name, leaf in self._steps.items():
                self._make(name, leaf)

    def _make(self, name: str, leaf: np.ndarray) -> None:
        row = leaf[0].nbytes
        frames = self._compress and row > 1024
        self._file.create_dataset(
            name,
            shape=(0, *leaf.shape[1:]),
            maxshape=(None, *leaf.shape[1:]),
            chunks=(_FRAMES_A_CHUNK if frames else max(1, _CHUNK_BYTES // row), *leaf.shape[1:]),
            dtype=leaf.dtype,
            compression=4 if frames else None,
        )

    def flush(self) -> None:
        for name, leaf in self._steps.items():
            dataset = self._file[name]
            at = len(dataset)
            dataset.resize(at + len(leaf), 0)
            dataset[at:] = leaf
        self._file.flush()
        os.fsync(self._file.id.get_vfd_handle())

    def close(self) -> None:
        self._file.close()
