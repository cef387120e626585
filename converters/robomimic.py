"""robomimic's HDF5 files, and the raw ones that robosuite records: a group a demonstration.

```
#                       |<--- demo_0 --->|
# obs/<key>           : [o0, o1, ..., oT-1]     -> observation/<key>
# next_obs/<key>      : [o1, o2, ..., oT]       -> final (oT), where the rest is the rows above
# actions, rewards    : [ .,  ., ...,  .]       -> action, reward
# dones               : [ 0,  0, ...,  1]       -> terminated
# states, anything    : [ .,  ., ...,  .]       -> states, ...
```
A raw file has states and actions only; `mask/<name>` becomes the column `mask_<name>`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from ..vault.tree import component
from . import hdf5
from .bad import Bad
from .json_arrays import exact_json
from .minari_raw import skipped
from .recorded import Recorded, blocks_of
from .source import ReadAgain, Source

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "robomimic"
OPTIONS = ("skip", "keep_next_observation")
LEAVES = {"actions": "action", "rewards": "reward", "dones": "terminated"}
GROUPS = {"obs": "observation", "next_obs": "next_observation"}
MASK = "mask_"  # of the columns
UNKNOWN = "final_unknown"  # attribute of a demonstration whose last `next_obs` is a filler
OURS = "strongbax"  # attribute with the facts that HDF5 has no place for, JSON
FLAT = {  # robomimic's name for an observation without parts
    "observation": "observation/flat",
    "next_observation": "next_observation/flat",
}
_NEXT = "next_observation/"


def detect(path: Path) -> bool:
    """Says whether a file has robomimic's group `data` with demonstrations in it.

    Example:
      >>> detect(Path("nowhere.hdf5"))
      False
    """
    if not hdf5.is_hdf5(path):
        return False
    with hdf5.open_hdf5(path) as file:
        group = file.get("data")
        return hasattr(group, "keys") and any("actions" in group[key] for key in list(group)[:1])


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,
    *,
    skip: Sequence[str] = (),
    keep_next_observation: bool = False,
    bad: Bad | None = None,
) -> Source:
    """Opens a robomimic or raw robosuite file as a source.

    Args:
      path: of the file.
      entry: what the catalogue knows of it.
      skip: leaves, or groups of them, to leave out: `("states", "observation/agentview_image")`.
      keep_next_observation: store `next_obs` row by row; done unasked where it is not the rows one on.
      bad: takes what cannot be read and may be left out; none may by default.

    Raises:
      FormatError: if the file is not what robomimic's are, now or while it is read.

    Example:
      >>> import h5py
      >>> with h5py.File("demo.hdf5", "w") as file:
      ...     file["data/demo_1/actions"] = np.zeros((4, 2))
      ...     file["data/demo_1/obs/eef"] = np.zeros((4, 3))
      >>> sorted(read(Path("demo.hdf5")).example)
      ['action', 'observation/eef']
    """
    del entry
    bad = bad or Bad()
    file = _File(path, (skip,) if isinstance(skip, str) else tuple(skip), keep_next_observation)
    with hdf5.open_hdf5(path) as opened:
        demos = file.demos(opened)
        lengths = [bad.tried(n, partial(file.length, opened["data"][d]), 0) for n, d in enumerate(demos)]
        masks = _masks(opened)
        facts = {"demos": len(demos), "keys": file.keys(opened["data"][demos[0]])}
        about = {key: hdf5.attribute(value) for key, value in opened["data"].attrs.items()}
    file = replace(file, flat=bool(json.loads(about.pop(OURS, "{}")).get("flat")))
    lenient = replace(file, check=False)
    first = bad.first(range(len(demos)), lambda unit: next(lenient.episodes(masks, unit, unit + 1)))
    example: dict[str, NpArray] = {n: np.zeros(v.shape[1:], v.dtype) for n, v in first.steps.items()}
    finals = tuple(name for name in (first.final or file.finals) if name in example)
    columns = {MASK + name: np.dtype(np.bool_) for name in masks}
    remarks = (
        []
        if any(n.startswith("observation") for n in example)
        else ["The file has no observations: it is a raw recording. robosuite gives them from `states`."]
    )
    return Source(
        example=example,
        lengths=np.array(lengths),
        finals=finals,
        blocks=blocks_of(partial(file.episodes, masks), len(lengths), example, finals, columns),
        facts=facts
        | {"next_obs": "final rows" if finals else "kept" if keep_next_observation else "absent"}
        | {"remarks": remarks},
        attributes={NAME: about},
        columns=columns,
        card={"env_spec": about["env_args"]} if isinstance(about.get("env_args"), str) else {},
    )


@dataclass(frozen=True)
class _File:
    """A file, and what is wanted of it."""

    path: Path
    skip: Sequence[str]
    keep: bool
    check: bool = True
    flat: bool = False  # by our own writer's note: `obs/flat` is an observation without parts

    def demos(self, file: Any) -> list[str]:
        """The demonstrations by their numbers: HDF5 has `demo_10` before `demo_2`."""
        if not len(file.get("data", ())):
            raise FormatError(f"{self.path} has no demonstrations in a group `data`; it has {list(file)}.")
        return sorted(file["data"], key=lambda name: (_number(name), name))

    def length(self, demo: Any) -> int:
        """Steps of a demonstration."""
        shape = getattr(demo.get("actions"), "shape", ())
        if not shape:
            raise FormatError(
                f"`{demo.name.strip('/')}` of {self.path} has no `actions`; it has {list(demo)}."
            )
        length = int(shape[0])
        said = demo.attrs.get("num_samples", length)
        if said != length:
            raise FormatError(
                f"`{demo.name.strip('/')}` of {self.path} has {length} actions; `num_samples` says {said}. "
                "The file was cut while it was written; fetch or copy it again."
            )
        return length

    def keys(self, demo: Any) -> dict[str, Any]:
        """What stands in a demonstration, for the card."""
        return {
            key.removeprefix(demo.name + "/"): {"dtype": node.dtype.str, "shape": list(node.shape)}
            for key, node in ((node.name, node) for node in hdf5.datasets(demo).values())
        }

    @property
    def finals(self) -> tuple[str, ...]:
        """Leaves with final rows, where the first demonstration knows none of them."""
        with hdf5.open_hdf5(self.path) as file:
            demo = file["data"][self.demos(file)[0]]
            names = [] if self.keep else [self._name(key) for key in hdf5.datasets(demo)]
        after = [n.removeprefix(_NEXT) for n in names if n.startswith(_NEXT)]
        return tuple(self._whole({f"observation/{name}": None for name in after}))

    def episodes(self, masks: Mapping[str, set[str]], start: int, stop: int) -> Iterator[Recorded]:
        """Yields the demonstrations `[start, stop)`."""
        with hdf5.open_hdf5(self.path) as file:
            for name in self.demos(file)[start:stop]:
                demo = file["data"][name]
                columns = {MASK + mask: name in members for mask, members in masks.items()}
                yield self._recorded(name, demo, self.length(demo), columns)

    def _name(self, key: str) -> str:
        top, *rest = key.split("/")
        if not rest and top in LEAVES:
            return LEAVES[top]
        return "/".join([GROUPS.get(top, component(top)), *map(component, rest)])

    def _recorded(self, name: str, demo: Any, length: int, columns: Mapping[str, bool]) -> Recorded:
        steps: dict[str, NpArray] = {}
        single: dict[str, Any] = {}
        for key, node in hdf5.datasets(demo).items():
            leaf = self._name(key)
            if skipped(leaf, self.skip) or skipped(leaf.removeprefix("next_"), self.skip):
                continue
            values = self._values(demo, key, node, length)
            if node.ndim:
                steps[leaf] = values
            else:
                single[leaf] = exact_json(values)
        final = None if self.keep else self._final(name, steps)
        known = final and UNKNOWN not in demo.attrs
        own = {k: hdf5.attribute(v) for k, v in demo.attrs.items() if k not in ("num_samples", UNKNOWN, OURS)}
        attributes = own | json.loads(demo.attrs.get(OURS, "{}"))
        terminated = bool(length and "terminated" in steps and steps["terminated"][-1])
        return Recorded(
            self._whole(steps),
            terminated=terminated,
            truncated=not terminated,
            final=self._whole(final) if final and known else None,
            columns=columns,
            attributes={"demo": name} | attributes | ({"leaves": single} if single else {}),
        )

    def _whole(self, leaves: Mapping[str, Any]) -> dict[str, Any]:
        """The leaves, an observation that was written as `flat` called as it was."""
        names = {name: whole for whole, name in FLAT.items()} if self.flat else {}
        return {names.get(name, name): values for name, values in leaves.items()}

    def _values(self, demo: Any, key: str, node: Any, length: int) -> NpArray:
        dtype, shape = node.dtype, node.shape
        if dtype.kind not in "biufcS" or dtype.names:
            raise self._bad(demo, key, f"must hold numbers; its type is {dtype}")
        if shape and shape[0] != length:
            raise self._bad(demo, key, f"has {shape[0]} rows where `actions` has {length}")
        values = hdf5.read(node)
        if key in ("rewards", "dones") and values.ndim > 1 and values.size == length:
            values = values.reshape(length)
        if key == "dones":
            if values.ndim != 1 or not ((values == 0) | (values == 1)).all():
                raise self._bad(demo, key, "must be 0 or 1, one a step")
            values = values != 0
        return values

    def _bad(self, demo: Any, key: str, what: str) -> FormatError:
        return FormatError(
            f"`{key}` of `{demo.name.strip('/')}` in {self.path} {what}. "
            f"Leave it out with `skip=({self._name(key)!r},)`, or mend the file."
        )

    def _final(self, demo: str, steps: dict[str, NpArray]) -> dict[str, NpArray] | None:
        """Takes `next_obs` out of the steps, and gives its last rows."""
        after = {n.removeprefix(_NEXT): steps.pop(n) for n in list(steps) if n.startswith(_NEXT)}
        for key, rows in after.items():
            own = steps.get(f"observation/{key}")
            alike = own is not None and (own.dtype, own.shape) == (rows.dtype, rows.shape)
            if self.check and (not alike or own is None or own[1:].tobytes() != rows[:-1].tobytes()):
                raise ReadAgain(
                    f"`next_obs/{key}` of `{demo}` in {self.path.name} is not the observations one row on, "
                    "so all of `next_obs` is kept as the leaves `next_observation`.",
                    keep_next_observation=True,
                )
        if not after or not len(next(iter(after.values()))):
            return None
        return {f"observation/{key}": rows[-1] for key, rows in after.items()}


def _number(name: str) -> float:
    digits = name.removeprefix("demo_")
    return int(digits) if digits.isdecimal() else float("inf")


def _masks(file: Any) -> dict[str, set[str]]:
    if "mask" not in file:
        return {}
    return {
        name: {value.decode() if isinstance(value, bytes) else str(value) for value in node[()]}
        for name, node in file["mask"].items()
    }
