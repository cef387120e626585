"""Minari's HDF5 storage: one file, one group an episode.

```
# main_data.hdf5/episode_0/ observations [T+1, ...] or a group of them (Dict by key, Tuple by _index_0)
#                           actions [T, ...]   rewards [T]   terminations [T]   truncations [T]
#                           infos/...          attributes: id, total_steps, seed, options/..., ...
```
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from ..vault.tree import component
from . import hdf5
from .minari_raw import COUNTS, FLAGS, Raw, Scan, flags, hang, pictures, skipped, texts
from .minari_spaces import Space, child, is_image, shape_of

FILE = "main_data.hdf5"
OURS = "strongbax"  # a dataset in an episode's group: what Minari has no place for, JSON
_INDEX = "_index_"
_PARTS = {"observations": "observation", "actions": "action", "infos": "infos"}


@dataclass(frozen=True)
class Hdf5Storage:
    """The file.

    Attributes:
      path: of the file.
      count: episodes that the metadata speaks of.
      spaces: of observation and action, by these names.
      skip: leaves, or groups of them, to leave out.
    """

    path: Path
    count: int
    spaces: dict[str, Space | None]
    skip: Sequence[str] = ()

    def more(self) -> int:
        """Counts the episodes that the metadata does not speak of."""
        with hdf5.open_hdf5(self.path) as file:
            return max(0, sum(key.startswith("episode_") for key in file) - self.count)

    def scan(self, start: int = 0) -> Iterator[Scan]:
        """Yields what each episode is like from one on, from rewards and texts only."""
        with hdf5.open_hdf5(self.path) as file:
            for number in range(start, self.count):
                group = self._group(file, number)
                rewards = self._column(group, "rewards")
                found = dict(self._nodes(group))
                widths = {
                    name: texts(_rows(node), self._where(node)).dtype.itemsize // 4
                    for name, (node, _) in found.items()
                    if _is_text(node) and node.ndim == 1
                }
                nans = int(np.isnan(rewards).sum()) if rewards.dtype.kind == "f" else 0
                following = frozenset(
                    name for name, (node, _) in found.items() if node.shape[:1] == (len(rewards) + 1,)
                )
                yield Scan(len(rewards), nans, widths, following)

    def episodes(self, start: int, stop: int) -> Iterator[Raw]:
        """Yields the episodes `[start, stop)`."""
        with hdf5.open_hdf5(self.path) as file:
            for number in range(start, stop):
                group = self._group(file, number)
                leaves: dict[str, NpArray] = {}
                jpeg: list[str] = []
                ours = _ours(group)
                facts = _facts(group)
                for place, value in ours.get("attributes", []):
                    hang(facts, place, value)
                for name, (node, space) in self._nodes(group):
                    leaves[name] = self._values(node, space)
                    if _is_jpeg(node, space):
                        jpeg.append(name)
                leaves["reward"] = self._column(group, "rewards")
                for key, name in FLAGS.items():
                    leaves[name] = flags(self._column(group, key), f"`{key}` of {self._where(group)}")
                ends = tuple(ours.get("ends", (False, False)))
                yield Raw(leaves, facts, tuple(jpeg), ours.get("final_known", True), ends)

    def _group(self, file: Any, number: int) -> Any:
        key = f"episode_{number}"
        if key not in file:
            raise FormatError(
                f"{self.path} has no `{key}`: the metadata speaks of {self.count} episodes, 0 to "
                f"{self.count - 1}. The file was cut while it was written; fetch or copy it again."
            )
        return file[key]

    def _column(self, group: Any, key: str) -> NpArray:
        node = group.get(key)
        if not hasattr(node, "shape"):
            raise FormatError(
                f"`{group.name.strip('/')}` of {self.path} has no `{key}`; it has {', '.join(group)}."
            )
        values = hdf5.read(node)
        if values.ndim != 1:
            raise FormatError(f"`{key}` of {self._where(group)} must be one number a step: {values.shape}.")
        return values

    def _nodes(self, group: Any) -> Iterator[tuple[str, tuple[Any, Space | None]]]:
        for key in ("observations", "actions"):
            if key not in group:
                raise FormatError(
                    f"`{group.name.strip('/')}` of {self.path} has no `{key}`; it has {', '.join(group)}."
                )
        known = {*_PARTS, "rewards", *FLAGS, OURS}
        for key in group:
            name = _PARTS.get(key, component(key))
            if (key in _PARTS or key not in known) and not skipped(name, self.skip):
                yield from self._below(group[key], self.spaces.get(name), name)

    def _below(
        self, node: Any, space: Space | None, name: str
    ) -> Iterator[tuple[str, tuple[Any, Space | None]]]:
        if hasattr(node, "shape"):
            yield name, (node, space)
            return
        for key in node:
            part = key.removeprefix(_INDEX) if space is not None and space["type"] == "Tuple" else key
            below = f"{name}/{component(part)}"
            if not skipped(below, self.skip):
                yield from self._below(node[key], child(space, part), below)

    def _values(self, node: Any, space: Space | None) -> NpArray:
        if _is_jpeg(node, space):
            assert space is not None
            return pictures(_rows(node), shape_of(space), self._where(node))
        if _is_text(node):
            return texts(_rows(node), self._where(node)) if node.ndim == 1 else np.array(node.asstr()[()])
        if node.dtype.kind not in "biufcS" or node.dtype.names:
            raise FormatError(
                f"{self._where(node)} must hold numbers or texts, one row a step; it is {node.dtype} "
                f"{node.shape}. Leave it out with `skip=`."
            )
        return hdf5.read(node)

    def _where(self, node: Any) -> str:
        return f"`{node.name.strip('/')}` of {self.path}"


def _rows(node: Any) -> list[Any]:
    try:
        return list(node[()])
    except OSError as error:
        raise FormatError(
            f"`{node.name.strip('/')}` of {node.file.filename} cannot be read: {error}. The file is damaged; "
            "fetch or copy it again."
        ) from error


def _is_text(node: Any) -> bool:
    import h5py

    return h5py.check_string_dtype(node.dtype) is not None and node.dtype.kind == "O"


def _is_jpeg(node: Any, space: Space | None) -> bool:
    # By what stands there: no flag says so before Minari 0.5.4, and raw pictures have the space's axes.
    return space is not None and is_image(space) and node.ndim <= len(shape_of(space))


def _facts(group: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for key, value in group.attrs.items():
        if key in COUNTS:
            continue
        hang(facts, key.split("/"), hdf5.attribute(value))
    return facts


def _ours(group: Any) -> dict[str, Any]:
    return json.loads(group[OURS][()]) if OURS in group else {}
