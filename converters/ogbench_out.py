"""OGBench's `.npz` files, written: each episode's steps and, behind them, its final row.

A vault with episodes of both kinds in its column `validation` becomes a folder of `<name>.npz` and
`<name>-val.npz`; otherwise it is one file.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from ..vault.contents import Contents
from ..vault.dtypes import NpArray
from . import ogbench
from .left_out import left_out
from .npz_file import NpzWriter
from .npz_rows import end_flags, last_rows
from .outgoing import Outgoing, is_plain, outgoing, require_plain
from .readback import compare
from .recorded import Recorded

OPTIONS = ("name",)
_KEYS = {leaf: key for key, leaf in ogbench.LEAVES.items()}
_FLAGS = ("terminated", "truncated")


@dataclass(frozen=True)
class Plan:
    """What goes into the files.

    Attributes:
      leaves: the leaves that are written.
      left: the leaves that the format has no place for.
      terminals: dtype of the flags.
    """

    leaves: tuple[str, ...]
    left: tuple[str, ...]
    terminals: np.dtype[Any]


def write(
    contents: Contents, path: Path, progress: Callable[[int, int], None], *, name: str = "dataset"
) -> Sequence[str]:
    """Writes a vault or view as OGBench has it.

    Args:
      contents: with the leaves `observation` and `action`, and any below `infos`.
      path: of the file, or of the folder where there are validation episodes among others.
      progress: called with (done, total), in episodes.
      name: of the dataset, for the files in a folder.

    Returns:
      What the format could not hold.

    Raises:
      ValueError: if a leaf is missing or of a dtype that NumPy cannot save.
      CorruptionError: if what was written, read back, is not what the vault holds.
    """
    whole = outgoing(contents)
    plan = _plan(whole, contents)
    kinds = (
        whole.table["validation"] if "validation" in whole.columns else np.zeros(len(whole.table), np.bool_)
    )
    both = len(np.unique(kinds)) == 2
    if both:
        path.mkdir()
    done = 0
    for kind in np.unique(kinds):
        part = whole.choose(np.flatnonzero(kinds == kind))
        _write_file(part, plan, path / f"{name}{'-val' if kind else ''}.npz" if both else path)
        done += len(part.table)
        progress(done, len(whole.table))
    ordered = whole.choose(np.argsort(kinds, kind="stable"))
    source = ogbench.read(path)
    compare(_expected(ordered, plan), source)
    return [*_notes(whole, plan, kinds), *left_out(contents, source)]


def _plan(out: Outgoing, contents: Contents) -> Plan:
    names = out.schema.names
    missing = [name for name in _KEYS if name not in names]
    if missing:
        raise ValueError(
            f"OGBench's files have one array of observations and one of actions: the vault has no leaf "
            f"`{missing[0]}`. It has {list(names)}: join the parts of a group into one leaf first."
        )
    kept = tuple(
        name
        for name in names
        if name in _KEYS or (name.startswith("infos/") and name.count("/") == 1 and is_plain(out, name))
    )
    require_plain(out, kept, "OGBench's .npz")
    source = contents.card.get("provenance", {}).get("source", {})
    terminals = source.get("keys", {}).get("terminals", {}).get("dtype", "|b1")
    left = tuple(name for name in names if name not in kept and name not in _FLAGS)
    return Plan(kept, left, np.dtype(terminals))


def _write_file(out: Outgoing, plan: Plan, path: Path) -> None:
    rows = _rows(out)
    with NpzWriter(path) as file:
        for leaf in sorted(plan.leaves, key=lambda name: (name not in _KEYS, name != "observation", name)):
            dtype, shape = out.leaf(leaf)
            key = _KEYS.get(leaf) or unquote(leaf.removeprefix("infos/"))
            file.add(key, dtype, shape, int(rows.sum()), _states(out, leaf))
            if leaf == "action":
                file.add_array("terminals", _terminals(out, rows).astype(plan.terminals))


def _rows(out: Outgoing) -> NpArray:
    """How many rows each episode has in the file, int64 `[E]`."""
    return out.table["length"] + out.final_known


def _terminals(out: Outgoing, rows: NpArray) -> NpArray:
    flags = last_rows(rows)
    if _is_open(out) and rows[-1]:
        flags[-1] = False
    return flags


def _is_open(out: Outgoing) -> bool:
    """Whether the last episode was cut, as a file without a last flag is."""
    table = out.table
    return not (out.final_known[-1] or table["terminated"][-1] or table["truncated"][-1])


def _states(out: Outgoing, leaf: str) -> Iterator[NpArray]:
    known = out.final_known
    for place, rows in out.rows(leaf):
        yield rows
        if known[place]:
            yield _final(out, leaf, place)[None]


def _final(out: Outgoing, leaf: str, place: int) -> NpArray:
    if leaf in out.schema.finals:
        return out.final(leaf, place)
    dtype, shape = out.leaf(leaf)
    return np.zeros(shape, dtype)


def _expected(out: Outgoing, plan: Plan) -> Iterator[Recorded]:
    """Yields the episodes as the file has them."""
    last, is_open = len(out.table) - 1, _is_open(out)
    for place, episode in enumerate(out.episodes()):
        steps = {name: episode.steps[name] for name in plan.leaves}
        count = len(steps["action"])
        ended = not (is_open and place == last)
        final = None
        if episode.final is not None:
            final = {name: _final(out, name, place) for name in plan.leaves}
        elif count == 0:
            continue
        elif ended:
            final = {name: values[-1] for name, values in steps.items()}
            steps = {name: values[:-1] for name, values in steps.items()}
            count -= 1
        yield Recorded(
            steps | end_flags(count, truncated=ended),
            terminated=False,
            truncated=ended,
            final=final,
        )


def _notes(out: Outgoing, plan: Plan, kinds: NpArray) -> list[str]:
    notes = [f"The leaf `{name}` has no place in OGBench's files and is left out." for name in plan.left]
    terminated = int(out.table["terminated"].sum())
    if terminated:
        notes.append(
            f"{terminated} episodes terminated: OGBench's `terminals` say that a trajectory ended, not why."
        )
    cut = int((~out.table["terminated"] & ~out.table["truncated"]).sum()) - _is_open(out)
    if cut:
        notes.append(f"{cut} episodes were cut: they read as truncated, since `terminals` end them.")
    lost = int((~out.final_known).sum()) - _is_open(out)
    if lost:
        notes.append(
            f"The final row of {lost} episodes is not known: their last step stands as the final state, and "
            "its action means nothing there."
        )
    zeros = [name for name in plan.leaves if name not in out.schema.finals]
    if zeros:
        notes.append(f"{zeros} have no final rows: zeros stand in the rows of the final states.")
    if kinds.all():
        notes.append("All are validation episodes, which the file's name alone says: call it `…-val.npz`.")
    columns = [name for name in out.columns if name != "validation"]
    if columns or any(text != b"{}" for text in out.table.texts()):
        notes.append(
            f"The episode table's columns {columns} and attributes have no place in OGBench's files."
        )
    return notes
