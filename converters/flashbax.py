"""Vaults that Flashbax wrote, and og-marl's, which are the same: folders `<name>/<uid>`, zipped or not.

```
# rewards     [B, T, N]  -> reward [N]        every agent's
# terminals   [B, T, N]  -> terminated [N]    an episode ends where all agents' flags are set
# truncations [B, T, N]  -> truncated [N]     of either kind
```
Streams are read one behind the other, each to its end. There are no final observations in such a vault.
"""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray, parse_dtype
from ..vault.errors import FormatError
from ..vault.flashbax_files import FlashbaxFiles, is_flashbax, open_flashbax, zipped_vaults
from ..vault.roles import OBSERVATIONS, Roles, find_roles, read_flags
from .recorded import Recorded, blocks_of
from .source import Source
from .trajectories import trajectories

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "flashbax"
OPTIONS = ("uid",)
_READ_BYTES = 16 << 20
_ROLES = ("reward", "terminated", "truncated")
_OVER, _TERMINATED, _TRUNCATED = (
    "\0over",
    "\0terminated",
    "\0truncated",
)  # beside the leaves, whose names have no \0


@dataclass(frozen=True)
class Layout:
    """What holds for one vault.

    Attributes:
      files: the vault.
      names: the leaves' names here, by their names there.
      roles: of the leaves, by their names here.
    """

    files: FlashbaxFiles
    names: Mapping[str, str]
    roles: Roles


def detect(path: Path) -> bool:
    """Says whether a folder or a Zip file is a vault that Flashbax wrote, or has some in it.

    Raises:
      FormatError: if the file is called `.zip` and cannot be opened.

    Example:
      >>> detect(Path("nowhere"))
      False
    """
    return (path.is_dir() or _is_zip(path)) and bool(_vaults(path))


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,  # noqa: ARG001 - as every format's
    *,
    uid: str | None = None,
) -> Source:
    """Opens a vault that Flashbax wrote as a source.

    Args:
      path: of the innermost folder, the vault's uid; of the one above; or of a Zip file of such folders, of
        which nothing is unpacked to disk.
      entry: what the catalogue knows of it.
      uid: of the vault (`Good`), where there are several.

    Raises:
      FormatError: if it is an empty one, or of a version that is not known.
      CorruptionError: if its database is damaged.
      ValueError: if there is no vault of that `uid`, or there are several and none is said.
    """
    found = _vaults(path)
    if not found:
        raise FormatError(f"In {path} is no vault that Flashbax wrote.")
    if uid not in (None, *found) or (uid is None and len(found) > 1):
        raise ValueError(
            f"`uid` must name one of the vaults in {path}, which are {', '.join(found)}: got {uid!r}. A "
            "conversion is of one; `concat` joins what was converted."
        )
    chosen = uid or next(iter(found))
    files = open_flashbax(*found[chosen])
    first, *others = files.leaves
    streams = files.leaves[first].streams
    for name in others:
        if files.leaves[name].streams != streams:
            raise FormatError(
                f"The leaves of the vault in {path} must have as many streams each: {name!r} has "
                f"{files.leaves[name].streams}, {first!r} {streams}."
            )
    if files.length == 0:
        raise FormatError(f"The vault in {path} is empty: `vault_index` is 0, nothing was ever written.")
    names = _names(tuple(files.leaves))
    layout = Layout(files, names, find_roles(tuple(names.values())))
    example = {names[n]: np.zeros(leaf.shape, parse_dtype(leaf.dtype)) for n, leaf in files.leaves.items()}
    columns = {"source_stream": np.dtype(np.int32)} if streams > 1 else {}
    stops = _stops(layout, streams)
    return Source(
        example=example,
        lengths=np.diff(stops, prepend=0),
        finals=(),
        blocks=blocks_of(partial(_episodes, layout, streams, stops), len(stops), example, (), columns),
        facts={
            "vault": chosen,
            "flashbax_version": files.metadata["version"],
            "streams": streams,
            "names": {ours: theirs for theirs, ours in names.items()},
            "final_observations": "never stored by Flashbax",
        },
        attributes=files.facts,
        columns=columns,
    )


def _vaults(path: Path) -> dict[str, tuple[Path, str]]:
    """Returns the vaults by their uids: a folder, or a file and the folder in it."""
    if path.is_file():
        return {uid: (path, inside) for uid, inside in zipped_vaults(path).items()}
    if is_flashbax(path):
        return {path.name: (path, "")}
    below = (
        sorted(one for one in path.iterdir() if one.is_dir() and is_flashbax(one)) if path.is_dir() else []
    )
    return {one.name: (one, "") for one in below}


def _is_zip(path: Path) -> bool:
    return path.is_file() and (path.suffix == ".zip" or zipfile.is_zipfile(path))


def _names(names: tuple[str, ...]) -> dict[str, str]:
    """Names the leaves as steps have them, where that is free."""
    roles = find_roles(names)
    wanted = {getattr(roles, role): role for role in _ROLES if getattr(roles, role) is not None}
    for name in names:
        top, *rest = name.split("/")
        if top in OBSERVATIONS:
            wanted[name] = "/".join(["observation", *rest])
        elif top in ("action", "actions"):
            wanted[name] = "/".join(["action", *rest])
    made = {name: wanted.get(name, name) for name in names}
    return made if len(set(made.values())) == len(names) else {name: name for name in names}


def _stops(layout: Layout, streams: int) -> NpArray:
    """Returns the step after each episode's last one, streams end to end, from the flags; int64 `[E]`."""
    length, roles = layout.files.length, layout.roles.to_dict()
    flags = [leaf for role, leaf in roles.items() if role not in ("reward", "next_observation")]
    names = {theirs: ours for theirs, ours in layout.names.items() if ours in flags}
    found = [np.arange(1, streams + 1) * length]
    for stream in range(streams if names else 0):
        at = stream * length
        for block in _blocks(layout, names, stream, 0, length):
            found.append(at + 1 + np.flatnonzero(block[_OVER]))
            at += len(block[_OVER])
    return np.unique(np.concatenate(found))


def _episodes(layout: Layout, streams: int, stops: NpArray, first: int, last: int) -> Iterator[Recorded]:
    length = layout.files.length
    begin, end = np.concatenate([[0], stops])[[first, last]].tolist()
    for stream in range(begin // length, -(-end // length)):
        low, high = max(0, begin - stream * length), min(length, end - stream * length)
        blocks = _blocks(layout, layout.names, stream, low, high)
        for rows, ended in trajectories(blocks, lambda block: block[_OVER]):
            yield Recorded(
                {name: rows[name] for name in layout.names.values()},
                terminated=ended and bool(rows[_TERMINATED][-1]),
                truncated=ended and bool(rows[_TRUNCATED][-1]),
                columns={"source_stream": stream} if streams > 1 else {},
            )


def _blocks(
    layout: Layout, names: Mapping[str, str], stream: int, low: int, high: int
) -> Iterator[dict[str, Any]]:
    """Reads some leaves of the steps `[low, high)` of a stream, and where episodes end."""
    files, place = layout.files, slice(stream, stream + 1)
    read = [files.leaves[name] for name in names]
    row_bytes = sum(parse_dtype(leaf.dtype).itemsize * int(np.prod(leaf.shape)) for leaf in read)
    rows = max(1, _READ_BYTES // max(1, row_bytes))
    first = next((theirs for theirs, ours in layout.names.items() if ours == layout.roles.is_first), None)
    for start in range(low, high, rows):
        stop = min(start + rows, high)
        block = {ours: files.read(theirs, start, stop, place)[0] for theirs, ours in names.items()}
        over, terminated, truncated = ends_of(layout.roles, block)
        if first is not None:  # an episode ends before the first step of the next
            over[: len(over) - 1] |= block[layout.names[first]][1:] != 0
            if stop < files.length:
                over[-1] |= bool(files.read(first, stop, stop + 1, place)[0, 0])
        yield block | {_OVER: over, _TERMINATED: terminated, _TRUNCATED: truncated}


def ends_of(roles: Roles, rows: Mapping[str, NpArray]) -> tuple[NpArray, NpArray, NpArray]:
    """Says which rows end an episode, whether the MDP ended, whether somebody stopped it; bool `[T]` each.

    Of many agents all must have ended, each for its own reason: where they differ, it was stopped.

    Args:
      roles: of the leaves.
      rows: leaves `[T, ...]`.

    Example:
      >>> rows = {"terminated": np.array([[1, 0], [1, 0]]), "truncated": np.array([[0, 0], [0, 1]])}
      >>> ends_of(find_roles(("terminated", "truncated")), rows)
      (array([False,  True]), array([False, False]), array([False,  True]))
    """
    count = len(next(iter(rows.values())))
    flags = read_flags(roles, {name: values[None] for name, values in rows.items()}, 1, count)
    over, terminated = flags.last[0].copy(), flags.terminated[0]
    truncated = np.zeros(count, np.bool_) if flags.truncated is None else flags.truncated[0].copy()
    if roles.terminated is not None and roles.truncated is not None:
        one, other = rows[roles.terminated] != 0, rows[roles.truncated] != 0
        if one.shape == other.shape:
            both = (one | other).reshape(count, -1).all(axis=1)
            truncated |= both & ~terminated
            over |= both
    return over, terminated, truncated
