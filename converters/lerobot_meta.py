"""What a LeRobot dataset says of itself: `meta/info.json`, its episodes and tasks, of version 2 or 3.

```
# v2.1  meta/episodes.jsonl, tasks.jsonl      data/chunk-000/episode_000000.parquet    a file an episode
# v3.0  meta/episodes/…parquet, tasks.parquet data/chunk-000/file-000.parquet          many in a file
```
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from ..vault.errors import FormatError, NotFoundError
from .arrow_columns import arrow
from .lerobot_videos import video_columns, video_names

INFO = "meta/info.json"
MARK = "strongbax.json"  # beside it: what our own writer noted
VERSIONS = ("v2.0", "v2.1", "v3.0")


@dataclass(frozen=True)
class Entry:
    """An episode, as the metadata have it.

    Attributes:
      index: its number.
      length: its frames.
      tasks: texts of what was to be done.
      file: that holds its frames.
      videos: what version 3 says of its videos, by the columns' names.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    file: Path
    videos: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Meta:
    """A dataset's metadata.

    Attributes:
      path: of the dataset.
      info: what `info.json` says.
      features: dtype and shape of each column, by its name, as `info.json` says.
      episodes: all, in the order of their numbers.
      tasks: the text of each task's number.
      mark: what our own writer noted, or nothing.
    """

    path: Path
    info: Mapping[str, Any]
    features: Mapping[str, Mapping[str, Any]]
    episodes: tuple[Entry, ...]
    tasks: Mapping[int, str]
    mark: Mapping[str, Any]

    @property
    def version(self) -> str:
        """Of the layout."""
        return str(self.info["codebase_version"])

    def by_file(self) -> Iterator[tuple[Path, list[Entry]]]:
        """Yields the files in the order of their episodes."""
        for file, entries in groupby(self.episodes, key=lambda entry: entry.file):
            yield file, list(entries)


def read_meta(path: Path) -> Meta:
    """Reads a dataset's metadata.

    Raises:
      FormatError: if they are not what LeRobot writes, or do not agree.
      MissingExtraError: without PyArrow, for version 3.
    """
    info = _json((path / INFO).read_text("utf-8"), path / INFO)
    version = info.get("codebase_version")
    if version not in VERSIONS:
        raise FormatError(
            f"{path / INFO}: the version {version!r} is none of {list(VERSIONS)}. LeRobot's own scripts "
            "convert older datasets."
        )
    try:
        features = {str(name): dict(each) for name, each in info["features"].items()}
        for each in features.values():
            each["shape"], each["dtype"] = tuple(map(int, each["shape"])), str(each["dtype"])
        videos = video_columns(video_names(features))
        rows = _rows_v3(path, videos) if version == "v3.0" else _lines(path / "meta/episodes.jsonl")
        entries = [_entry(path, info, row, videos) for row in rows]
        tasks = _tasks(path, version)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"The metadata of {path} are not laid out as LeRobot {version} writes them: {error!r}."
        ) from error
    entries.sort(key=lambda entry: entry.index)
    _check(path, info, entries)
    noted = path / "meta" / MARK
    mark = _json(noted.read_text("utf-8"), noted) if noted.is_file() else {}
    for name in mark.get("axes_of_one", ()):
        if name in features:
            features[name]["axis_of_one"] = True
    return Meta(path, info, features, tuple(entries), tasks, mark)


def _entry(path: Path, info: Mapping[str, Any], row: Mapping[str, Any], videos: list[str]) -> Entry:
    index = int(row["episode_index"])
    if "data/file_index" in row:
        places = {"chunk_index": int(row["data/chunk_index"]), "file_index": int(row["data/file_index"])}
    else:
        places = {"episode_index": index, "episode_chunk": index // int(info.get("chunks_size") or 1000)}
    name = str(info["data_path"]).format(**places)
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise FormatError(f"{path / INFO}: `data_path` leads out of the dataset, to {name}.")
    tasks = tuple(map(str, row.get("tasks") or ()))
    told = {column: row[column] for column in videos if column in row}
    return Entry(index, int(row["length"]), tasks, path / name, told)


def _check(path: Path, info: Mapping[str, Any], entries: list[Entry]) -> None:
    short = [entry.index for entry in entries if entry.length < 1]
    if short:
        raise FormatError(f"Episode {short[0]} of {path} has no frames; LeRobot's episodes have some.")
    if not entries:
        raise FormatError(f"{path} has no episodes: there is nothing to convert.")
    if len({entry.index for entry in entries}) != len(entries):
        raise FormatError(f"The metadata of {path} have an episode twice.")
    for key, count in (("total_episodes", len(entries)), ("total_frames", sum(e.length for e in entries))):
        if key in info and int(info[key]) != count:
            raise FormatError(
                f"{path / INFO} says `{key}` {info[key]}, its episodes' metadata {count}. The dataset was "
                "copied in part, or while it was written; fetch or copy it again."
            )
    missing = [entry.file for entry in entries if not entry.file.is_file()]
    if missing:
        raise NotFoundError(f"{missing[0]} is missing, with episode data of {path}. Fetch or copy it.")


def _rows_v3(path: Path, videos: list[str]) -> list[dict[str, Any]]:
    files = sorted((path / "meta/episodes").glob("*/*.parquet"))
    if not files:
        raise FormatError(
            f"{path} has no meta/episodes/*/*.parquet, which LeRobot v3.0 has. Fetch or copy it."
        )
    wanted = ["episode_index", "length", "tasks", "data/chunk_index", "data/file_index"]
    wanted += videos
    return [row for file in files for row in read_parquet(file, wanted).to_pylist()]


def _tasks(path: Path, version: str) -> dict[int, str]:
    if version != "v3.0":
        return {int(row["task_index"]): str(row["task"]) for row in _lines(path / "meta/tasks.jsonl")}
    table = read_parquet(path / "meta/tasks.parquet")
    names = [name for name in table.schema.names if name != "task_index"]  # pandas' index: the texts
    return {int(row["task_index"]): str(row[names[0]]) for row in table.to_pylist()}


def read_parquet(path: Path, columns: list[str] | None = None) -> Any:
    """Reads a small Parquet file as a table.

    Raises:
      FormatError: if it is missing, none, or cut off.
    """
    parquet = arrow("pyarrow.parquet")
    if not path.is_file():
        raise FormatError(f"{path} is missing. Fetch or copy it.")
    try:
        return parquet.read_table(path, columns=columns)
    except (OSError, arrow().ArrowInvalid) as error:
        raise FormatError(f"{path} cannot be read as Parquet: {error}. Fetch or copy it again.") from error


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise FormatError(f"{path} is missing. Fetch or copy it.")
    lines = path.read_text("utf-8").splitlines()
    return [_json(line, f"line {number} of {path}") for number, line in enumerate(lines, 1) if line.strip()]


def _json(text: str, where: object) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{where} is no JSON: {error}. Fetch or copy it again.") from error
    if not isinstance(found, dict):
        raise FormatError(f"{where} must be a JSON object; it is a {type(found).__name__}.")
    return found
