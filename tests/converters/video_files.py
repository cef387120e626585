"""Small videos made at test time, and LeRobot datasets with them."""

from pathlib import Path

import av
import numpy as np
from test_lerobot import LENGTHS, info, pa, pq
from test_lerobot import write as write_plain

NAME = "observation.images.wrist"
FPS = 10
SHAPE = (16, 24, 3)
LOSSLESS = {"codec": "libx264rgb", "pixels": "rgb24", "qp": "0"}


def pixels(number: int, length: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Frames that differ everywhere, so that no codec takes one for another."""
    return np.random.default_rng(100 + number).integers(0, 256, (length, *shape), np.uint8)


def smooth(length: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Frames that lossy codecs keep nearly, each brighter than the one before."""
    ramp = np.linspace(0, 60, shape[1])[None, None, :, None] * np.ones((length, shape[0], 1, 3))
    return (ramp + 8 * np.arange(length)[:, None, None, None]).astype(np.uint8)


def write_video(path: Path, frames: np.ndarray, *, codec: str, pixels: str, fps: int = FPS, **options: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=fps, options=options)
        stream.pix_fmt, stream.height, stream.width = pixels, *frames.shape[1:3]
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())


def write_dataset(path: Path, version: str, made: list[np.ndarray] | None = None, **video) -> Path:
    """A dataset with a video beside its pictures; of v3.0 the first two episodes share one."""
    made = [pixels(*each) for each in enumerate(LENGTHS)] if made is None else made
    video = video or {**LOSSLESS, "g": "4", "bf": "2"}
    feature = {
        "dtype": "video",
        "shape": list(SHAPE),
        "names": ["height", "width", "channels"],
        "info": {"video.codec": "h264"},
    }
    three = version == "v3.0"
    below = (
        "{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}"
        if three
        else "chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}"
    )
    features = info(version)["features"] | {NAME: feature}
    write_plain(path, version, features=features, video_path=f"videos/{below}.mp4")
    if not three:
        for number, frames in enumerate(made):
            write_video(path / f"videos/chunk-000/{NAME}/episode_{number:06d}.mp4", frames, **video)
        return path
    folder = path / f"videos/{NAME}/chunk-000"
    write_video(folder / "file-000.mp4", np.concatenate(made[:2]), **video)
    write_video(folder / "file-001.mp4", made[2], **video)
    set_starts(path, [0.0, len(made[0]) / FPS, 0.0])
    return path


def set_starts(path: Path, starts: list[float]) -> None:
    """Says in a v3.0 dataset's metadata where the episodes begin in their videos."""
    file = path / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(file).to_pylist()
    for number, row in enumerate(rows):
        row |= {
            f"videos/{NAME}/chunk_index": 0,
            f"videos/{NAME}/file_index": number // 2,
            f"videos/{NAME}/from_timestamp": starts[number],
            f"videos/{NAME}/to_timestamp": starts[number] + row["length"] / FPS,
        }
    pq.write_table(pa.Table.from_pylist(rows), file)
