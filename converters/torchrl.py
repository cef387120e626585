"""TorchRL's data: folders of `TensorDict.memmap`, and of `ReplayBuffer.dumps`.

```
# observation       : [o0, o1, o2,  o0, ...]    -> observation
# action            : [a0, a1, a2,  a0, ...]    -> action
# next/observation  : [o1, o2, o3,  o1, ...]    -> final (o3), the rest is derived
# next/reward, next/terminated, next/truncated  -> reward, terminated, truncated
# done, terminated, truncated: of the state before; false inside an episode, so left out
```
A buffer is a ring: its steps are read in the order in which they were written, without the empty slots behind
them. A batch of two axes is many streams, each read to its end.
"""

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .following import derivable, keep
from .recorded import Recorded, blocks_of
from .source import Source
from .tensordict import is_tensordict, open_tensordict
from .torchrl_plan import Plan, plan_of

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "torchrl"
OPTIONS = ("keep_next_observation",)
STORAGE, WRITER = "storage", "writer/metadata.json"
STORED = f"{STORAGE}/storage_metadata.json"


def detect(path: Path) -> bool:
    """Says whether a folder is a TensorDict's or a dumped buffer's.

    Example:
      >>> detect(Path("nowhere"))
      False
    """
    return is_tensordict(path) or ((path / STORED).is_file() and is_tensordict(path / STORAGE))


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,  # noqa: ARG001 - as every format's
    *,
    keep_next_observation: bool = False,
) -> Source:
    """Opens a folder as a source.

    Args:
      path: of the folder.
      entry: what the catalogue knows of it.
      keep_next_observation: store what is under `next` row by row, even where the vault can derive it.
        Where it cannot, this is done unasked.

    Raises:
      FormatError: if the folder is not what TorchRL writes, now or while it is read.

    Example:
      >>> def described(*shape):
      ...     return {"shape": [2, *shape], "dtype": "torch.uint8", "is_nested": False}
      >>> keys = {"observation": described(), "reward": described(1), "done": described(1)}
      >>> _ = Path("meta.json").write_text(json.dumps(keys | {"shape": [2], "_type": "TensorDict"}))
      >>> for key in keys:
      ...     _ = Path(f"{key}.memmap").write_bytes(bytes([0, 1]))
      >>> [block.ends.stop.tolist() for block in read(Path()).blocks(2)]
      [[2]]
    """
    is_buffer = (path / STORED).is_file()
    folder = open_tensordict(path / STORAGE if is_buffer else path)
    rows = _ring(path, folder.batch) if is_buffer else _batch(path, folder.batch)
    plan = plan_of(folder, rows, path, keep_next=keep_next_observation)
    lengths = np.array([len(rows) for rows, _, _ in plan.episodes()])
    return Source(
        example=plan.example(),
        lengths=lengths,
        finals=tuple(plan.finals),
        blocks=blocks_of(partial(_episodes, plan, path), len(lengths), plan.example(), tuple(plan.finals)),
        facts={
            "layout": "ReplayBuffer.dumps" if is_buffer else "TensorDict.memmap",
            "batch": list(folder.batch),
            "left_out": list(folder.ignored),
            "derived": plan.derived,
            "zero_finals": plan.zero_finals,
            "scalars_with_an_axis": sorted(plan.squeezed),
        },
        attributes=dict(folder.facts),
    )


def _batch(path: Path, batch: tuple[int, ...]) -> list[NpArray]:
    """Gives the rows of each stream in a flattened batch `[T]` or `[B, T]`."""
    if len(batch) not in (1, 2) or 0 in batch:
        raise FormatError(
            f"A TensorDict of steps has the batch [T] or [B, T]; that of {path} is {list(batch)}. Save it "
            "reshaped."
        )
    return [*np.arange(int(np.prod(batch))).reshape(-1, batch[-1])]


def _ring(path: Path, batch: tuple[int, ...]) -> list[NpArray]:
    """Gives the rows of each stream of a buffer `[T]` or `[T, B]`, oldest first."""
    stored = _json(path / STORED)
    if stored.get("is_pytree") or len(batch) not in (1, 2) or "len" not in stored:
        raise FormatError(
            f"The buffer in {path} must hold a TensorDict of the batch [T] or [T, B]: its storage is "
            f"{stored}, {list(batch)}. Write its `storage[:]` with `TensorDict.memmap`."
        )
    streams = int(np.prod(batch[1:], dtype=np.int64))
    length = int(stored["len"]) // streams
    if not 0 < length <= batch[0]:
        raise FormatError(f"The buffer in {path} has {length} steps in {batch[0]} slots: nothing to convert.")
    cursor = int(_json(path / WRITER).get("cursor", 0)) if (path / WRITER).is_file() else 0
    order = np.arange(length)
    if length == batch[0]:
        order = np.roll(order, -(cursor % length))
    return [order * streams + stream for stream in range(streams)]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} is not what TorchRL writes: {error}. Fetch it again.") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path} must be a JSON object, as TorchRL writes it. Fetch it again.")
    return found


def _episodes(plan: Plan, path: Path, start: int, stop: int) -> Iterator[Recorded]:
    wanted = islice(plan.episodes(), start, stop)
    for number, (rows, terminated, truncated) in enumerate(wanted, start):
        steps = {name: plan.rows(keys, rows) for name, keys in plan.leaves.items()}
        flags = {"terminated": plan.flags.terminated[rows], "truncated": plan.flags.truncated[rows]}
        following = {name: plan.rows(keys, rows) for name, keys in plan.finals.items()}
        if plan.derived and not derivable(steps, following):
            keep(path.name, number, "next")
        final = {name: values[-1] for name, values in following.items()}
        if not final or (plan.zero_finals and not any(values.any() for values in final.values())):
            final = None
        yield Recorded(steps | flags, terminated=terminated, truncated=truncated, final=final)
