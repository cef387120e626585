"""TorchRL's data, written: folders that `TensorDict.load_memmap` opens, or `ReplayBuffer.loads`.

Steps stand as TorchRL's TED has them: what an action led to, and why the episode ended, is under `next`.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from ..vault.contents import Contents
from ..vault.dtypes import NpArray
from ..vault.files import storage_errors
from ..vault.roles import OBSERVATIONS
from . import torchrl
from .left_out import left_out
from .outgoing import Outgoing, outgoing
from .readback import compare
from .recorded import Recorded
from .tensordict_out import Column, write_tensor, write_tree
from .torchrl_plan import FLAGS, NEXT, NUMBERS

OPTIONS = ("buffer",)
TRAJECTORIES = "collector/traj_ids"
_TENSORS = {
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32",
    "float64", "bfloat16", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2",
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What is written.

    Attributes:
      leaves: that are written.
      following: those of them of which the next row is written too.
      left: that cannot be.
      numbered: whether trajectories are numbered, since flags alone do not part them.
    """

    leaves: tuple[str, ...]
    following: tuple[str, ...]
    left: tuple[str, ...]
    numbered: bool


def write(
    contents: Contents, path: Path, progress: Callable[[int, int], None], *, buffer: bool = False
) -> Sequence[str]:
    """Writes a vault or view as TorchRL has it.

    Args:
      contents: of any leaves.
      path: of the folder.
      progress: called with (done, total), in episodes; all are done when the last tensor is.
      buffer: a folder for `ReplayBuffer.loads`, of a buffer that is just full, instead of one for
        `TensorDict.load_memmap`.

    Returns:
      What the format could not hold.

    Raises:
      ValueError: if there are no steps, or no leaf that a tensor can hold.
      CorruptionError: if what was written, read back, is not what the vault holds.
    """
    whole = outgoing(contents)
    out = whole.choose(np.flatnonzero(whole.table["length"]))
    plan = _plan(out)
    facts = _facts(contents.attributes, plan)
    folder = path / torchrl.STORAGE if buffer else path
    columns = _columns(out, plan)
    with storage_errors(path, "write"):
        for column in columns:
            write_tensor(folder, column)
        write_tree(folder, columns, out.num_steps, facts)
        if buffer:
            _write_buffer(path, out.num_steps)
    kept = any(f"{NEXT}/{name}" in plan.leaves for name in plan.following)
    source = torchrl.read(path, keep_next_observation=kept)
    compare(_expected(out, plan), source)
    progress(len(whole.table), len(whole.table))
    return [*_notes(whole, out, plan), *left_out(contents, source)]


def _plan(out: Outgoing) -> Plan:
    names = out.schema.names
    cut = ~(out.table["terminated"] | out.table["truncated"])[:-1]
    kept = tuple(
        name
        for name in names
        if out.leaf(name)[0].name in _TENSORS and name not in FLAGS[1:] and not _misleads(out, name, cut)
    )
    if not kept:
        raise ValueError(f"`contents` must have a leaf that a tensor can hold: it has {list(names)}.")
    following = tuple(
        name for name in kept if name in out.schema.finals or name.split("/", maxsplit=1)[0] in OBSERVATIONS
    )
    left = tuple(name for name in names if name not in kept and name not in FLAGS[1:])
    told = any(name in kept and out.leaf(name)[0].kind in "iu" for name in NUMBERS)
    return Plan(kept, following, left, numbered=bool(cut.any()) and not told)


def _misleads(out: Outgoing, name: str, cut: NpArray) -> bool:
    """Whether a leaf that TorchRL takes for trajectories' numbers parts the steps otherwise than they are."""
    if name not in NUMBERS or out.leaf(name)[0].kind not in "iu":
        return False
    filled = [rows.reshape(len(rows), -1) for _, rows in out.rows(name)]
    within = any((rows[1:] != rows[:-1]).any() for rows in filled)
    joined = [not (one[-1] != other[0]).any() for one, other in itertools.pairwise(filled)]
    return within or bool((np.array(joined, np.bool_) & cut).any())


def _columns(out: Outgoing, plan: Plan) -> list[Column]:
    made: list[Column] = []
    for name in plan.leaves:
        dtype, shape = out.leaf(name)
        keys = (NEXT, "reward") if name == "reward" else tuple(map(unquote, name.split("/")))
        made.append(
            Column(keys, dtype, (1,) if name == "reward" and shape == () else shape, _reader(out, name))
        )
        if name in plan.following and f"{NEXT}/{name}" not in plan.leaves:
            made.append(Column((NEXT, *keys), dtype, shape, _next_reader(out, name)))
    bits = np.dtype(np.bool_)
    before = {column.keys for column in made}
    for flag in FLAGS:
        made.append(Column((NEXT, flag), bits, (1,), _flag_reader(out, flag)))
        if ("before", flag) not in before:
            made.append(Column((flag,), bits, (1,), _flag_reader(out, None)))
    if plan.numbered:
        keys = tuple(TRAJECTORIES.split("/"))
        made.append(Column(keys, np.dtype(np.int64), (), _number_reader(out)))
    return [replace(c, keys=c.keys[1:]) if c.keys[0] == "before" else c for c in made]


def _reader(out: Outgoing, name: str) -> Callable[[], Iterator[NpArray]]:
    return lambda: (rows for _, rows in out.rows(name))


def _next_reader(out: Outgoing, name: str) -> Callable[[], Iterator[NpArray]]:
    def parts() -> Iterator[NpArray]:
        known = out.final_known
        for place, rows in out.rows(name):
            last = np.zeros_like(rows[:1])
            if known[place] and name in out.schema.finals:
                last[0] = out.final(name, place)
            yield rows[1:]
            yield last

    return parts


def _flag_reader(out: Outgoing, flag: str | None) -> Callable[[], Iterator[NpArray]]:
    def parts() -> Iterator[NpArray]:
        table = out.table
        for place, length in enumerate(table["length"].tolist()):
            values = np.zeros(length, np.bool_)
            if flag is not None:
                names = FLAGS[1:] if flag == "done" else (flag,)
                values[-1] = any(table[name][place] for name in names)
            yield values

    return parts


def _number_reader(out: Outgoing) -> Callable[[], Iterator[NpArray]]:
    return lambda: (np.full(length, n, np.int64) for n, length in enumerate(out.table["length"].tolist()))


def _write_buffer(path: Path, steps: int) -> None:
    (path / "writer").mkdir()
    (path / "sampler").mkdir()
    documents = {
        torchrl.STORED: {"metadata": {}, "is_pytree": False, "len": steps},
        torchrl.WRITER: {"cursor": 0, "write_count": steps},
        "buffer_metadata.json": {"batch_size": None, "consume_after_n_samples": None},
    }
    for name, document in documents.items():
        (path / name).write_text(json.dumps(document), "utf-8")


def _facts(attributes: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The attributes that can be keys beside the tensors."""
    taken = {name.split("/", maxsplit=1)[0] for name in plan.leaves} | {
        NEXT,
        *FLAGS,
        "shape",
        "device",
        "_type",
    }
    return {name: v for name, v in attributes.items() if name and "/" not in name and name not in taken}


def _expected(out: Outgoing, plan: Plan) -> Iterator[Recorded]:
    """Yields the episodes as the folder has them."""
    zero_finals = _has_zero_finals(out, plan)
    for place, episode in enumerate(out.episodes()):
        steps = {name: episode.steps[name] for name in plan.leaves}
        count = len(next(iter(steps.values())))
        for flag in FLAGS[1:]:
            steps[flag] = np.zeros(count, np.bool_)
            steps[flag][-1] = getattr(episode, flag)
        if plan.numbered:
            steps[TRAJECTORIES] = np.full(count, place, np.int64)
        if "reward" in steps:
            steps["reward"] = _squeezed(steps["reward"])
        final = _final(out, episode, plan)
        unknown = not final or (zero_finals and not _any(final))
        yield replace(episode, steps=steps, final=None if unknown else final, columns={}, attributes={})


def _squeezed(rewards: NpArray) -> NpArray:
    return rewards.reshape(len(rewards)) if rewards.shape[1:] == (1,) else rewards


def _final(out: Outgoing, episode: Recorded, plan: Plan) -> dict[str, NpArray]:
    """Gives the rows under `next` at an episode's end."""
    made: dict[str, NpArray] = {}
    for name in plan.following:
        dtype, shape = out.leaf(name)
        kept = episode.steps.get(f"{NEXT}/{name}")
        made[name] = (episode.final or {}).get(name, np.zeros(shape, dtype)) if kept is None else kept[-1]
    return made


def _any(rows: Mapping[str, NpArray]) -> bool:
    return any(bool(values.any()) for values in rows.values())


def _has_zero_finals(out: Outgoing, plan: Plan) -> bool:
    """Whether the reader will take final rows of zeros for none: see `torchrl_plan`."""
    if any(out.leaf(name)[0].kind in "iub" for name in plan.following):
        return False
    ended = out.table["terminated"] | out.table["truncated"]
    some = False
    for place, episode in enumerate(out.episodes()):
        if ended[place] or not ended.any():
            if _any(_final(out, episode, plan)):
                return False
            some |= _any({name: episode.steps[name][-1] for name in plan.following})
    return some


def _notes(whole: Outgoing, out: Outgoing, plan: Plan) -> list[str]:
    notes = [
        f"The leaf `{name}` numbers trajectories that are not the episodes, and is left out."
        if name in NUMBERS and out.leaf(name)[0].name in _TENSORS
        else f"The leaf `{name}` is {out.leaf(name)[0]}, which no tensor holds, and is left out."
        for name in plan.left
    ]
    empty = len(whole.table) - len(out.table)
    if empty:
        notes.append(f"{empty} episodes have no steps, and are left out.")
    unknown = int((~out.final_known).sum())
    if unknown and plan.following:
        notes.append(f"The final rows of {unknown} episodes are not known: zeros stand under `next` there.")
    if plan.numbered:
        notes.append(
            f"Episodes were cut: `{TRAJECTORIES}` numbers the episodes, since flags do not part them."
        )
    if out.columns or any(text != b"{}" for text in out.table.texts()):
        notes.append(
            f"The episode table's columns {out.columns} and attributes have no place in a TensorDict."
        )
    return notes
