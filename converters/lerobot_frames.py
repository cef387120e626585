"""The frames of a LeRobot dataset, read from its Parquet files an episode at a time."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .arrow_columns import arrow, batches_of, values_of
from .extra import extra
from .lerobot_meta import Entry, Meta
from .lerobot_videos import clip_of, place_of, video_names
from .video import Clip

_FRAMES = 256  # read at a time
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Frames:
    """An episode's frames.

    Attributes:
      entry: of the episode.
      values: `[T, ...]` of each column that was asked for, by its name; texts as objects.
      clips: the same of videos, decoded when they are sliced.
    """

    entry: Entry
    values: dict[str, NpArray]
    clips: Mapping[str, Clip]

    @property
    def where(self) -> str:
        """Names the episode in a message."""
        return f"episode {self.entry.index} of {self.entry.file}"


def frames_of(
    meta: Meta, columns: Sequence[str], start: int = 0, stop: int | None = None
) -> Iterator[Frames]:
    """Yields episodes' frames; one episode is in memory at a time.

    Args:
      meta: of the dataset.
      columns: to read.
      start: the episode to begin with, counted as the metadata have them.
      stop: the episode to stop before; None reads to the end.

    Raises:
      FormatError: naming the file, the column and the episode.
      MissingExtraError: for images without Pillow, for videos without PyAV.
    """
    videos = [name for name in video_names(meta.features) if name in columns]
    names = [name for name in dict.fromkeys([*columns, "episode_index", "frame_index"]) if name not in videos]
    stop = len(meta.episodes) if stop is None else stop
    before = 0  # episodes in the files before
    for file, entries in meta.by_file():
        first, last = max(0, start - before), stop - before
        before += len(entries)
        if first >= len(entries) or last <= 0:
            continue
        batches = _batches(file, names, sum(entry.length for entry in entries[:first]))
        held: list[Any] = []
        count = 0
        for entry in entries[first:last]:
            while count < entry.length:
                batch = next(batches, None)
                if batch is None:
                    raise FormatError(
                        f"{file} ends after {count} of the {entry.length} frames of episode {entry.index}: "
                        "it is cut off, or of another version; fetch or copy it again."
                    )
                held.append(batch)
                count += batch.num_rows
            rows = arrow().Table.from_batches(held).combine_chunks()
            clips = {name: _clip(meta, entry, name) for name in videos}
            frames = Frames(entry, _values(meta, entry, rows.slice(0, entry.length), names), clips)
            _check(frames)
            count -= entry.length
            held = rows.slice(entry.length).to_batches() if count else []
            if entry is entries[-1] and (count or next(batches, None) is not None):
                raise FormatError(f"{file} has more frames than its {len(entries)} episodes are long.")
            yield frames


def _batches(file: Path, names: list[str], first: int) -> Iterator[Any]:
    parquet, damaged = arrow("pyarrow.parquet"), (OSError, arrow().ArrowInvalid)
    try:
        opened = parquet.ParquetFile(file, page_checksum_verification=True)
        missing = [name for name in names if name not in opened.schema_arrow.names]
        if missing:
            raise FormatError(
                f"{file} has no column `{missing[0]}`; it has {', '.join(opened.schema_arrow.names)}."
            )
        yield from batches_of(opened, names, _FRAMES, first)
    except damaged as error:
        raise FormatError(f"{file} cannot be read as Parquet: {error}. Fetch or copy it again.") from error


def _values(meta: Meta, entry: Entry, rows: Any, names: Sequence[str]) -> dict[str, NpArray]:
    found: dict[str, NpArray] = {}
    for name in names:
        feature = meta.features.get(name, {"dtype": "int64", "shape": (1,)})
        column = rows.column(name).combine_chunks()
        column = column.chunk(0) if hasattr(column, "chunk") else column
        try:
            found[name] = _read(meta, feature, column)
        except FormatError as error:
            raise FormatError(f"`{name}` of episode {entry.index} of {entry.file}: {error}.") from error
    return found


def _clip(meta: Meta, entry: Entry, name: str) -> Clip:
    fps = meta.info.get("fps")
    if not isinstance(fps, int | float) or fps <= 0:
        raise FormatError(f"The metadata of {meta.path} must say the frames a second: `fps` is {fps!r}.")
    place = place_of(meta.path, meta.info, entry.index, entry.videos, name)
    return clip_of(place, fps, entry.length, meta.features[name])


def _read(meta: Meta, feature: Any, column: Any) -> NpArray:
    shape = tuple(feature["shape"])
    if feature["dtype"] == "image":
        images = [_image(meta.path, one, shape) for one in column.to_pylist()]
        return np.stack(images) if images else np.zeros((0, *shape), np.uint8)
    if feature["dtype"] == "string":
        texts = np.empty(len(column), object)
        texts[:] = column.to_pylist()
        if any(text is None for text in texts):
            raise FormatError("texts are missing (null)")
        return texts
    values = values_of(column)
    if values.dtype != np.dtype(feature["dtype"]):
        raise FormatError(f"it is {values.dtype} where info.json says {feature['dtype']}")
    wanted = shape_of(feature)
    if values.shape[1:] != wanted and len(values):
        if values.shape[1:] not in (shape, () if shape == (1,) else shape):
            raise FormatError(f"it is {list(values.shape[1:])} a frame where info.json says {list(shape)}")
        values = values.reshape(len(values), *wanted)
    return values


def shape_of(feature: Mapping[str, Any]) -> tuple[int, ...]:
    """Returns the shape of a frame's value: `[1]` is a number, unless our own writer noted otherwise.

    Example:
      >>> shape_of({"shape": (1,)}), shape_of({"shape": (1,), "axis_of_one": True}), shape_of({"shape": (6,)})
      ((), (1,), (6,))
    """
    shape = tuple(feature["shape"])
    return () if shape == (1,) and not feature.get("axis_of_one") else shape


def _image(root: Path, value: dict[str, Any] | None, shape: tuple[int, ...]) -> NpArray:
    """One picture `[height, width, channels]`, of its bytes or of the file that is named."""
    image = extra("PIL.Image", "images", "Decoding PNG and JPEG")
    if value is None:
        raise FormatError("a picture is missing (null)")
    data, name = value.get("bytes"), value.get("path")
    if data is None:
        inside = name is not None and not Path(name).is_absolute() and ".." not in Path(name).parts
        if not inside or not (root / str(name)).is_file():
            raise FormatError(f"a picture has no bytes, and there is no file {name!r} in the dataset")
        data = (root / str(name)).read_bytes()
    channels = shape[0] if shape[0] in _MODES and shape[-1] not in _MODES else shape[-1]
    try:
        with image.open(io.BytesIO(data)) as opened:
            mode = _MODES[channels]
            pixels = np.asarray(opened if opened.mode == mode else opened.convert(mode))
    except (OSError, ValueError, KeyError, SyntaxError) as error:
        raise FormatError(f"a picture cannot be decoded: {error}") from error
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape != shape and pixels.transpose(2, 0, 1).shape != shape:
        raise FormatError(f"a picture is {list(pixels.shape)} where info.json says {list(shape)}")
    return pixels


def _check(frames: Frames) -> None:
    """Frames are counted through, and are the episode's own."""
    length = frames.entry.length
    episodes, numbers = frames.values["episode_index"], frames.values["frame_index"]
    wrong = np.flatnonzero((episodes != frames.entry.index) | (numbers != np.arange(length)))
    if len(wrong):
        row = int(wrong[0])
        raise FormatError(
            f"Row {row} of {frames.where} is frame {numbers[row]} of episode {episodes[row]}: the file's "
            "rows are not in the order that the metadata say. Fetch or copy the dataset again."
        )
