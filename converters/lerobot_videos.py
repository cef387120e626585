"""Where the frames of a LeRobot episode stand in its videos.

```
# v2.1  videos/chunk-000/<key>/episode_000000.mp4   an episode's own, from 0 s on
# v3.0  videos/<key>/chunk-000/file-000.mp4         many episodes: each from its `from_timestamp` on
```
Frame `i` of an episode is shown at `from_timestamp + i / fps`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..vault.errors import FormatError
from .video import Clip

_CHUNK = 1000  # episodes in a folder of version 2, where `chunks_size` is not said


@dataclass(frozen=True)
class Place:
    """Where an episode begins in a video.

    Attributes:
      file: the video.
      start: in seconds.
    """

    file: Path
    start: float


def video_names(features: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names the features that are videos.

    Example:
      >>> video_names({"observation.images.top": {"dtype": "video"}, "action": {"dtype": "float32"}})
      ['observation.images.top']
    """
    return [name for name, feature in features.items() if feature["dtype"] == "video"]


def video_columns(names: Iterable[str]) -> list[str]:
    """Names the columns of version 3 that tell an episode's place in its videos.

    Example:
      >>> video_columns(["top"])
      ['videos/top/chunk_index', 'videos/top/file_index', 'videos/top/from_timestamp']
    """
    keys = ("chunk_index", "file_index", "from_timestamp")
    return [f"videos/{name}/{key}" for name in names for key in keys]


def place_of(path: Path, info: Mapping[str, Any], index: int, columns: Mapping[str, Any], name: str) -> Place:
    """Returns where an episode begins in a video.

    Args:
      path: of the dataset.
      info: what `info.json` says.
      index: of the episode.
      columns: what version 3 says of the episode's videos, by the names of `video_columns`; else nothing.
      name: of the video.

    Raises:
      FormatError: if the metadata do not say, or lead out of the dataset.

    Example:
      >>> info = {"video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"}
      >>> columns = dict(zip(video_columns(["top"]), (0, 2, 1.5)))
      >>> place = place_of(Path("set"), info, 7, columns, "top")
      >>> place.file.as_posix(), place.start
      ('set/videos/top/chunk-000/file-002.mp4', 1.5)
    """
    chunk = index // int(info.get("chunks_size") or _CHUNK)
    parts: dict[str, Any] = {"video_key": name, "episode_index": index, "episode_chunk": chunk}
    try:
        start = 0.0
        if columns:
            chunk, file, begin = (columns[column] for column in video_columns([name]))
            parts |= {"chunk_index": int(chunk), "file_index": int(file)}
            start = float(begin)
        below = info["video_path"].format(**parts)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FormatError(
            f"The metadata of {path} do not say where `{name}` of episode {index} is: {error!r}. "
            f"`skip=({name!r},)` converts everything else."
        ) from error
    if Path(below).is_absolute() or ".." in Path(below).parts:
        raise FormatError(f"`video_path` of {path} leads out of the dataset, to {below}.")
    return Place(path / below, start)


def frame_shape(feature: Mapping[str, Any]) -> tuple[int, ...]:
    """Returns a feature's shape as `(height, width, channels)`, whichever way it is written.

    Example:
      >>> frame_shape({"shape": (3, 480, 640)}), frame_shape({"shape": (480, 640, 3)})
      ((480, 640, 3), (480, 640, 3))
    """
    shape = tuple(feature["shape"])
    first = shape[0] in (1, 3, 4) and shape[-1] not in (1, 3, 4)
    return (*shape[1:], shape[0]) if first else shape


def clip_of(place: Place, fps: float, length: int, feature: Mapping[str, Any]) -> Clip:
    """Returns an episode's rows of a video; they are decoded when they are sliced.

    Raises:
      NotFoundError: if the video is missing.
      FormatError: if the metadata's shape is no picture's.
      MissingExtraError: without PyAV.
    """
    shape = frame_shape(feature)
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise FormatError(
            f"A video of the shape {list(shape)}, which the metadata give for {place.file}, is not known: "
            "it is height, width, and 1 or 3 channels."
        )
    return Clip(place.file, place.start, fps, length, shape)
