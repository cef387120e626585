"""Vaults as robomimic's HDF5 files: a group a demonstration, as its `SequenceDataset` reads them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.contents import Contents
from ..vault.dtypes import NpArray
from .json_arrays import from_json
from .left_out import left_out
from .readback import compare
from .recorded import Recorded
from .robomimic import FLAT, LEAVES, MASK, NAME, OURS, UNKNOWN, read
from .standard import Standard, below, is_needed, key_of, standard

OPTIONS = ("env_args",)
_KEYS = {leaf: key for key, leaf in LEAVES.items()}
_TOPS = {"observation": "obs", "next_observation": "next_obs"}
_GYM = 2  # robomimic's number for Gym's environments


def write(
    contents: Contents,
    path: Path,
    progress: Callable[[int, int], None],
    *,
    env_args: str | Mapping[str, Any] | None = None,
) -> Sequence[str]:
    """Writes a vault or view as a robomimic file.

    Args:
      contents: to write.
      path: of the file.
      progress: called with episodes.
      env_args: what robomimic makes the environment of, an object or its JSON; None takes the source's.

    Returns:
      What the format could not hold.

    Raises:
      ValueError: if there is no action, or a leaf has a dtype that HDF5 lacks.
      CorruptionError: if what was written, read back, is not what was meant.
    """
    import h5py

    out = standard(contents, needs=("action",))
    names = _names(out)
    demos = _demos(out)
    masks: dict[str, list[str]] = {
        n.removeprefix(MASK): [] for n in out.contents.schema.columns if _is_mask(n)
    }
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_group("data")
        for number, episode in enumerate(out.episodes()):
            _write(data.create_group(demos[number]), episode, out, names)
            for mask, members in masks.items():
                if episode.columns[MASK + mask]:
                    members.append(demos[number])
            progress(number + 1, len(out))
        kept: dict[str, Any] = dict(contents.attributes.get(NAME) or {})
        made = {"env_args": env_args if isinstance(env_args, str) else json.dumps(env_args or _env_args(out))}
        for key, value in (made | kept if env_args is None else kept | made).items():
            data.attrs[key] = from_json(value)[()] if isinstance(value, dict) else value
        data.attrs["total"] = out.num_steps
        if set(FLAT) & set(names):
            data.attrs[OURS] = json.dumps({"flat": True})
        for mask, members in masks.items():
            file.create_dataset(f"mask/{mask}", data=np.array(members, "S"))
    keep = any(below(name, "next_observation") for name in out.example)
    source = read(path, keep_next_observation=keep)
    compare(_meant(out, names, demos), source)
    return [*_notes(out), *left_out(contents, source)]


def _names(out: Standard) -> list[str]:
    """The leaves that are written; `truncated` has no place, nor have texts."""
    odd = _odd(out)
    needed = [name for name in odd if is_needed(name)]
    if needed:
        dtype = out.example[needed[0]].dtype
        raise ValueError(f"robomimic's files hold numbers; the leaf {needed[0]!r} is {dtype}. Cast it first.")
    return [name for name in out.example if name not in {"truncated", *odd}]


def _odd(out: Standard) -> list[str]:
    return [name for name, leaf in out.example.items() if leaf.dtype.kind not in "biufcS"]


def _demos(out: Standard) -> list[str]:
    """The demonstrations' names: their own where each has one, in the order of their numbers."""
    table = out.contents.episodes
    own = [str(table.attributes(row).get("demo", "")) for row in range(len(out))]
    numbers = [int(name[5:]) if name.startswith("demo_") and name[5:].isdecimal() else -1 for name in own]
    ordered = all(one < other for one, other in zip([-1, *numbers], numbers, strict=False))
    return own if ordered else [f"demo_{row}" for row in range(len(out))]


def _meant(out: Standard, names: Sequence[str], demos: Sequence[str]) -> Iterator[Recorded]:
    keep = any(below(name, "next_observation") for name in out.example)
    for number, episode in enumerate(out.episodes()):
        final = None
        if not keep and len(episode.steps["action"]) and _complete(out, episode.final):
            final = {n: row for n, row in (episode.final or {}).items() if below(n, "observation")}
        yield replace(
            episode,
            steps={name: episode.steps[name] for name in names},
            terminated=episode.terminated and len(episode.steps["action"]) > 0,
            truncated=not (episode.terminated and len(episode.steps["action"])),
            final=final,
            attributes={"demo": demos[number]} | {k: v for k, v in episode.attributes.items() if k != "demo"},
        )


def _complete(out: Standard, final: Mapping[str, NpArray] | None) -> bool:
    observed = [name for name in out.example if below(name, "observation")]
    return final is not None and bool(observed) and all(name in final for name in observed)


def _write(demo: Any, episode: Recorded, out: Standard, names: Sequence[str]) -> None:
    keys = out.contents.card.get("provenance", {}).get("source", {}).get("keys", {})
    dones = keys.get("dones", {}).get("dtype", "<i8")
    length = len(episode.steps["action"])
    demo.attrs["num_samples"] = length
    some = any(below(name, "observation") for name in out.finals)
    for name in names:
        values = episode.steps[name]
        if name == "terminated":
            values = values.astype(np.dtype(dones))
        demo.create_dataset(_key(name), data=values)
        if below(name, "observation") and some and not any(below(n, "next_observation") for n in out.example):
            row = values[-1:]
            if _complete(out, episode.final):
                row = np.asarray((episode.final or {})[name], values.dtype)[None]
            demo.create_dataset(_key(f"next_{name}"), data=np.concatenate([values[1:], row[:length]]))
    if some and not _complete(out, episode.final):
        demo.attrs[UNKNOWN] = True
    rest: dict[str, Any] = {}
    for key, value in episode.attributes.items():
        if key == "leaves" and isinstance(value, dict):
            for leaf, single in value.items():
                demo.create_dataset(_key(leaf), data=from_json(single))
        elif key != "demo" and (plain := _attribute(value)) is not None and key:
            demo.attrs[key] = plain
        elif key != "demo":
            rest[key] = value
    if rest:
        demo.attrs[OURS] = json.dumps(rest)


def _key(leaf: str) -> str:
    if leaf in _KEYS:
        return _KEYS[leaf]
    top, slash, rest = FLAT.get(leaf, leaf).partition("/")
    return f"{_TOPS.get(top, key_of(top))}{slash}{key_of(rest)}"


def _attribute(value: Any) -> Any:
    """A fact as HDF5 holds it, or None where it does not."""
    if isinstance(value, dict) and {"dtype", "shape", "base64"} == set(value):
        return from_json(value)
    if isinstance(value, list):
        return value if value and all(isinstance(one, str) for one in value) else None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None
    return value if isinstance(value, bool | int | float | str) else None


def _env_args(out: Standard) -> dict[str, Any]:
    spec = out.contents.card.get("env_spec")
    name = spec.get("id", "") if isinstance(spec, dict) else ""
    return {"env_name": name, "type": _GYM, "env_kwargs": {}}


def _is_mask(column: str) -> bool:
    return column.startswith(MASK)


def _notes(out: Standard) -> list[str]:
    table = out.contents.episodes
    empty = int((table["length"] == 0).sum())
    both = int((table["truncated"] & table["terminated"]).sum())
    cut = int((~table["truncated"] & ~table["terminated"]).sum())
    observed = [name for name in out.example if below(name, "observation")]
    unknown = int((~table["final_known"]).sum()) if set(observed) <= set(out.finals) else len(out)
    some = bool(table["final_known"].any())
    others = sorted(name for name in out.finals if some and name not in observed)
    columns = sorted(name for name in out.contents.schema.columns if not _is_mask(name))
    notes = [
        (_odd(out), f"The leaves {_odd(out)} are left out: robomimic's files hold numbers."),
        ("observation" in out.example, "The observation has no parts: it stands as `obs/flat`."),
        (
            both + cut,
            f"Of {both + cut} episodes `dones` says less than the vault: whether the last step terminated.",
        ),
        (
            unknown,
            f"Of {unknown} episodes it is not known what the last action led to; `next_obs` says nothing.",
        ),
        (empty, f"Of {empty} episodes without steps neither the ends nor the final rows are written."),
        (others, f"The final rows of {others} are left out."),
        (columns, f"The columns {columns} of the episode table are not written."),
    ]
    return [text for true, text in notes if true]
