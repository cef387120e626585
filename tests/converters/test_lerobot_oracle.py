"""LeRobot 0.4.4 itself reads what we write, and we read what it writes, videos too. Needs lerobot."""

import importlib.util
import re
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # LeRobot's and torch's own
]
pytest.importorskip("lerobot", reason="LeRobot is the oracle here; it is no dependency")


def declare_operators() -> None:
    """Declares torchvision's operators where its build does not fit torch's; LeRobot uses none of them."""
    torch = pytest.importorskip("torch")
    place = Path(importlib.util.find_spec("torchvision").origin).parent
    names = set(
        re.findall(r'register_fake\("torchvision::(\w+)"', (place / "_meta_registrations.py").read_text())
    )
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in sorted(names):
        with suppress(RuntimeError):  # it is there
            library.define(f"{name}(Tensor x) -> Tensor")
    globals()["_library"] = library  # it lasts as long as its name


try:
    import torchvision  # noqa: F401 - to see whether it can be
except RuntimeError:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    declare_operators()

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402
from strongbax.converters import convert, export  # noqa: E402
from strongbax.vault.vault import Vault  # noqa: E402
from test_lerobot_out import vault as vault_of  # noqa: E402
from video_files import pixels, smooth  # noqa: E402

FPS = 10
LENGTHS = (4, 3, 7)
TASKS = ("öffne die Tür", "push", "öffne die Tür")
STATE = {"observation.state": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "z"]}}
FEATURES = {
    **STATE,
    "action": {"dtype": "float64", "shape": (2,), "names": None},
    "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
    "next.done": {"dtype": "bool", "shape": (1,), "names": None},
    "count": {"dtype": "int64", "shape": (1,), "names": None},
}
CAMERA = "observation.images.top"
SHAPE = (64, 96, 3)  # smaller ones crash some releases of SVT-AV1


def recorded(path: Path, frames: list[np.ndarray], kind: str, **how) -> list[list[dict]]:
    """Records episodes with LeRobot's own writer; gives the frames that it was handed."""
    camera = {CAMERA: {"dtype": kind, "shape": SHAPE, "names": ["height", "width", "channels"]}}
    made = LeRobotDataset.create(
        "me/toy", FPS, FEATURES | camera, root=path, robot_type="toy", use_videos=kind == "video", **how
    )
    rng = np.random.default_rng(3)
    given = []
    for number, length in enumerate(LENGTHS):
        given.append([])
        for at in range(length):
            frame = {
                "observation.state": rng.normal(size=3).astype(np.float32),
                "action": rng.normal(size=2),
                "next.reward": rng.normal(size=1).astype(np.float32),
                "next.done": np.array([at == length - 1]),
                "count": np.array([2**40 + at]),
                CAMERA: frames[number][at],
            }
            made.add_frame(frame | {"task": TASKS[number]})
            given[-1].append(frame)
        made.save_episode()
    made.finalize()
    return given


def check_rows(path: Path, given: list[list[dict]]) -> list[np.ndarray]:
    """Compares a vault's rows with what was recorded; gives the pixels."""
    found = []
    with Vault.open(path) as vault:
        for number, (episode, frames) in enumerate(zip(vault, given, strict=True)):
            steps = episode.steps
            assert len(episode) == len(frames)
            assert episode.attributes["task"] == TASKS[number]
            for at, frame in enumerate(frames):
                got = {
                    "observation.state": steps["observation"]["state"][at],
                    "action": steps["action"][at],
                    "next.reward": steps["reward"][at][None],
                    "next.done": steps["next"]["done"][at][None],
                    "count": steps["count"][at][None],
                }
                for name, value in got.items():
                    np.testing.assert_array_equal(value, frame[name], strict=True)
            found.append(steps["observation"]["images"]["top"])
    return found


def test_we_read_the_pictures_that_lerobot_writes(tmp_path: Path):
    """Every number and pixel that was handed to LeRobot's writer stands in the vault."""
    frames = [pixels(number, length, SHAPE) for number, length in enumerate(LENGTHS)]
    given = recorded(tmp_path / "set", frames, "image")
    convert(tmp_path / "set", tmp_path / "v")
    for got, wanted in zip(check_rows(tmp_path / "v", given), frames, strict=True):
        np.testing.assert_array_equal(got, wanted, strict=True)


@pytest.mark.parametrize("codec", ["libsvtav1", "h264"])
def test_we_read_the_videos_that_lerobot_writes(tmp_path: Path, codec: str):
    """All episodes share one video; each frame is its own within the codec's loss, and none a neighbour's."""
    frames = [smooth(length + 2 * number, SHAPE)[2 * number :] for number, length in enumerate(LENGTHS)]
    given = recorded(tmp_path / "set", frames, "video", vcodec=codec)
    assert len(list((tmp_path / "set/videos").rglob("*.mp4"))) == 1
    convert(tmp_path / "set", tmp_path / "v")
    for got, wanted in zip(check_rows(tmp_path / "v", given), frames, strict=True):
        assert np.abs(got.astype(int) - wanted.astype(int)).mean(axis=(1, 2, 3)).max() < 3.5


@pytest.mark.parametrize("backend", ["torchcodec", "pyav"])
def test_we_decode_as_lerobot_does(tmp_path: Path, backend: str):
    """The pixels that LeRobot's decoders give are ours, to a rounding of the colours."""
    frames = [pixels(number, length, SHAPE) for number, length in enumerate(LENGTHS)]
    recorded(tmp_path / "set", frames, "video", vcodec="h264")
    convert(tmp_path / "set", tmp_path / "v")
    theirs = LeRobotDataset("me/toy", root=tmp_path / "set", video_backend=backend)
    try:
        items = [theirs[at][CAMERA] for at in range(len(theirs))]
    except (AttributeError, ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"{backend} does not run here: {error}")
    with Vault.open(tmp_path / "v") as vault:
        ours = np.concatenate([episode.steps["observation"]["images"]["top"] for episode in vault])
    decoded = np.stack([item.permute(1, 2, 0).numpy() for item in items]) * 255
    assert np.abs(decoded - ours).max() <= 1


def test_lerobot_reads_what_we_write(tmp_path: Path):
    """Its own dataset gives every frame of an exported vault, windows over time, tasks, ends, statistics."""
    path = vault_of(tmp_path / "v", [(3, True, False), (1, False, True), (5, True, True)])
    with Vault.open(path) as vault:
        export(vault, tmp_path / "set", "lerobot", fps=FPS, robot_type="toy")
        found = list(vault)
    deltas = {"observation.state": [-0.1, 0.0, 0.1]}
    theirs = LeRobotDataset("me/toy", root=tmp_path / "set", delta_timestamps=deltas)
    assert (theirs.num_episodes, theirs.num_frames, theirs.fps) == (3, 9, FPS)
    at = 0
    for number, episode in enumerate(found):
        steps, length = episode.steps, len(episode)
        for row in range(length):
            item = theirs[at]
            state = steps["observation"]["state"]
            around = [min(max(row + by, 0), length - 1) for by in (-1, 0, 1)]
            np.testing.assert_array_equal(item["observation.state"].numpy(), state[around])
            # LeRobot hands out float32, whatever the file has.
            np.testing.assert_array_equal(item["action"].numpy(), steps["action"][row].astype(np.float32))
            np.testing.assert_array_equal(item["next.reward"].numpy(), np.float32(steps["reward"][row]))
            picture = item["observation.top"].permute(1, 2, 0).numpy() * 255
            np.testing.assert_array_equal(np.rint(picture).astype(np.uint8), steps["observation"]["top"][row])
            np.testing.assert_array_equal(
                item["observation.depth"].numpy(), steps["observation"]["depth"][row]
            )
            assert item["task"] == f"öffne {number}"
            last = row == length - 1
            assert bool(item["next.done"]) == last
            assert bool(item["next.terminated"]) == (last and bool(episode.terminated))
            at += 1
    states = np.concatenate([episode.steps["observation"]["state"] for episode in found])
    np.testing.assert_allclose(theirs.meta.stats["observation.state"]["mean"], states.mean(axis=0), rtol=1e-4)
    some = LeRobotDataset("me/toy", root=tmp_path / "set", episodes=[2])
    assert some.num_frames == len(found[2])
    state = found[2].steps["observation"]["state"][0]
    np.testing.assert_array_equal(some[0]["observation.state"].numpy(), state)


def test_lerobot_goes_on_with_what_we_write(tmp_path: Path):
    """A dataset that LeRobot wrote, converted and exported, is the same dataset to it."""
    frames = [pixels(number, length, SHAPE) for number, length in enumerate(LENGTHS)]
    recorded(tmp_path / "set", frames, "image")
    convert(tmp_path / "set", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "again", "lerobot")
    before, after = (LeRobotDataset("me/toy", root=tmp_path / name) for name in ("set", "again"))
    for at in range(before.num_frames):
        one, other = before[at], after[at]
        assert set(other) - set(one) == {"next.terminated", "next.truncated"}
        for name, value in one.items():
            assert (value == other[name]) if isinstance(value, str) else bool((value == other[name]).all())
