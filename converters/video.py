"""A stretch of a video as rows of pixels: each row is the frame nearest to its time.

Frames are decoded forwards from the key frame before them, and only those asked for are kept. What stands
beside them in a table has a row a frame, so a frame that is missing or taken twice is an error.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError, NotFoundError
from .extra import extra

if TYPE_CHECKING:
    from collections.abc import Iterator

_BACK = (0.0, 1.0, 10.0)  # seconds to seek further back: where frames are reordered a key frame comes late
_FORMATS = {1: "gray", 3: "rgb24"}


class Clip:
    """Rows `[T, height, width, channels]`, uint8, decoded when they are sliced.

    Slices that follow each other go on decoding where the last one stopped.

    Args:
      path: of the video, in any container and codec that PyAV decodes.
      start: time of the first row, in seconds.
      fps: rows a second.
      length: rows.
      shape: of a frame, `(height, width, 1 or 3)`.

    Raises:
      NotFoundError: if there is no file.
      MissingExtraError: without PyAV.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, start: float, fps: float, length: int, shape: tuple[int, ...]) -> None:
        if not path.is_file():
            raise NotFoundError(f"The video {path} is missing. Fetch or copy it.")
        self._av = av_library()
        self._path, self._start, self._fps, self._frame_shape = path, start, fps, shape
        self.shape = (length, *shape)
        self._next = -1  # the row that can be had without seeking
        self._taken = -np.inf  # time of the frame that was taken last
        self._decoded: Iterator[Any] = iter(())
        self._before: Any = None  # frames around the time that was asked for last
        self._after: Any = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NpArray:
        """Returns rows that follow each other.

        Raises:
          FormatError: naming the video, the row and its time, if its frame is not there, or is another's.
        """
        start, stop, _ = rows.indices(len(self))
        pixels = np.empty((max(0, stop - start), *self._frame_shape), np.uint8)
        try:
            for row in range(start, stop):
                pixels[row - start] = self._pixels(self._nearest(row), row)
        except self._av.error.FFmpegError as error:
            raise FormatError(
                f"The video {self._path} cannot be decoded: {error}. Fetch or copy it again."
            ) from error
        return pixels

    def _nearest(self, row: int) -> Any:
        time = self._start + row / self._fps
        if row != self._next:
            self._seek(time)
        while self._after is not None and self._after.time <= time:
            self._before, self._after = self._after, next(self._decoded, None)
        around = [one for one in (self._before, self._after) if one is not None]
        near = min(around, key=lambda one: abs(one.time - time), default=None)
        if near is None or abs(near.time - time) > 0.5 / self._fps or near.time <= self._taken:
            found = "there is none" if near is None else f"the nearest is at {near.time:.4f} s"
            raise FormatError(
                f"The video {self._path} has no frame of its own for row {row}, at {time:.4f} s: {found}. "
                f"It is cut off, or has fewer than {self._fps:g} frames a second."
            )
        self._next, self._taken = row + 1, near.time
        return near

    def _seek(self, time: float) -> None:
        """Begins to decode at a frame that is not later than a time."""
        for back in (*_BACK, time):
            container = self._av.open(str(self._path))
            if not container.streams.video:
                raise FormatError(f"{self._path} has no video in it. Fetch or copy it again.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            begin = time - 0.5 / self._fps - back
            if begin > 0:
                container.seek(int(begin / stream.time_base), stream=stream)
            self._decoded = container.decode(stream)
            self._before, self._after, self._taken = None, next(self._decoded, None), -np.inf
            if begin <= 0 or (self._after is not None and self._after.time <= time + 0.5 / self._fps):
                return

    def _pixels(self, frame: Any, row: int) -> NpArray:
        if self._frame_shape[-1] == 1 and max(part.bits for part in frame.format.components) > 8:
            raise FormatError(
                f"The video {self._path} has more than 8 bits a pixel ({frame.format.name}), as depth has: "
                "they do not fit into uint8. Leave it out with `skip=`."
            )
        pixels = frame.to_ndarray(format=_FORMATS[self._frame_shape[-1]])
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        if pixels.shape != self._frame_shape:
            raise FormatError(
                f"Row {row} of the video {self._path} is {list(pixels.shape)} where "
                f"{list(self._frame_shape)} is expected: the metadata are another video's."
            )
        return pixels


def av_library() -> Any:
    """Imports PyAV.

    Raises:
      MissingExtraError: if it is not installed.
    """
    return extra("av", "video", "Decoding videos")
