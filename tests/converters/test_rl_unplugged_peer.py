"""TFDS's own readers of RL Unplugged make the same steps. Needs TensorFlow and TFDS (`make peers`)."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from strongbax.converters import convert
from strongbax.converters.pictures import png_bytes
from strongbax.converters.tf_example import example_bytes
from strongbax.vault.vault import Vault
from test_rl_unplugged import RNG, before, control, f32, flat, one, save, types

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]  # TensorFlow's own


@pytest.fixture(scope="module")
def tf() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tensorflow_datasets", reason="needs TFDS: `make peers`")
        return pytest.importorskip(
            "tensorflow", reason="needs TensorFlow: `make peers`", exc_type=ImportError
        )


def numpy_of(tree: Any) -> Any:
    return {k: numpy_of(v) for k, v in tree.items()} if isinstance(tree, dict) else np.asarray(tree)


def same_steps(ours: Any, theirs: dict[str, Any], names: tuple[str, ...]) -> None:
    """Compares an episode with RLDS's, whose last row is the final observation and nothing else."""
    steps = numpy_of(theirs["steps"])

    def compare(mine: Any, final: Any, other: Any) -> None:
        if isinstance(other, dict):
            assert mine.keys() == other.keys()
            for name in other:
                compare(mine[name], final[name], other[name])
        else:
            np.testing.assert_array_equal(mine, other[:-1], strict=True)
            np.testing.assert_array_equal(final, other[-1], strict=True)

    compare(ours.steps["observation"], ours.final["observation"], steps["observation"])
    for name in names:
        other = steps[name][:-1]
        np.testing.assert_array_equal(ours.steps[name], other.reshape(ours.steps[name].shape))
    assert bool(ours.terminated) == bool(steps["is_terminal"][-1])


@pytest.mark.parametrize("over", [True, False])
def test_control_suite(tmp_path: Path, tf: Any, over: bool):
    """Rewards, discounts, actions and observations of the control suite stand in the same rows."""
    from tensorflow_datasets.rl_unplugged.rlu_control_suite.rlu_control_suite import RluControlSuite

    made = control(6, over=over)
    record = {
        "observation/position": flat(made["position"]),
        "observation/velocity": f32(6 * 2),
        "action": f32(6),
        "reward": before(made["reward"]),
        "discount": before(made["discount"], 1),
        "step_type": types(6),
        "episode_id": one(3),
        "timestamp": one(4),
    }
    sizes = SimpleNamespace(observation_size={"position": 3, "velocity": 2}, action_size=1)
    self = SimpleNamespace(builder_config=sizes)
    self._get_example_specs = lambda: RluControlSuite._get_example_specs(self)
    theirs = RluControlSuite.tf_example_to_step_ds(self, tf.constant(example_bytes(record)))
    convert(save(tmp_path / "train-00000-of-00001", [record]), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        same_steps(vault[0], theirs, ("action", "reward", "discount"))
        assert vault.episodes["episode_id"].tolist() == [3]


def test_locomotion(tmp_path: Path, tf: Any):
    """The rodent's camera and senses are the same pixels and numbers."""
    from tensorflow_datasets.rl_unplugged.rlu_locomotion import rlu_locomotion as peer

    rows = 5
    specs = peer._feature_description("rodent_gaps")
    record: dict[str, Any] = {
        key: f32(rows * int(np.prod(spec.shape)))
        for key, spec in specs.items()
        if key.startswith("observation/") or key == "action"
    }
    camera = RNG.integers(0, 256, (rows, 64, 64, 3), np.uint8)
    record["observation/walker/egocentric_camera"] = [each.tobytes() for each in camera]
    record |= {
        "reward": f32(rows),
        "discount": np.array([1, 1, 1, 1, 0], np.float32),
        "step_type": types(rows),
    }
    record |= {"episode_id": one(3), "timestamp": one(4)}
    self = SimpleNamespace(builder_config=SimpleNamespace(name="rodent_gaps"))
    theirs = peer.RluLocomotion.tf_example_to_step_ds(self, tf.constant(example_bytes(record)))
    convert(save(tmp_path / "train-00000-of-00001", [record]), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        same_steps(vault[0], theirs, ("action", "reward", "discount"))


def test_real_world_rl(tmp_path: Path, tf: Any):
    """Actions, rewards and discounts, a row late each, stand where TFDS puts them."""
    from tensorflow_datasets.rl_unplugged.rlu_rwrl import rlu_rwrl as peer

    made = control(peer.DEFAULT_NUM_TIMESTEPS, over=False)
    record = {
        "observation:position": flat(made["position"]),
        "observation:height": flat(made["height"]),
        "action": flat(before(made["action"])),
        "reward": before(made["reward"]),
        "discount": before(made["discount"], 1),
    }
    data = example_bytes(record)
    specs = peer.tf_example_to_feature_description(data)
    theirs = peer.RluRwrl.tf_example_to_step_ds(None, tf.constant(data), specs)
    convert(save(tmp_path / "episodes.tfrecord-00000-of-00001", [record], zipped=False), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        same_steps(vault[0], theirs, ("action", "reward", "discount"))


@pytest.mark.parametrize("over", [1, 0])
def test_atari_episodes(tmp_path: Path, tf: Any, over: int):
    """Frames, rewards and discounts of Atari's episodes are those of TFDS."""
    from tensorflow_datasets.rl_unplugged import atari_utils

    pixels = RNG.integers(0, 256, (4, 84, 84, 1), np.uint8)
    record = {
        "checkpoint_idx": one(5),
        "episode_idx": one(7),
        "episode_return": one(2.5, np.float32),
        "clipped_episode_return": one(1, np.float32),
        "observations": [png_bytes(each) for each in pixels],
        "actions": np.arange(4),
        "unclipped_rewards": f32(4),
        "clipped_rewards": f32(4),
        "discounts": np.array([1, 1, 1, 1 - over], np.float32),
    }
    theirs = dict(atari_utils.atari_example_to_rlds(tf.constant(example_bytes(record))))
    frames = np.stack([tf.io.decode_png(png).numpy() for png in theirs["steps"]["observation"]])
    theirs["steps"] = {**theirs["steps"], "observation": frames}
    convert(save(tmp_path / "run_1-00000-of-00001", [record]), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        same_steps(vault[0], theirs, ("action", "reward", "discount"))
        assert vault.episodes["checkpoint"].tolist() == [int(theirs["checkpoint_id"])]
        assert vault.episodes["episode"].tolist() == [int(theirs["episode_id"])]


def test_deepmind_lab(tmp_path: Path, tf: Any):
    """Every row of a piece is a step for TFDS too, which keeps the number of the last action alone."""
    from tensorflow_datasets.rl_unplugged.dmlab_dataset import DMLabDatasetBuilder

    pixels = RNG.integers(0, 256, (4, 72, 96, 3), np.uint8)
    actions = np.eye(15, dtype=np.float32)[[3, 1, 4, 1]]
    record = {
        "episode_id": one(1),
        "start_idx": one(0),
        "episode_return": one(0.5, np.float32),
        "observations_pixels": [png_bytes(each) for each in pixels],
        "observations_reward": f32(4),
        "observations_action": flat(actions),
        "actions": np.arange(4),
        "rewards": f32(4),
        "discounted_rewards": f32(4),
        "discounts": np.ones(4, np.float32),
    }
    self = SimpleNamespace(builder_config=SimpleNamespace(episode_length=4))
    data = tf.constant(example_bytes(record))
    theirs = numpy_of(DMLabDatasetBuilder.tf_example_to_step_ds(self, data)["steps"])
    convert(save(tmp_path / "tfrecord-00000-of-00001", [record]), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        steps = vault[0].steps
    for name in ("action", "reward", "discount"):
        np.testing.assert_array_equal(steps[name], theirs[name], strict=True)
    np.testing.assert_array_equal(steps["observation"]["last_reward"], theirs["observation"]["last_reward"])
    np.testing.assert_array_equal(
        steps["observation"]["last_action"].argmax(axis=1), theirs["observation"]["last_action"]
    )
    np.testing.assert_array_equal(
        steps["observation"]["pixels"], theirs["observation"]["pixels"], strict=True
    )
