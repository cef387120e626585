"""LeRobot's videos into vaults: each frame in its row, whatever codec, container time and block."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("PIL.Image")
pytest.importorskip("av")

from strongbax.converters import convert, lerobot
from strongbax.converters.video import Clip
from strongbax.vault.errors import FormatError, MissingExtraError, NotFoundError
from strongbax.vault.vault import Vault
from test_lerobot import LENGTHS, drain
from test_units import assert_units_are_whole
from video_files import FPS, LOSSLESS, NAME, SHAPE, pixels, set_starts, smooth, write_dataset, write_video

LEAF = "observation/images/wrist"


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_every_frame_arrives_in_its_row(tmp_path: Path, version: str):
    """Pixels are those of the video, beside the rows of the tables, of episodes that share a file too."""
    report = convert(write_dataset(tmp_path / "set", version), tmp_path / "v")
    assert report.num_steps == sum(LENGTHS)
    with Vault.open(tmp_path / "v") as vault:
        for number, episode in enumerate(vault):
            got = episode.steps["observation"]["images"]
            np.testing.assert_array_equal(got["wrist"], pixels(number, LENGTHS[number]), strict=True)
            assert got["top"].shape == (LENGTHS[number], 6, 5, 3)
        assert vault.card["provenance"]["source"]["videos"] == {NAME: {"video.codec": "h264"}}


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_any_run_of_episodes_is_read_by_itself(tmp_path: Path, version: str):
    """Frames are found by their time, so that nothing before an episode need be read."""
    source = lerobot.read(write_dataset(tmp_path / "set", version))
    assert_units_are_whole(source, [1, 2])


def test_an_episode_is_never_whole_in_memory(tmp_path: Path):
    """Blocks are as long as asked for, though an episode is longer; it ends in its last block."""
    source = lerobot.read(write_dataset(tmp_path / "set", "v3.0"))
    found = list(source.blocks(2))
    assert [block.num_steps for block in found] == [2, 1, 1, 2, 2, 1]
    assert [block.ends.stop.tolist() for block in found] == [[], [1], [1], [], [], [1]]
    rows = np.concatenate([block.steps[LEAF] for block in found])
    np.testing.assert_array_equal(rows, np.concatenate([pixels(*each) for each in enumerate(LENGTHS)]))


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ({"codec": "libsvtav1", "pixels": "yuv420p", "g": "2", "crf": "20"}, "av1"),
        ({"codec": "libx264", "pixels": "yuv420p", "g": "12", "bf": "3", "crf": "10"}, "h264"),
        ({"codec": "mpeg4", "pixels": "yuv420p", "g": "5", "qmin": "1", "qmax": "2"}, "mpeg4"),
    ],
)
def test_lossy_codecs_keep_the_frames_apart(tmp_path: Path, codec: dict, name: str):
    """LeRobot's AV1 and other codecs decode to what was encoded, within their loss, never to a neighbour."""
    shape = (64, 96, 3)  # smaller ones crash some releases of SVT-AV1
    frames = smooth(20, shape)
    write_video(tmp_path / "a.mp4", frames, **codec)
    found = Clip(tmp_path / "a.mp4", 0.5, FPS, 15, shape)[:]
    away = np.abs(found.astype(int) - frames[5:].astype(int)).mean(axis=(1, 2, 3))
    assert away.max() < 3, name  # the next frame is 8 brighter


@pytest.mark.parametrize("frames_between", [1, 2, 12, 250])
@pytest.mark.parametrize("reordered", [0, 3])
def test_any_slice_of_any_stretch(tmp_path: Path, frames_between: int, reordered: int):
    """Wherever key frames stand and however frames are reordered, slices hold the frames of their rows."""
    made = pixels(7, 40)
    write_video(tmp_path / "a.mp4", made, **LOSSLESS, g=str(frames_between), bf=str(reordered))
    for start, length in ((0, 40), (1, 5), (13, 27), (39, 1)):
        for size in (1, 7, 40):
            clip = Clip(tmp_path / "a.mp4", start / FPS, FPS, length, SHAPE)
            parts = [clip[at : at + size] for at in range(0, length, size)]
            np.testing.assert_array_equal(np.concatenate(parts), made[start : start + length])
    clip = Clip(tmp_path / "a.mp4", 0.0, FPS, 40, SHAPE)
    for start, stop in ((30, 33), (2, 4), (4, 5), (0, 1), (0, 0)):  # forwards and back
        np.testing.assert_array_equal(clip[start:stop], made[start:stop])
    np.testing.assert_array_equal(Clip(tmp_path / "a.mp4", 0.0, FPS / 2, 20, SHAPE)[:], made[::2])


def test_times_need_not_be_exact(tmp_path: Path):
    """A start that is off by less than half a frame, as sums of float32 are, means the same frames."""
    path = write_dataset(tmp_path / "set", "v3.0")
    wanted = [block.steps[LEAF] for block in lerobot.read(path).blocks(100)]
    set_starts(path, [0.04, 0.3 - 0.03, 0.0])
    found = [block.steps[LEAF] for block in lerobot.read(path).blocks(100)]
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(wanted))


def test_grey_and_channels_first(tmp_path: Path):
    """Shapes may be written channels first; one channel is brightness, and refused where it is deeper."""
    write_video(tmp_path / "a.mp4", smooth(3), **LOSSLESS)
    grey = Clip(tmp_path / "a.mp4", 0.0, FPS, 3, (*SHAPE[:2], 1))[:]
    assert np.abs(grey.astype(int) - smooth(3)[..., :1].astype(int)).max() <= 2
    write_video(tmp_path / "depth.mp4", smooth(3), codec="ffv1", pixels="gray16le")
    with pytest.raises(FormatError, match=r"depth.mp4 has more than 8 bits a pixel \(gray16le\)"):
        Clip(tmp_path / "depth.mp4", 0.0, FPS, 3, (*SHAPE[:2], 1))[:]
    path = write_dataset(tmp_path / "set", "v2.1")
    about = json.loads((path / "meta/info.json").read_text())
    about["features"][NAME]["shape"] = [3, *SHAPE[:2]]
    (path / "meta/info.json").write_text(json.dumps(about))
    (block,) = lerobot.read(path).blocks(100, 1, 2)
    np.testing.assert_array_equal(block.steps[LEAF], pixels(1, LENGTHS[1]))


def test_what_is_wrong_with_a_video_is_named(tmp_path: Path):
    """Frames missing or shared, other sizes, damage, absence, and paths that lead out; nothing is left."""
    path = write_dataset(tmp_path / "set", "v3.0")
    file = path / f"videos/{NAME}/chunk-000/file-001.mp4"

    def said(match: str, error: type[Exception] = FormatError):
        with pytest.raises(error, match=match):
            convert(path, tmp_path / "v")
        assert [entry.name for entry in tmp_path.iterdir()] == ["set"]

    write_video(file, pixels(2, 4), **LOSSLESS)
    said(r"file-001.mp4 has no frame of its own for row 4, at 0.4000 s: the nearest is at 0.3000 s")
    write_video(file, pixels(2, 5), **LOSSLESS, fps=5)
    said(r"file-001.mp4 has no frame of its own for row 1, .*fewer than 10 frames a second")
    write_video(file, pixels(2, 5)[:, :14], **LOSSLESS)
    said(r"Row 0 of the video .*file-001.mp4 is \[14, 24, 3\] where \[16, 24, 3\] is expected")
    file.write_bytes(file.read_bytes()[:200])
    said(r"file-001.mp4 cannot be decoded")
    file.unlink()
    said(r"The video .*file-001.mp4 is missing", NotFoundError)
    about = json.loads((path / "meta/info.json").read_text())
    for more, match in (
        ({"video_path": "../{video_key}.mp4"}, "`video_path` of .* leads out of the dataset"),
        ({"video_path": None}, rf"do not say where `{NAME}` of episode 0 is.*skip="),
        ({"fps": 0}, "must say the frames a second: `fps` is 0"),
    ):
        (path / "meta/info.json").write_text(json.dumps(about | more))
        said(match)
    drain(path, skip=(NAME,))


def test_missing_pyav_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without PyAV the error names the extra; without the videos it is not needed."""
    path = write_dataset(tmp_path / "set", "v2.1")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"Decoding videos needs av: .*strongbax\[video\]"):
        convert(path, tmp_path / "v")
    drain(path, skip=(NAME,))
