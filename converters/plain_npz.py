"""A vault as one plain `.npz` file that `numpy.load` opens: for whoever wants arrays and nothing else.

```
# observation, action, infos/qpos, ...   [N, ...]    the leaves, episodes end to end
# final/observation                      [E, ...]    final rows, zeros where not known
# episode/length, episode/terminated ... [E]         the episode table, the user's columns among it
# episode/attributes                     [E]         JSON texts
# attributes                             []          the vault's, as a JSON text
```
Nothing is a pickle. What is written so is read again as a source.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.contents import Contents
from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .left_out import left_out
from .npy import Column
from .npz import columns_of, read_array, read_rows, require_rows
from .npz_file import NpzWriter
from .npz_rows import has_keys, last_rows, read_some
from .outgoing import is_plain, outgoing, require_plain
from .readback import compare
from .recorded import Recorded, blocks_of, undivided
from .source import Source
from .standard import is_needed
from .trajectories import cut_at

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "npz"
OPTIONS = ()
OUT_OPTIONS = ("compressed",)
EPISODE, FINAL, ATTRIBUTES = "episode/", "final/", "attributes"
_OWN = ("length", "terminated", "truncated", "final_known")


def detect(path: Path) -> bool:
    """Says whether a file is what `write` makes.

    Raises:
      FormatError: if the file is called `.npz` and is cut off.

    Example:
      >>> detect(Path("nowhere.npz"))
      False
    """
    return has_keys(path, [EPISODE + name for name in _OWN])


def read(path: Path, entry: "DatasetEntry | None" = None) -> Source:  # noqa: ARG001 - as every format's
    """Opens such a file as a source.

    Args:
      path: of the file.
      entry: what the catalogue knows of it.

    Raises:
      FormatError: if the file is not what `write` makes.
    """
    found = columns_of(path)
    missing = [EPISODE + name for name in _OWN if EPISODE + name not in found]
    if missing:
        raise FormatError(
            f"A plain .npz file has the keys {[EPISODE + name for name in _OWN]}; {path} has no "
            f"`{missing[0]}`. Only what was written as plain .npz here is read as such."
        )
    table = {k.removeprefix(EPISODE): read_array(path, c) for k, c in found.items() if k.startswith(EPISODE)}
    leaves = {k: c for k, c in found.items() if not k.startswith((EPISODE, FINAL)) and k != ATTRIBUTES}
    finals = {k.removeprefix(FINAL): c for k, c in found.items() if k.startswith(FINAL)}
    count = require_rows(found, leaves, path)
    episodes = require_rows(found, [*(FINAL + k for k in finals), *(EPISODE + k for k in table)], path)
    lengths = table["length"]
    if lengths.dtype.kind not in "iu" or (lengths < 0).any() or int(lengths.sum()) != count or not episodes:
        raise FormatError(
            f"`{EPISODE}length` of {path} must add up to the {count} rows of its leaves: it gives "
            f"{lengths.sum()}. The file was cut, or written by halves."
        )
    own = {*_OWN, ATTRIBUTES}
    columns = {name: values.dtype for name, values in table.items() if name not in own}
    example = {name: np.zeros(column.shape[1:], column.dtype) for name, column in leaves.items()}
    whole = partial(undivided, partial(_episodes, path, leaves, finals, table))
    return Source(
        example=example,
        lengths=np.array([count]),
        finals=tuple(finals),
        blocks=blocks_of(whole, 1, example, tuple(finals), columns),
        facts={"keys": {key: column.to_dict() for key, column in found.items()}},
        attributes=_json(read_array(path, found[ATTRIBUTES])[()], ATTRIBUTES, path)
        if ATTRIBUTES in found
        else {},
        columns=columns,
    )


def _episodes(
    path: Path, leaves: Mapping[str, Column], finals: Mapping[str, Column], table: Mapping[str, NpArray]
) -> Iterator[Recorded]:
    lengths = table["length"]
    whole = columns_of(path)
    pieces = cut_at(read_some(path, leaves, leaves), last_rows(lengths))
    ends = read_rows(path, whole, [FINAL + name for name in finals], 1) if finals else iter(())
    texts = table.get(ATTRIBUTES)
    for place, length in enumerate(lengths.tolist()):
        empty = {name: np.zeros((0, *c.shape[1:]), c.dtype) for name, c in leaves.items()}
        steps = next(pieces)[0] if length else empty
        final = {key.removeprefix(FINAL): row[0] for key, row in next(ends, {}).items()}
        yield Recorded(
            {name: steps[name] for name in leaves},
            terminated=bool(table["terminated"][place]),
            truncated=bool(table["truncated"][place]),
            final=final if final and table["final_known"][place] else None,
            columns={name: v[place] for name, v in table.items() if name not in {*_OWN, ATTRIBUTES}},
            attributes={} if texts is None else _json(texts[place], EPISODE + ATTRIBUTES, path),
        )


def _json(text: Any, key: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(bytes(text))
    except (ValueError, TypeError) as error:
        raise FormatError(f"`{key}` of {path} must hold JSON, as bytes: {error}. Write it again.") from error
    if not isinstance(found, dict):
        raise FormatError(f"`{key}` of {path} must hold JSON objects: got {found!r}. Write it again.")
    return found


def write(
    contents: Contents, path: Path, progress: Callable[[int, int], None], *, compressed: bool = False
) -> Sequence[str]:
    """Writes a vault or view as one `.npz` file, leaf by leaf, without holding a leaf in memory.

    Args:
      contents: whose leaves NumPy itself can save.
      path: of the file.
      progress: called with (done, total), in episodes; all are done when the last leaf is.
      compressed: as `numpy.savez_compressed` does.

    Returns:
      What the format could not hold.

    Raises:
      ValueError: if a leaf has a dtype that NumPy alone cannot save, or a name that is taken.
      CorruptionError: if what was written, read back, is not what the vault holds.
    """
    out = outgoing(contents)
    names = [name for name in out.schema.names if is_needed(name) or is_plain(out, name)]
    left = [name for name in out.schema.names if name not in names]
    taken = [name for name in names if name.startswith((EPISODE, FINAL)) or name == ATTRIBUTES]
    if taken:
        raise ValueError(f"The leaves {taken} are named as a plain .npz file names its table. Rename them.")
    require_plain(out, names, "a .npz file")
    columns = [*_OWN, *out.columns]
    with NpzWriter(path, compressed=compressed) as file:
        for name in names:
            file.add(name, *out.leaf(name), out.num_steps, (rows for _, rows in out.rows(name)))
        for name in [name for name in out.schema.finals if name in names]:
            rows = (out.final(name, place)[None] for place in range(len(out.table)))
            file.add(FINAL + name, *out.leaf(name), len(out.table), rows)
        for name in columns:
            values: Any = out.final_known if name == "final_known" else out.table[name]
            file.add_array(EPISODE + name, values)
        file.add_array(EPISODE + ATTRIBUTES, np.array(list(out.table.texts()), np.bytes_))
        file.add_array(ATTRIBUTES, np.array(json.dumps(contents.attributes).encode(), np.bytes_))
    source = read(path)
    compare((_of(episode, names) for episode in out.episodes()), source)
    progress(len(out.table), len(out.table))
    notes = [f"The leaf `{name}` is {out.leaf(name)[0]}, which NumPy alone cannot save." for name in left]
    return [*notes, *left_out(contents, source)]


def _of(episode: Recorded, names: Sequence[str]) -> Recorded:
    """An episode with some of its leaves."""
    final = None if episode.final is None else {n: v for n, v in episode.final.items() if n in names}
    return replace(episode, steps={name: episode.steps[name] for name in names}, final=final or None)
