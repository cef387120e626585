"""Vaults as Minari datasets: `data/main_data.hdf5` and `data/metadata.json`, as Minari 0.5.4 reads them.

Put the folder where Minari looks, `<root>/<namespace>/<name>-vN`, and `minari.load_dataset` opens it.
"""

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
from .minari import METADATA, read
from .minari_hdf5 import FILE, OURS
from .minari_metadata import GROUPS, metadata_for, spaces_for
from .minari_raw import COUNTS
from .minari_spaces import Space, child
from .readback import compare
from .recorded import Recorded
from .standard import Standard, below, is_needed, key_of, standard

OPTIONS = ("dataset_id",)
_COLUMNS = {"reward": "rewards", "terminated": "terminations", "truncated": "truncations"}
_LONGEST = 32 << 10  # bytes of one attribute; HDF5 holds twice that


def write(
    contents: Contents,
    path: Path,
    progress: Callable[[int, int], None],
    *,
    dataset_id: str | None = None,
) -> Sequence[str]:
    """Writes a vault or view as a Minari dataset.

    Args:
      contents: to write.
      path: of the dataset's folder.
      progress: called with episodes.
      dataset_id: `namespace/name-vN`; None takes the card's.

    Returns:
      What Minari could not hold.

    Raises:
      ValueError: if there is no observation, action or reward, or a dtype that Minari has no space for.
      CorruptionError: if what was written, read back, is not what was meant.
    """
    import h5py

    out = standard(contents)
    if out.example["reward"].shape:
        raise ValueError(f"`reward` must be one number a step; it is {list(out.example['reward'].shape)}.")
    names, notes = _names(out)
    spaces = spaces_for(out)
    folder = path / "data"
    folder.mkdir(parents=True)
    with h5py.File(folder / FILE, "w", track_order=True) as file:
        for number, episode in enumerate(out.episodes()):
            _write_episode(file.create_group(f"episode_{number}"), number, episode, out, names, spaces)
            progress(number + 1, len(out))
    metadata = metadata_for(out, spaces, dataset_id)
    (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
    source = read(path)
    compare(_meant(out, names), source)
    unknown = int((~contents.episodes["final_known"]).sum()) if out.finals else len(out)
    if unknown:
        notes.append(
            f"Of {unknown} episodes it is not known what the last action led to: their last observation "
            "stands twice, and `strongbax` in the episode's group says so."
        )
    return [*out.notes, *notes, *left_out(contents, source)]


def _names(out: Standard) -> tuple[dict[str, str], list[str]]:
    """Where each leaf goes; those that Minari has no place for go among the infos."""
    names: dict[str, str] = {}
    moved: list[str] = []
    odd = [name for name, leaf in out.example.items() if leaf.dtype.kind not in "biufcSU"]
    for name in out.example:
        if name in odd and not is_needed(name):
            continue
        own = name in _COLUMNS or any(below(name, part) for part in (*GROUPS, "infos"))
        names[name] = name if own else f"infos/{name}"
        moved += [] if own else [name]
    notes = [f"The leaves {moved} stand among the infos."] if moved else []
    left = sorted(out.example.keys() - names.keys())
    notes += [f"The leaves {left} are left out: HDF5 has no place for their dtypes."] if left else []
    return names, notes


def _meant(out: Standard, names: Mapping[str, str]) -> Iterator[Recorded]:
    for episode in out.episodes():
        steps = {names[name]: values for name, values in episode.steps.items() if name in names}
        final = None
        if _known(episode, out) and episode.final is not None:
            final = {names[name]: row for name, row in episode.final.items() if name in names}
        yield replace(episode, steps=steps, final=final)


def _known(episode: Recorded, out: Standard) -> bool:
    return episode.final is not None and all(
        name in episode.final for name in out.example if below(name, "observation")
    )


def _write_episode(
    group: Any,
    number: int,
    episode: Recorded,
    out: Standard,
    names: Mapping[str, str],
    spaces: Mapping[str, Space],
) -> None:
    known = _known(episode, out)
    length = len(episode.steps["reward"])
    rest: dict[str, Any] = {} if known else {"final_known": False}
    if not length:
        rest["ends"] = [episode.terminated, episode.truncated]
    attributes = dict(episode.attributes)
    group.attrs["id"], group.attrs["total_steps"] = number, length
    group.create_group("infos")
    for name, new in names.items():
        values = episode.steps[name]
        if below(name, "observation") or name in out.finals:
            row = (episode.final or {})[name] if known else _last(values)
            values = np.concatenate([values, np.asarray(row, values.dtype)[None]])
        _create(group, _place(spaces, new), values)
    for name, value in attributes.pop("leaves", {}).items():
        _create(group, _place(spaces, name), from_json(value))
    for place, value in _flat(attributes, ()):
        plain = _attribute(value)
        if plain is None or not all(place) or "/" in "".join(place) or place[0] in COUNTS:
            rest.setdefault("attributes", []).append([place, value])
        else:
            group.attrs["/".join(place)] = plain
    if rest:
        _create(group, OURS, np.array(json.dumps(rest)))


def _last(values: NpArray) -> NpArray:
    return values[-1] if len(values) else np.zeros(values.shape[1:], values.dtype)


def _place(spaces: Mapping[str, Space], name: str) -> str:
    """The path in the episode's group: tuples by index, keys as they were."""
    top, *rest = name.split("/")
    if top in _COLUMNS and not rest:
        return _COLUMNS[top]
    space = spaces.get(top)
    parts = [GROUPS.get(top, top)]
    for part in rest:
        key = key_of(part)
        parts.append(f"_index_{key}" if space is not None and space["type"] == "Tuple" else key)
        space = child(space, part)
    return "/".join(parts)


def _create(group: Any, place: str, values: NpArray) -> None:
    import h5py

    if values.dtype.kind == "U":
        text = values.item() if values.ndim == 0 else values.astype(object)
        group.create_dataset(place, data=text, dtype=h5py.string_dtype("utf-8"))
    else:
        group.create_dataset(place, data=values)


def _flat(attributes: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in attributes.items():
        if isinstance(value, dict) and value and "base64" not in value:
            yield from _flat(value, (*above, key))
        else:
            yield (*above, key), value


def _attribute(value: Any) -> Any:
    """A fact as HDF5 holds it, or None where it does not."""
    if isinstance(value, dict) and {"dtype", "shape", "base64"} == set(value):
        array = from_json(value)
        return array if array.nbytes < _LONGEST and array.dtype.kind in "biufc" else None
    if isinstance(value, str):
        return value if value and len(value) < _LONGEST // 4 and "\0" not in value else None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None
    return value if isinstance(value, bool | int | float) else None
