"""Chunked D4RL files: groups `virtual/<i>`, each with rows of every key.

```
# observations            [N, ...]     the file's rows
# virtual/0/observations  [n0, ...]    the same rows, in pieces that fit into memory
# virtual/1/observations  [n1, ...]
```
Where the keys stand at the top too, the pieces are those rows once more; where they do not, the pieces are
the file. `chunk=` reads one piece by itself, as D4RL's `get_dataset_chunk` does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from . import hdf5

VIRTUAL = "virtual/"


class Joined:
    """Datasets end to end, read as one.

    Args:
      parts: datasets of one dtype and row shape.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self._parts = parts
        self._stops = np.cumsum([len(part) for part in parts])
        self.name, self.file, self.dtype = parts[0].name, parts[0].file, parts[0].dtype
        self.shape: tuple[int, ...] = (int(self._stops[-1]), *parts[0].shape[1:])
        self.ndim = len(self.shape)

    def __getitem__(self, rows: Any) -> NpArray:
        """Returns a slice of the rows, or all of them for `()`."""
        start, stop, _ = (slice(None) if rows == () else rows).indices(self.shape[0])
        found: list[NpArray] = []
        begin = 0
        for part, end in zip(self._parts, self._stops.tolist(), strict=True):
            low, high = max(start, begin) - begin, min(stop, end) - begin
            if low < high:
                found.append(part[low:high])
            begin = end
        return np.concatenate(found) if found else np.zeros((0, *self.shape[1:]), self.dtype)


def nodes(file: Any, chunk: int | None = None) -> dict[str, Any]:
    """Returns what an open file's keys hold, chunks put together or one by itself.

    Args:
      file: an `h5py.File`.
      chunk: number of the only one to read; None reads all rows.

    Raises:
      FormatError: if the chunks have different keys, dtypes or shapes.
      ValueError: if there is no such chunk.

    Example:
      >>> import h5py
      >>> with h5py.File("pieces.hdf5", "w") as file:
      ...     for number in (10, 9):
      ...         file[f"virtual/{number}/rewards"] = np.full(2, number)
      ...     print(nodes(file)["rewards"][1:3], nodes(file, 10)["rewards"][()])
      [ 9 10] [10 10]
    """
    found = hdf5.datasets(file)
    chunks = _chunks(found)
    flat = {key: node for key, node in found.items() if not key.startswith(VIRTUAL)}
    if not chunks:
        if chunk is not None:
            raise ValueError(f"`chunk` is for chunked files: {file.filename} has no group `virtual`.")
        return found
    if chunk is not None:
        if chunk not in chunks:
            raise ValueError(f"`chunk` must be one of {sorted(chunks)} in {file.filename}; got {chunk}.")
        return dict(chunks[chunk])
    if all(key in flat for one in chunks.values() for key in one):
        return flat
    joined = [chunks[number] for number in sorted(chunks)]
    _check(joined, file)
    return dict(sorted({**flat, **{key: Joined([one[key] for one in joined]) for key in joined[0]}}.items()))


def _chunks(found: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    chunks: dict[int, dict[str, Any]] = {}
    for key, node in found.items():
        _, number, rest = ([*key.split("/", 2), "", ""])[:3]
        if key.startswith(VIRTUAL) and number.isdecimal() and rest:
            chunks.setdefault(int(number), {})[rest] = node
    return chunks


def _check(chunks: Sequence[Mapping[str, Any]], file: Any) -> None:
    kinds = [{key: (node.dtype, node.shape[1:]) for key, node in chunk.items()} for chunk in chunks]
    for number, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise FormatError(
                f"Chunk {number} of {file.filename} has {kind} where the first has {kinds[0]}: chunks are "
                "pieces of the same columns."
            )
    scalars = [key for key, node in chunks[0].items() if node.ndim == 0]
    if scalars:
        raise FormatError(f"`{VIRTUAL}…/{scalars[0]}` of {file.filename} must have rows; it is one value.")
