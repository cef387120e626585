"""Vaults as LeRobot datasets, v3.0: Parquet files of frames, and the metadata that LeRobot reads.

```
# observation/state, reward  ->  observation.state, next.reward
# terminated, truncated      ->  next.terminated, next.truncated, and next.done for either
```
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.contents import Contents
from .arrow_columns import arrow
from .left_out import left_out
from .lerobot import read
from .lerobot_columns import Column, columns_of, table_of
from .lerobot_meta import MARK
from .lerobot_stats import Stats
from .readback import compare
from .recorded import Recorded
from .standard import Standard, standard

OPTIONS = ("fps", "robot_type", "task", "file_bytes")
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_CHUNK = 1000  # files in a folder
# What pandas wants to know of `tasks.parquet`, whose texts are the index: LeRobot reads it with pandas.
_PANDAS = {
    "index_columns": ["__index_level_0__"],
    "column_indexes": [],
    "columns": [
        {"name": name, "field_name": field, "pandas_type": kind, "numpy_type": stored, "metadata": None}
        for name, field, kind, stored in (
            ("task_index", "task_index", "int64", "int64"),
            (None, "__index_level_0__", "unicode", "object"),
        )
    ],
    "pandas_version": "2.0.0",
}


def write(
    contents: Contents,
    path: Path,
    progress: Callable[[int, int], None],
    *,
    fps: int | None = None,
    robot_type: str | None = None,
    task: str = "",
    file_bytes: int = 100 << 20,
) -> Sequence[str]:
    """Writes a vault or view as a LeRobot dataset of version 3.0.

    Args:
      contents: with the leaves `observation` and `action`, or groups of them.
      path: of the dataset's folder.
      progress: called with episodes.
      fps: frames a second; None takes those of the dataset that the vault was made of.
      robot_type: the robot's name; None does the same.
      task: what was to be done, for episodes without an attribute `task`.
      file_bytes: of a Parquet file, about.

    Returns:
      What the format could not hold.

    Raises:
      ValueError: if `fps` is not known, a leaf is missing, or has a name or dtype that LeRobot has not.
      MissingExtraError: without PyArrow, or for pictures without Pillow.
      CorruptionError: if what was written, read back, is not what was meant.

    Example:
      >>> from strongbax.vault.episodes import Episode
      >>> from strongbax.vault.vault import Vault
      >>> step = {"observation": np.zeros(2), "action": np.zeros(3)}
      >>> vault = Vault.create("two.vault", steps=step)
      >>> rows = {name: np.zeros((2, len(row))) for name, row in step.items()}
      >>> _ = vault.append(Episode(rows, terminated=True, truncated=False))
      >>> write(vault, Path("two"), lambda done, total: None, fps=10)
      []
      >>> vault.close()
    """
    out = standard(contents, needs=("observation", "action"))
    known = contents.attributes.get("lerobot")
    info: Mapping[str, Any] = known if isinstance(known, Mapping) else {}
    fps = fps or info.get("fps")
    if not fps or fps <= 0:
        raise ValueError(
            f"`fps` must be the frames a second, which LeRobot counts by: got {fps}. Pass `fps=`."
        )
    columns = columns_of(out)
    tasks: dict[str, int] = {}
    stats = Stats()
    rows = _write_frames(out, columns, path, fps, task, file_bytes, tasks, stats, progress)
    if not rows:
        raise ValueError("`contents` must have an episode with a step: LeRobot's have one at least.")
    _write_meta(path, info, columns, rows, tasks, stats, {"fps": fps, "robot_type": robot_type})
    source = read(path)
    compare(_meant(out, columns, task), source)
    return [*_notes(out, columns), *left_out(contents, source)]


def _write_frames(
    out: Standard,
    columns: Sequence[Column],
    path: Path,
    fps: float,
    task: str,
    file_bytes: int,
    tasks: dict[str, int],
    stats: Stats,
    progress: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """Writes the frames; gives a row of metadata for each episode."""
    parquet = arrow("pyarrow.parquet")
    rows: list[dict[str, Any]] = []
    writer: Any = None
    number = written = start = 0
    try:
        for done, episode in enumerate(out.episodes()):
            length = len(episode.steps["terminated"])
            if length:
                text = _task(episode, task)
                place = tasks.setdefault(text, len(tasks))
                table, found = table_of(episode, columns, len(rows), start, place, fps)
                if writer is None or (written and written + table.nbytes > file_bytes):
                    if writer is not None:
                        writer.close()
                        number += 1
                    file = path / DATA.format(chunk_index=number // _CHUNK, file_index=number % _CHUNK)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    writer, written = parquet.ParquetWriter(file, table.schema), 0
                writer.write_table(table)
                written += table.nbytes
                rows.append(
                    {
                        "episode_index": len(rows),
                        "tasks": [text],
                        "length": length,
                        "data/chunk_index": number // _CHUNK,
                        "data/file_index": number % _CHUNK,
                        "dataset_from_index": start,
                        "dataset_to_index": start + length,
                        "meta/episodes/chunk_index": 0,
                        "meta/episodes/file_index": 0,
                    }
                    | stats.add(found)
                )
                start += length
            progress(done + 1, len(out))
    finally:
        if writer is not None:
            writer.close()
    return rows


def _task(episode: Recorded, task: str) -> str:
    text = episode.attributes.get("task", task)
    return text if isinstance(text, str) else task


def _write_meta(
    path: Path,
    info: Mapping[str, Any],
    columns: Sequence[Column],
    rows: list[dict[str, Any]],
    tasks: Mapping[str, int],
    stats: Stats,
    given: Mapping[str, Any],
) -> None:
    pa, parquet = arrow(), arrow("pyarrow.parquet")
    names = {name: each.get("names") for name, each in (info.get("features") or {}).items()}
    features = {column.name: column.feature(names.get(column.name)) for column in columns}
    about = {
        "codebase_version": "v3.0",
        "robot_type": given["robot_type"] or info.get("robot_type"),
        "total_episodes": len(rows),
        "total_frames": rows[-1]["dataset_to_index"],
        "total_tasks": len(tasks),
        "chunks_size": _CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": given["fps"],
        "splits": {"train": f"0:{len(rows)}"},
        "data_path": DATA,
        "video_path": None,
        "features": features,
    }
    mark = {
        "leaves": {column.name: column.leaf for column in columns if column.leaf},
        "dtypes": {
            column.name: column.dtype.str for column in columns if column.leaf and column.kind == "string"
        },
        "axes_of_one": [column.name for column in columns if column.leaf and column.shape == (1,)],
        "derived": [column.name for column in columns if not column.leaf],
    }
    folder = path / "meta/episodes/chunk-000"
    folder.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), folder / "file-000.parquet")
    texts = pa.table({"task_index": list(tasks.values()), "__index_level_0__": list(tasks)})
    parquet.write_table(
        texts.replace_schema_metadata({"pandas": json.dumps(_PANDAS)}), path / "meta/tasks.parquet"
    )
    for name, content in (("info.json", about), ("stats.json", stats.total()), (MARK, mark)):
        (path / "meta" / name).write_text(json.dumps(content, indent=4, ensure_ascii=False), encoding="utf-8")


def _meant(out: Standard, columns: Sequence[Column], task: str) -> Iterator[Recorded]:
    """The episodes as LeRobot holds them."""
    leaves = [column.leaf for column in columns if column.leaf]
    for episode in out.episodes():
        if not len(episode.steps["terminated"]):
            continue
        steps = {name: episode.steps[name] for name in leaves}
        for flag in ("terminated", "truncated"):
            steps[flag] = np.asarray(episode.steps[flag])
        yield replace(episode, steps=steps, final=None, attributes={"task": _task(episode, task)})


def _notes(out: Standard, columns: Sequence[Column]) -> list[str]:
    table = out.contents.episodes
    notes = list(out.notes)
    known = int(table["final_known"].astype(bool).sum()) if out.finals else 0
    empty = int((table["length"] == 0).sum())
    others = {key for row in range(table.num_rows) for key in table.attributes(row)} - {"task"}
    left = sorted(out.example.keys() - {column.leaf for column in columns})
    if left:
        notes.append(f"The leaves {left} are not written: LeRobot has no column for what they hold.")
    if known:
        notes.append(f"The final rows of {known} episodes are not written: LeRobot has no place for them.")
    if empty:
        notes.append(f"{empty} episodes without a step are not written.")
    if others:
        notes.append(f"The attributes {sorted(others)} of episodes are not written; `task` is.")
    return notes
