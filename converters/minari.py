"""Minari's datasets: a folder with `data/metadata.json`, and episodes as HDF5, Arrow or Parquet.

```
#                   |<------- episode ------->|
# observations    : [o0, o1, ...,  oT-1,   oT]     -> observation, final (oT)
# infos           : [i0, i1, ...,  iT-1,   iT]     -> infos/..., final (iT); i0 is the reset's
# actions         : [a0, a1, ...,  aT-1]           -> action
# rewards, flags  : [r0, r1, ...,  rT-1]           -> reward, terminated, truncated
```
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from . import hdf5
from .bad import Bad
from .json_arrays import exact_json, to_json
from .minari_arrow import BATCH, ArrowStorage
from .minari_hdf5 import FILE, Hdf5Storage
from .minari_raw import Raw, Scan
from .minari_spaces import parse_space
from .recorded import Recorded, blocks_of
from .source import Source

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "minari"
OPTIONS = ("skip",)
METADATA = "metadata.json"
SPACES = {"observation": "observation_space", "action": "action_space"}
_CARD = (
    "dataset_id",
    "env_spec",
    "eval_env_spec",
    "author",
    "author_email",
    "algorithm_name",
    "code_permalink",
    "description",
    "requirements",
    "ref_min_score",
    "ref_max_score",
)


def detect(path: Path) -> bool:
    """Says whether a path is a Minari dataset: its folder, the folder `data` in it, or its HDF5 file.

    Example:
      >>> detect(Path("nowhere"))
      False
    """
    folder = _folder(path)
    try:
        metadata = {} if folder is None else _metadata_of(folder)
    except FormatError:
        return False  # a file of that name, of somebody else's
    return (
        folder is not None
        and "total_episodes" in metadata
        and ("data_format" in metadata or (folder / FILE).is_file())
    )


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,
    *,
    skip: Sequence[str] = (),
    bad: Bad | None = None,
) -> Source:
    """Opens a Minari dataset as a source.

    Args:
      path: the dataset's folder (`.../name-v0`), the folder `data` in it, or its HDF5 file.
      entry: what the catalogue knows of it.
      skip: leaves, or groups of them, to leave out: `("infos",)`.
      bad: takes what cannot be read and may be left out; none may by default.

    Raises:
      FormatError: if the dataset is not what Minari's are, now or while it is read.
      MissingExtraError: without pyarrow where it is Arrow or Parquet, without Pillow where it holds JPEG.
      ValueError: if `skip` would leave out what is needed.

    Example:
      >>> import h5py
      >>> with h5py.File("main_data.hdf5", "w") as file:
      ...     file["episode_0/observations"], file["episode_0/actions"] = np.zeros((3, 4)), np.zeros(2)
      ...     for key in ("rewards", "terminations", "truncations"):
      ...         file[f"episode_0/{key}"] = np.zeros(2)
      ...     file.attrs["total_episodes"] = 1
      >>> source = read(Path("main_data.hdf5"))
      >>> source.num_steps, source.finals
      (2, ('observation',))
    """
    del entry
    for name in skip:
        if name in ("observation", "action", "reward", "terminated", "truncated"):
            raise ValueError(f"`skip` must name leaves that can be spared: got {name!r}.")
    folder = _folder(path)
    if folder is None:
        raise FormatError(f"A Minari dataset is a folder with data/{METADATA}; there is none in {path}.")
    metadata = _metadata_of(folder)
    storage = _storage(folder, metadata, (skip,) if isinstance(skip, str) else tuple(skip))
    bad = bad or Bad()
    scans = [Scan(0, 0, {})] * storage.count
    for number, scan in bad.each(storage.count, storage.scan):
        scans[number] = scan
    if not scans:
        raise FormatError(f"{path} has no episodes: there is nothing to convert.")
    first = bad.first(range(storage.count), lambda unit: next(storage.episodes(unit, unit + 1)))
    layout = _layout(first, scans)
    return Source(
        example=layout.example,
        lengths=np.array([scan.length for scan in scans]),
        finals=layout.finals,
        blocks=blocks_of(partial(_episodes, storage, layout), len(scans), layout.example, layout.finals),
        facts=_facts(metadata, first, scans, storage.more()),
        attributes={NAME: _plain(metadata)},
        horizon=_horizon(metadata.get("env_spec")),
        card={key: _card(metadata[key]) for key in _CARD if metadata.get(key) is not None},
    )


def _folder(path: Path) -> Path | None:
    """The folder `data` of a dataset."""
    if path.name == FILE and hdf5.is_hdf5(path):
        return path.parent
    found = (folder for folder in (path / "data", path) if folder.is_dir())
    return next((f for f in found if (f / METADATA).is_file() or hdf5.is_hdf5(f / FILE)), None)


def _metadata_of(folder: Path) -> dict[str, Any]:
    """The metadata: a file of its own, before Minari 0.5 the attributes of the HDF5 file."""
    path = folder / METADATA
    if not path.is_file():
        with hdf5.open_hdf5(folder / FILE) as file:
            return {key: _plain(np.asarray(value).tolist()) for key, value in file.attrs.items()}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} must be JSON: {error}. Fetch or copy it again.") from error
    return found if isinstance(found, dict) else {}


def _storage(folder: Path, metadata: Mapping[str, Any], skip: Sequence[str]) -> Hdf5Storage | ArrowStorage:
    count, form = metadata.get("total_episodes"), metadata.get("data_format", "hdf5")
    if not isinstance(count, int):
        raise FormatError(f"`total_episodes` of {folder / METADATA} must be a number: got {count!r}.")
    spaces = {
        name: parse_space(metadata.get(key), f"`{key}` of {folder / METADATA}")
        for name, key in SPACES.items()
    }
    if form == "hdf5":
        return Hdf5Storage(folder / FILE, count, spaces, skip)
    if form not in ("arrow", "parquet"):
        raise FormatError(
            f"`data_format` of {folder / METADATA} must be hdf5, arrow or parquet: got {form!r}."
        )
    return ArrowStorage(folder, form, count, spaces, skip)


@dataclass(frozen=True)
class _Layout:
    """What holds for all episodes.

    Attributes:
      example: one step.
      finals: names of the leaves that have final rows.
      single: names of infos with one value an episode.
    """

    example: Mapping[str, NpArray]
    finals: tuple[str, ...]
    single: tuple[str, ...]


def _layout(raw: Raw, scans: Sequence[Scan]) -> _Layout:
    length = len(raw.leaves["reward"])
    single = tuple(name for name, values in raw.leaves.items() if values.ndim == 0)
    rows = {name: values for name, values in raw.leaves.items() if name not in single}
    example: dict[str, NpArray] = {n: np.zeros(v.shape[1:], v.dtype) for n, v in rows.items()}
    for name, values in rows.items():
        if values.dtype.kind == "U":
            width = max(scan.widths.get(name, 1) for scan in scans)
            example[name] = np.zeros((), f"U{max(1, width)}")
    # Of some datasets the first versions have episodes without the final observation among others.
    found = {name for name, values in rows.items() if len(values) == length + 1}
    found = found.union(*(scan.following for scan in scans))
    finals = tuple(name for name in rows if name in found)
    return _Layout(example, finals, single)


def _episodes(
    storage: Hdf5Storage | ArrowStorage, layout: _Layout, start: int, stop: int
) -> Iterator[Recorded]:
    for number, raw in enumerate(storage.episodes(start, stop), start):
        yield _recorded(raw, layout, f"episode {number} of {storage.path}")


def _recorded(raw: Raw, layout: _Layout, where: str) -> Recorded:
    length = len(raw.leaves["reward"])
    single = {name: values for name, values in raw.leaves.items() if values.ndim == 0}
    if set(single) != set(layout.single):
        odd = sorted(set(single) ^ set(layout.single))
        raise FormatError(f"The leaf {odd[0]!r} has one value in some episodes and rows in others: {where}.")
    rows = {name: _widen(v, layout.example.get(name)) for name, v in raw.leaves.items() if name not in single}
    extra_rows = {name: len(rows[name]) - length for name in layout.finals if name in rows}
    known = 1 in extra_rows.values()
    for name, values in rows.items():
        wanted = length + (1 if known and name in layout.finals else 0)
        if len(values) != wanted:
            raise FormatError(
                f"The leaf {name!r} of {where} has {len(values)} rows, and {wanted} are wanted: the "
                f"episode has {length} rewards. Leave it out with `skip=({name!r},)`, or mend the dataset."
            )
    steps = {name: values[:length] for name, values in rows.items()}
    known = known and raw.final_known
    final = {name: rows[name][length] for name in extra_rows} if known else None
    values = {name: exact_json(value) for name, value in single.items()}
    return Recorded(
        steps,
        terminated=bool(steps["terminated"][-1]) if length else raw.ends[0],
        truncated=bool(steps["truncated"][-1]) if length else raw.ends[1],
        final=final,
        attributes=_plain(raw.facts) | ({"leaves": values} if values else {}),
    )


def _widen(values: NpArray, example: NpArray | None) -> NpArray:
    if example is None or values.dtype.kind != "U" or example.dtype.kind != "U":
        return values
    return values.astype(example.dtype)


def _facts(metadata: Mapping[str, Any], first: Raw, scans: Sequence[Scan], more: int) -> dict[str, Any]:
    steps, nans = sum(scan.length for scan in scans), sum(scan.nans for scan in scans)
    said = metadata.get("total_steps")
    arrow = metadata.get("data_format") in ("arrow", "parquet")
    long = sum(scan.length >= BATCH for scan in scans) if arrow else 0
    notes = [
        (
            long,
            f"{long} episodes have {BATCH} rows or more, which Minari may write out of order (issue 351).",
        ),
        (nans, f"{nans} rewards are NaN; they are kept."),
        (more, f"{more} episodes that the metadata does not count are left out, as Minari does."),
        (said not in (None, steps), f"The metadata says {said} steps; there are {steps}."),
        (first.jpeg, f"{', '.join(first.jpeg)}: JPEG in the source, kept as the pixels that it decodes to."),
    ]
    return {
        "data_format": metadata.get("data_format", "hdf5"),
        "minari_version": metadata.get("minari_version"),
        "remarks": [text for true, text in notes if true],
    }


def _horizon(env_spec: Any) -> int | None:
    spec = _card(env_spec)
    limit = spec.get("max_episode_steps") if isinstance(spec, dict) else None
    return limit if isinstance(limit, int) and limit > 0 else None


def _card(value: Any) -> Any:
    """A fact for the card; texts of JSON as what they say, where strict JSON can hold it."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return _plain(json.loads(value))
        except ValueError:
            return value
    return _plain(value)


def _plain(value: Any) -> Any:
    """Strict JSON: numbers that are none stand as `to_json` writes them."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return to_json(np.asarray(value))
    return value
