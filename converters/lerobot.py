"""LeRobot datasets, v2.0, v2.1 and v3.0: Parquet tables of frames, metadata beside them.

```
# observation.state : [o0, o1, o2]   -> observation/state
# action            : [a0, a1, a2]   -> action
# next.reward       : [r0, r1, r2]   -> reward: what a0 earned
# next.done         : [ 0,  0,  1]   -> next/done, and the episode's end
```
The final observation is not in the format. Dots in a name are steps of a path.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from ..vault.tree import component
from .bad import Bad
from .lerobot_frames import Frames, frames_of, shape_of
from .lerobot_meta import INFO, Meta, read_meta
from .lerobot_videos import frame_shape, video_names
from .recorded import Recorded, blocks_of
from .source import Source

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "lerobot"
OPTIONS = ("done", "skip")
COUNTERS = ("frame_index", "episode_index", "index")  # follow from where a frame stands
TASK = "task_index"
REWARD, DONE, SUCCESS = "next.reward", "next.done", "next.success"
FLAGS = {"next.terminated": "terminated", "next.truncated": "truncated"}


@dataclass(frozen=True)
class Plan:
    """What becomes of each column.

    Attributes:
      leaves: the leaf of each column that becomes one.
      texts: columns that are one text an episode, an attribute.
      dtypes: of the leaves that are texts.
      ends: what a `next.done` in the last frame means: `terminated`, `truncated`, or `success` where
        `next.success` decides; `flags` where `next.terminated` and `next.truncated` say it; None where
        there is none.
    """

    leaves: Mapping[str, str]
    texts: tuple[str, ...]
    dtypes: Mapping[str, np.dtype[Any]]
    ends: str | None


def detect(path: Path) -> bool:
    """Says whether a folder is a LeRobot dataset.

    Example:
      >>> detect(Path("nowhere"))
      False
    """
    info = path / INFO
    return info.is_file() and '"codebase_version"' in info.read_text("utf-8", "replace")


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,  # noqa: ARG001 - every format takes it
    *,
    done: str | None = None,
    skip: Sequence[str] = (),
    bad: Bad | None = None,
) -> Source:
    """Opens a dataset as a source.

    Args:
      path: of its folder, the one with `meta` in it.
      entry: what the catalogue knows of it.
      done: what a `next.done` in an episode's last frame means, `terminated` or `truncated`. None goes by
        `next.success`: with it the task ended, without it somebody stopped; where there is no
        `next.success`, `done` means `terminated`.
      skip: features to leave out, videos above all: their pixels are many times as large as they.
      bad: takes what cannot be read and may be left out; none may by default.

    Raises:
      FormatError: if the dataset is not what LeRobot writes, now or while it is read.
      MissingExtraError: without PyArrow, for images without Pillow, or for videos without PyAV.
      ValueError: if an option does not fit.
    """
    if not detect(path):
        raise FormatError(
            f"{path} is no LeRobot dataset: there is no {INFO} with a `codebase_version` in it."
        )
    if done not in (None, "terminated", "truncated"):
        raise ValueError(f"`done` must be 'terminated' or 'truncated': got {done!r}.")
    meta = read_meta(path)
    names = _features(meta, skip)
    plan, facts = _look(meta, names, done, bad or Bad())
    example = {leaf: _zero(meta, name, plan) for name, leaf in plan.leaves.items()}
    example |= {flag: np.zeros((), np.bool_) for flag in ("terminated", "truncated")}
    columns = {"episode_index": np.dtype(np.int64)}
    return Source(
        example=example,
        lengths=np.array([entry.length for entry in meta.episodes]),
        finals=(),
        blocks=blocks_of(partial(_episodes, meta, plan), len(meta.episodes), example, (), columns),
        facts=facts,
        attributes={"lerobot": dict(meta.info), "tasks": {str(k): v for k, v in meta.tasks.items()}},
        columns=columns,
    )


def _features(meta: Meta, skip: Sequence[str]) -> list[str]:
    """The columns that are read."""
    for name in skip:
        if name not in meta.features or name in COUNTERS:
            raise ValueError(
                f"`skip` must name features of {meta.path} that can be spared; got {name!r}. It has "
                f"{', '.join(meta.features)}."
            )
    left = (*skip, *COUNTERS, *meta.mark.get("derived", ()))
    return [name for name in meta.features if name not in left]


def _look(meta: Meta, names: Sequence[str], done: str | None, bad: Bad) -> tuple[Plan, dict[str, Any]]:
    """Reads the columns of which only the data say what becomes of them: texts, tasks, rewards."""
    texts = [name for name in names if meta.features[name]["dtype"] == "string"]
    wanted = [*texts, *(name for name in (TASK, REWARD) if name in names)]
    widths = dict.fromkeys(texts, 1)
    varying: set[str] = set()
    nan = 0
    for number, frames in bad.each(len(meta.episodes), partial(frames_of, meta, wanted)):
        for name in wanted:
            values = frames.values[name]
            if name in texts:
                widths[name] = max([widths[name], *(len(text.encode()) for text in values)])
            if name != REWARD and len(set(values.tolist())) > 1:
                varying.add(name)
            elif name == REWARD and values.dtype.kind == "f":
                nan += int(np.isnan(values).sum())
        if TASK in wanted and TASK not in varying:
            same = bad.tried(number, partial(_same_task, meta, frames), otherwise=True)
            varying |= set() if same else {TASK}
    constant = tuple(
        name for name in texts if name not in varying and name not in meta.mark.get("dtypes", {})
    )
    left = {*constant} | ({TASK} - varying)
    leaves = _leaves([name for name in names if name not in left], meta.mark.get("leaves", {}))
    noted: Mapping[str, str] = meta.mark.get("dtypes", {})
    dtypes = {
        leaves[name]: np.dtype(noted.get(name) or f"S{widths[name]}") for name in texts if name in leaves
    }
    ends = None if DONE not in names else done or ("success" if SUCCESS in names else "terminated")
    if set(FLAGS) <= set(names):
        ends = "flags"
        if done:
            raise ValueError(f"`done` is for datasets without {' and '.join(FLAGS)}: {meta.path} has them.")
    facts = {
        "codebase_version": meta.version,
        "leaves": leaves,
        "next_done_means": ends,
        "nan_rewards": nan,
        "texts_of_episodes": list(constant),
        "videos": {
            name: meta.features[name].get("info") for name in video_names(meta.features) if name in names
        },
        "not_kept": [*COUNTERS, "statistics"],
    }
    return Plan(leaves, constant, dtypes, ends), facts


def _same_task(meta: Meta, frames: Frames) -> bool:
    """Whether the episode's metadata say all that its frames' task says."""
    task = meta.tasks.get(int(frames.values[TASK][0]))
    if frames.entry.tasks and task not in frames.entry.tasks:
        raise FormatError(
            f"The frames of {frames.where} have the task {task!r}, its metadata {list(frames.entry.tasks)}."
        )
    return frames.entry.tasks == (task,)


def _leaves(names: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """Names the leaves: dots part a path, unless what is before them is a feature itself."""
    found: dict[str, str] = {}
    own = {REWARD: "reward"} | (FLAGS if set(FLAGS) <= set(names) else {})
    for name in names:
        parts = name.split(".")
        within = any(".".join(parts[:depth]) in names for depth in range(1, len(parts)))
        path = [name] if within else parts
        given = known.get(name) or own.get(name)
        found[name] = given or "/".join(map(component, path))
    for name, leaf in found.items():
        taken = leaf in FLAGS.values() and name not in own
        if taken or list(found.values()).count(leaf) > 1:
            raise FormatError(
                f"Two features would be the leaf `{leaf}`: {list(names)}. Leave one out with `skip=`."
            )
    return found


def _zero(meta: Meta, name: str, plan: Plan) -> NpArray:
    feature = meta.features[name]
    if feature["dtype"] in ("image", "video"):
        return np.zeros(frame_shape(feature), np.uint8)
    dtype = plan.dtypes.get(plan.leaves[name]) or np.dtype(feature["dtype"])
    return np.zeros(shape_of(feature), dtype)


def _episodes(meta: Meta, plan: Plan, start: int, stop: int) -> Iterator[Recorded]:
    for frames in frames_of(meta, [*plan.leaves, *plan.texts], start, stop):
        yield _episode(meta, plan, frames)


def _episode(meta: Meta, plan: Plan, frames: Frames) -> Recorded:
    steps = {
        leaf: _rows(frames, name, leaf, plan) for name, leaf in plan.leaves.items() if name in frames.values
    }
    clips = {plan.leaves[name]: clip for name, clip in frames.clips.items()}
    length = frames.entry.length
    if plan.ends == "flags":
        terminated, truncated = (bool(steps[flag][-1]) for flag in FLAGS.values())
    else:
        terminated, truncated = _ends(plan, frames)
    for flag, value in (("terminated", terminated), ("truncated", truncated)):
        if flag in steps:
            continue
        steps[flag] = np.zeros(length, np.bool_)
        steps[flag][-1:] = value
    tasks = frames.entry.tasks
    attributes: dict[str, Any] = {name: frames.values[name][0] for name in plan.texts}
    attributes |= {"task": tasks[0]} if len(tasks) == 1 else {"tasks": list(tasks)} if tasks else {}
    splits = _splits(meta, frames.entry.index)
    if splits:
        attributes["split"] = splits
    columns = {"episode_index": frames.entry.index}
    return Recorded(steps, terminated, truncated, None, columns, attributes, clips)


def _ends(plan: Plan, frames: Frames) -> tuple[bool, bool]:
    """What `next.done` in the last frame says: terminated, truncated, or neither."""
    over = bool(plan.ends and frames.values[DONE][-1])
    success = over and plan.ends == "success" and bool(frames.values[SUCCESS][-1])
    terminated = success if plan.ends == "success" else over and plan.ends == "terminated"
    return terminated, over and not terminated


def _rows(frames: Frames, name: str, leaf: str, plan: Plan) -> NpArray:
    values = frames.values[name]
    if leaf not in plan.dtypes:
        return values
    texts = values if plan.dtypes[leaf].kind == "U" else [text.encode() for text in values]
    return np.array(list(texts), plan.dtypes[leaf])


def _splits(meta: Meta, index: int) -> str | None:
    """The split of an episode, where there are several."""
    splits = meta.info.get("splits") or {}
    for name, span in splits.items() if len(splits) > 1 else ():
        start, _, stop = str(span).partition(":")
        if start.isdecimal() and stop.isdecimal() and int(start) <= index < int(stop):
            return str(name)
    return None
