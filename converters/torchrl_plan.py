"""What becomes of the tensors of TorchRL's data: leaves, flags, final rows, and where episodes end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from ..vault.tree import component
from .tensordict import Tensor, TensorFolder
from .trajectories import flags_of

Keys = tuple[str, ...]

NEXT = "next"
FLAGS = ("done", "terminated", "truncated")
_TRAJECTORIES: tuple[Keys, ...] = (("collector", "traj_ids"), ("traj_ids",), ("episode",))
NUMBERS = tuple("/".join(keys) for keys in _TRAJECTORIES)  # the leaves that they become


@dataclass(frozen=True)
class Flags:
    """Why steps are an episode's last, bool `[rows of the flattened batch]` each.

    Attributes:
      terminated: the MDP ended.
      truncated: somebody stopped it.
      last: the episode ends here, for these reasons or because another trajectory begins.
    """

    terminated: NpArray
    truncated: NpArray
    last: NpArray


@dataclass(frozen=True)
class Plan:
    """What becomes of a folder.

    Attributes:
      folder: it.
      streams: rows of the flattened batch, of each stream, in order.
      leaves: keys of each leaf.
      finals: keys under `next` that final rows are taken from, by the leaf's name.
      flags: of all rows.
      derived: whether what is under `next` is left out.
      zero_finals: whether all final rows are zeros, so that none is known.
      squeezed: leaves that have an axis of length 1 in the folder.
    """

    folder: TensorFolder
    streams: Sequence[NpArray]
    leaves: Mapping[str, Keys]
    finals: Mapping[str, Keys]
    flags: Flags
    derived: bool
    zero_finals: bool
    squeezed: frozenset[str]

    def example(self) -> dict[str, NpArray]:
        """Gives one step."""
        made: dict[str, NpArray] = {}
        for name, keys in self.leaves.items():
            tensor = self.folder.tensors[keys]
            shape = () if name in self.squeezed else tensor.shape[len(self.folder.batch) :]
            made[name] = np.zeros(shape, tensor.dtype)
        return made | {name: np.zeros((), np.bool_) for name in FLAGS[1:]}

    def rows(self, keys: Keys, rows: NpArray) -> NpArray:
        """Reads rows of a tensor, `[n, ...]`."""
        values = np.asarray(flat(self.folder, keys)[rows])
        return values.reshape(len(rows)) if self._is_squeezed(keys) else values

    def _is_squeezed(self, keys: Keys) -> bool:
        return any(self.leaves.get(name) == keys for name in self.squeezed)

    def episodes(self) -> Iterator[tuple[NpArray, bool, bool]]:
        """Yields each episode's rows, and whether it terminated and was truncated."""
        for rows in self.streams:
            start = 0
            for stop in [*(np.flatnonzero(self.flags.last[rows]) + 1).tolist(), len(rows)]:
                if stop > start:
                    last = rows[stop - 1]
                    yield (
                        rows[start:stop],
                        bool(self.flags.terminated[last]),
                        bool(self.flags.truncated[last]),
                    )
                start = stop


def plan_of(folder: TensorFolder, streams: Sequence[NpArray], path: Path, *, keep_next: bool) -> Plan:
    """Says what becomes of a folder's tensors.

    Raises:
      FormatError: if a tensor has not the batch's axes, or a flag is none.
    """
    tensors, batch = folder.tensors, folder.batch
    if not tensors:
        raise FormatError(f"{path} holds no tensors that can be read: {list(folder.ignored)} are none.")
    for keys, tensor in tensors.items():
        if tensor.shape[: len(batch)] != batch:
            raise FormatError(
                f"`{'/'.join(keys)}` of {path} must have the batch's axes {list(batch)} first: its shape is "
                f"{list(tensor.shape)}. The folder was written by halves; fetch or save it again."
            )
    prefix: Keys = (NEXT,) if any(keys[0] == NEXT for keys in tensors) else ()
    flags = _flags(folder, streams, prefix, path)
    leaves: dict[str, Keys] = {}
    finals: dict[str, Keys] = {}
    for keys, tensor in tensors.items():
        name = _name(folder, keys, prefix)
        if name is None:
            continue
        ahead = (NEXT, *keys)
        if ahead in tensors and _alike(tensor, tensors[ahead]):
            finals[name] = ahead
        leaves[name] = keys
    if not keep_next:
        leaves = {name: keys for name, keys in leaves.items() if keys not in finals.values()}
    if not leaves:
        raise FormatError(f"{path} holds flags alone: there are no steps in it.")
    squeezed = frozenset(
        name for name, keys in leaves.items() if name == "reward" and tensors[keys].shape == (*batch, 1)
    )
    plan = Plan(
        folder,
        streams,
        leaves,
        finals,
        flags,
        derived=bool(finals) and not keep_next,
        zero_finals=False,
        squeezed=squeezed,
    )
    return replace(plan, zero_finals=_has_zero_finals(plan))


def flat(folder: TensorFolder, keys: Keys) -> NpArray:
    """Maps a tensor with the batch's axes made one."""
    tensor = folder.tensors[keys]
    count = int(np.prod(folder.batch))  # not -1: a leaf may have no numbers
    return tensor.open().reshape(count, *tensor.shape[len(folder.batch) :])


def _name(folder: TensorFolder, keys: Keys, prefix: Keys) -> str | None:
    """Names the leaf that a tensor becomes; the flags, and false ones of the state before, become none."""
    *above, last = keys
    if tuple(above) == prefix and last in FLAGS:
        return None
    if prefix and not above and last in FLAGS:
        return None if not flat(folder, keys).any() else f"before/{last}"
    if keys == (*prefix, "reward"):
        return "reward"
    return "/".join(component(key) for key in keys)


def _alike(one: Tensor, other: Tensor) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape)


def _flags(folder: TensorFolder, streams: Sequence[NpArray], prefix: Keys, path: Path) -> Flags:
    count = int(np.prod(folder.batch))
    found: dict[str, NpArray] = {}
    for flag in FLAGS:
        keys = (*prefix, flag)
        if keys in folder.tensors:
            values = flat(folder, keys)
            if values.size != count:
                raise FormatError(
                    f"`{'/'.join(keys)}` of {path} must hold one flag a step: its shape is "
                    f"{list(values.shape)}. Make one of many agents' flags first."
                )
            raw = values.view(np.uint8) if values.dtype == np.bool_ else values
            found[flag] = flags_of(raw, f"`{'/'.join(keys)}` of {path}")
    none = np.zeros(count, np.bool_)
    done = found.get("done", none)
    truncated = found.get("truncated", none)
    terminated = found.get("terminated", done & ~truncated)
    if "truncated" not in found:
        truncated = done & ~terminated
    return Flags(terminated, truncated, done | terminated | truncated | _changes(folder, streams, count))


def _changes(folder: TensorFolder, streams: Sequence[NpArray], count: int) -> NpArray:
    """Marks the rows after which another trajectory begins, bool `[count]`."""
    marks = np.zeros(count, np.bool_)
    for keys in _TRAJECTORIES:
        tensor = folder.tensors.get(keys)
        if tensor is None or tensor.dtype.kind not in "iu":
            continue
        numbers = flat(folder, keys).reshape(count, -1)
        for rows in streams:
            marks[rows[:-1]] |= (numbers[rows[1:]] != numbers[rows[:-1]]).any(axis=1)
    return marks


def _has_zero_finals(plan: Plan) -> bool:
    """Says whether all final rows are zeros, as TorchRL's own converters of datasets leave them.

    Those of episodes that were cut count only where there are no others.
    """
    found = list(plan.episodes())
    ended = [rows[-1] for rows, terminated, truncated in found if terminated or truncated]
    ends = ended or [rows[-1] for rows, _, _ in found]
    tensors = plan.folder.tensors
    if not ends or not plan.finals or any(tensors[keys].dtype.kind in "iub" for keys in plan.finals.values()):
        return False
    zero = all(not flat(plan.folder, keys)[ends].any() for keys in plan.finals.values())
    return zero and any(flat(plan.folder, plan.leaves[name])[ends].any() for name in plan.finals)
