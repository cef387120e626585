"""TensorDict's folders of memory-mapped tensors, read with NumPy alone.

```
# meta.json            {"observation": {"shape": [T, 3], "dtype": "torch.float32"}, ...}
# observation.memmap   its bytes, in C order
# next/                the same once more
```
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray, parse_dtype
from ..vault.errors import FormatError

META = "meta.json"
SUFFIX = ".memmap"
TORCH = "torch."
_TREE, _FACT = "TensorDict", "NonTensorData"
_RENAMED = {
    "torch.half": "float16",
    "torch.float": "float32",
    "torch.double": "float64",
    "torch.long": "int64",
}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a folder.

    Attributes:
      path: of its file.
      dtype: NumPy's, or ml_dtypes'.
      shape: the batch's axes first.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def open(self) -> NpArray:
        """Maps the file, to be read in pieces.

        Raises:
          FormatError: if the file is missing or too short.
        """
        size = self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))
        there = self.path.stat().st_size if self.path.is_file() else -1
        if there < size:
            raise FormatError(
                f"{self.path} must hold {size} bytes, {self.dtype} {list(self.shape)}: "
                + ("there is no such file." if there < 0 else f"it has {there}.")
                + " Fetch or copy the folder again."
            )
        if not size:
            return np.zeros(self.shape, self.dtype)
        flat = np.memmap(self.path, np.uint8, "r", shape=(size,))
        return np.asarray(flat).view(self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class TensorFolder:
    """A TensorDict on disk.

    Attributes:
      batch: its batch's shape.
      tensors: by keys.
      facts: values that are no tensors, by `/`-joined keys.
      ignored: what is not read: pickles, and tensors of other kinds.
    """

    batch: tuple[int, ...]
    tensors: Mapping[tuple[str, ...], Tensor]
    facts: Mapping[str, Any]
    ignored: tuple[str, ...]


def is_tensordict(path: Path) -> bool:
    """Says whether a folder is a TensorDict's.

    Example:
      >>> is_tensordict(Path("nowhere"))
      False
    """
    file = path / META
    if not file.is_file():
        return False
    try:
        meta = json.loads(file.read_text("utf-8"))
    except ValueError:
        return False
    return isinstance(meta, dict) and {"shape", "_type"} <= meta.keys()


def open_tensordict(path: Path) -> TensorFolder:
    """Opens a folder, having read what describes it.

    Raises:
      FormatError: if it does not describe tensors, or those of a kind that is not known.

    Example:
      >>> leaf = {"shape": [2], "dtype": "torch.float32", "is_nested": False}
      >>> _ = Path("meta.json").write_text(json.dumps({"reward": leaf, "shape": [2], "_type": "TensorDict"}))
      >>> _ = Path("reward.memmap").write_bytes(np.ones(2, np.float32).tobytes())
      >>> open_tensordict(Path()).tensors["reward",].open()
      array([1., 1.], dtype=float32)
    """
    tensors: dict[tuple[str, ...], Tensor] = {}
    facts: dict[str, Any] = {}
    ignored: list[str] = []
    batch = _walk(path, (), tensors, facts, ignored)
    return TensorFolder(batch, tensors, facts, tuple(ignored))


def _walk(
    path: Path,
    keys: tuple[str, ...],
    tensors: dict[tuple[str, ...], Tensor],
    facts: dict[str, Any],
    ignored: list[str],
) -> tuple[int, ...]:
    meta = _meta(path)
    for key, described in meta.items():
        below = (*keys, key)
        if not isinstance(described, dict):
            continue
        if "dtype" in described:
            tensors[below] = _tensor(path / f"{key}{SUFFIX}", described)
        elif described.get("type") == _TREE:
            _walk(path / key, below, tensors, facts, ignored)
        elif described.get("type") == _FACT and "data" in (inner := _meta(path / key)):
            facts["/".join(below)] = inner["data"]
        else:
            ignored.append("/".join(below))
    return tuple(meta.get("shape", ()))


def _meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads((path / META).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(
            f"{path / META} does not describe a TensorDict: {error}. Fetch it again."
        ) from error
    if not isinstance(meta, dict):
        raise FormatError(f"{path / META} must be a JSON object, as TensorDict writes it. Fetch it again.")
    return meta


def _tensor(path: Path, described: Mapping[str, Any]) -> Tensor:
    name = str(described["dtype"])
    if described.get("is_nested"):
        raise FormatError(
            f"{path} is a nested tensor, of rows of many lengths. Save it padded, or leave it out."
        )
    try:
        dtype = parse_dtype(_RENAMED.get(name, name.removeprefix(TORCH)))
        shape = tuple(int(length) for length in described["shape"])
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError(f"{path} is described by what is not known: {described} ({error}).") from error
    return Tensor(path, dtype, shape)
