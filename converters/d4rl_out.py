"""Vaults as D4RL's files: one flat HDF5 file, one row a step, read by D4RL's own rules.

```
# observation, final -> observations, next_observations   where every final row is known
# action, reward     -> actions, rewards
# episode table      -> terminals, timeouts               set on an episode's last row, and nowhere else
```
A file that was converted comes back as it was: dtypes of flags, `[N, 1]` rewards, `metadata`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.attachments import attached
from ..vault.contents import Contents
from ..vault.dtypes import NpArray
from . import d4rl
from .d4rl_layout import FLAGS, LEAVES, NAME
from .json_arrays import from_json
from .left_out import left_out
from .readback import compare
from .recorded import Recorded
from .standard import Standard, key_of, standard

OPTIONS = ()
_KEYS = {leaf: key for key, leaf in LEAVES.items()}
_SCALARS = ("reward", "terminated", "truncated")
_FOLLOWING = "next_observation"
_NEEDS = ("observation", "action", "reward")


@dataclass(frozen=True)
class _Plan:
    """What goes into the file.

    Attributes:
      out: the episodes.
      keys: of the file, by leaf.
      facts: what a D4RL file that the vault was made of said of its keys.
      derive: write `next_observations` out of rows and final rows.
    """

    out: Standard
    keys: Mapping[str, str]
    facts: Mapping[str, Any]
    derive: bool

    @property
    def keep(self) -> bool:
        """Whether `next_observations` are a leaf of the vault, alike the observations."""
        rows, following = self.out.example["observation"], self.out.example.get(_FOLLOWING)
        alike = following is not None and (following.dtype, following.shape) == (rows.dtype, rows.shape)
        return alike and _FOLLOWING in self.keys

    def episodes(self) -> Iterator[Recorded]:
        """Yields the episodes as the file holds them."""
        lengths = self.out.contents.episodes["length"]
        last = int(np.flatnonzero(lengths)[-1]) if lengths.any() else -1
        for number, episode in enumerate(self.out.episodes()):
            if not lengths[number]:
                continue
            truncated = episode.truncated or (number != last and not episode.terminated)
            steps = {name: episode.steps[name] for name in self.keys}
            at_end = np.arange(lengths[number]) == lengths[number] - 1
            steps |= {"terminated": at_end & episode.terminated, "truncated": at_end & truncated}
            final = None
            if self.keep:
                final = {"observation": steps[_FOLLOWING][-1]}
            elif self.derive and episode.final is not None:
                final = {"observation": episode.final["observation"]}
            yield replace(episode, steps=steps, truncated=truncated, final=final, columns={}, attributes={})


def write(contents: Contents, path: Path, progress: Callable[[int, int], None]) -> Sequence[str]:
    """Writes a vault or view as a D4RL file.

    Args:
      contents: to write; one observation array, one action array and one number of reward a step.
      path: of the file.
      progress: called with episodes.

    Returns:
      What a D4RL file could not hold.

    Raises:
      ValueError: if a leaf is missing, is a group, or has a dtype that HDF5 lacks.
      CorruptionError: if what was written, read back, is not what was meant.
    """
    import h5py

    out = standard(contents)
    plan, notes = _plan(out)
    with h5py.File(path, "w") as file:
        columns = {name: _create(file, plan, name) for name in plan.keys}
        following = _create(file, plan, _FOLLOWING) if plan.derive else None
        start = 0
        for number, episode in enumerate(plan.episodes()):
            start = _write(columns, following, episode, start)
            progress(number + 1, len(out))
        for key, values in _beside(plan).items():
            text = values.dtype.kind == "U"
            file.create_dataset(
                key,
                data=values.item() if text else values,
                dtype=h5py.string_dtype("utf-8") if text else values.dtype,
                compression="gzip" if values.ndim else None,
            )
    source = d4rl.read(path, keep_next_observation=plan.keep)
    compare(plan.episodes(), source)
    return [*notes, *left_out(contents, source)]


def _plan(out: Standard) -> tuple[_Plan, list[str]]:
    for need in _NEEDS:
        if need not in out.example:
            raise ValueError(
                f"A D4RL file has one array of `{need}`; this vault has a group of them: "
                f"{[name for name in out.example if name.startswith(need)]}. Join them into one leaf first."
            )
    if out.example["reward"].shape:
        raise ValueError(f"`reward` must be one number a step; it is {list(out.example['reward'].shape)}.")
    if not out.num_steps:
        raise ValueError("`contents` must hold a step: a D4RL file without rows means nothing.")
    plain = {
        name
        for name, leaf in out.example.items()
        if leaf.dtype.kind == "S" or (leaf.dtype.kind in "biufc" and leaf.dtype.isbuiltin)
    }
    odd = [name for name in _NEEDS if name not in plain]
    if odd:
        raise ValueError(
            f"HDF5 has no place for {out.example[odd[0]].dtype}, as `{odd[0]}` is. Cast it first."
        )
    left = sorted(set(out.example) - plain)
    keys = {n: _KEYS.get(n) or key_of(n) for n in out.example if n in plain}
    provenance: Mapping[str, Any] = out.contents.card.get("provenance", {})
    facts = provenance.get("source", {}).get("keys") if provenance.get("format") == NAME else None
    derive = out.finals_known and _FOLLOWING not in keys
    return _Plan(out, keys, facts or {}, derive), _notes(out, left, derive=derive or _FOLLOWING in keys)


def _create(file: Any, plan: _Plan, name: str) -> Any:
    key = _KEYS.get(name) or plan.keys[name]
    leaf = plan.out.example["observation" if name == _FOLLOWING and plan.derive else name]
    fact = plan.facts.get(key, {})
    dtype = np.dtype(fact["dtype"]) if key in FLAGS and "dtype" in fact else leaf.dtype
    shape = tuple(fact["shape"][1:]) if name in _SCALARS and "shape" in fact else leaf.shape
    return file.create_dataset(key, (plan.out.num_steps, *shape), dtype, compression="gzip", chunks=True)


def _write(columns: Mapping[str, Any], following: Any, episode: Recorded, start: int) -> int:
    length = len(episode.steps["reward"])
    rows = slice(start, start + length)
    for name, dataset in columns.items():
        dataset[rows] = episode.steps[name].astype(dataset.dtype).reshape(length, *dataset.shape[1:])
    if following is not None and episode.final is not None:
        observation = episode.steps["observation"]
        following[rows] = np.concatenate([observation[1:], episode.final["observation"][None]])
    return rows.stop


def _beside(plan: _Plan) -> dict[str, NpArray]:
    """What a converted file had beside its rows: `metadata`, with the dtypes of then."""
    contents = plan.out.contents
    kept = [key for key, fact in plan.facts.items() if "leaf" not in fact]
    if not kept:
        return {}
    sources = contents.selected().sources
    arrays: Mapping[str, Any] = attached(str(sources[0].path)) if len(sources) == 1 else {}
    found: dict[str, NpArray] = {}
    for key in kept:
        if key not in arrays and key not in contents.attributes:
            continue  # it was left out when the file was converted
        values = arrays[key] if key in arrays else from_json(contents.attributes[key])
        dtype = np.dtype(plan.facts[key]["dtype"])
        found[key] = values if dtype.kind == "O" else values.astype(dtype).reshape(plan.facts[key]["shape"])
    return found


def _notes(out: Standard, left: Sequence[str], *, derive: bool) -> list[str]:
    table = out.contents.episodes
    cut = ~(table["terminated"] | table["truncated"])
    filled = np.flatnonzero(table["length"])
    inner = int(cut[filled[:-1]].sum())
    empty = int((table["length"] == 0).sum())
    known = set(out.finals) if table["final_known"].any() else set[str]()
    lost = sorted(known - ({"observation"} if derive else set()))
    told = any(out.contents.episodes.attributes(row) for row in range(len(out)))
    notes = [
        (inner, f"{inner} episodes were cut: they end with `timeouts`, or they would run into the next one."),
        (empty, f"{empty} episodes without steps have no rows."),
        (left, f"The leaves {list(left)} are left out: a column of D4RL's holds numbers."),
        (lost, f"The final rows of {lost} are left out: there is no place for them, or not all are known."),
        (told, "The episodes' own attributes are left out: there is no place for them."),
    ]
    return [*out.notes, *(text for true, text in notes if true)]
