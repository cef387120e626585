"""Where TFDS's conversion of D4RL errs we do not. Needs TensorFlow and TFDS (`make peers`)."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from d4rl_files import columns, write
from strongbax.converters import convert, export
from strongbax.vault.vault import Vault

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]  # TensorFlow's own


@pytest.fixture(scope="module")
def tfds() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tensorflow", reason="needs TensorFlow: `make peers`", exc_type=ImportError)
        return pytest.importorskip("tensorflow_datasets", reason="needs TFDS: `make peers`")


def theirs(path: Path) -> list[Any]:
    """The episodes that the builders of `d4rl_mujoco_*` and `d4rl_adroit_*` make of a file."""
    from tensorflow_datasets.d4rl.dataset_utils import generate_examples

    return [episode["steps"] for _, episode in generate_examples(str(path))]


def vault_of(path: Path) -> Vault:
    convert(path, path.with_suffix(".vault"))
    return Vault.open(path.with_suffix(".vault"))


def test_every_episode_has_its_own_final_observation(tmp_path: Path, tfds: Any):
    """TFDS gives all episodes the next observation of the whole file's last row."""
    made = columns(50, following=True)
    path = write(tmp_path / "hopper_medium.hdf5", made)
    found = np.array([steps["observation"][-1] for steps in theirs(path)])
    assert len(found) == 5
    assert (found == made["next_observations"][-1]).all()
    with vault_of(path) as vault:
        finals = vault.finals("observation")
    np.testing.assert_array_equal(finals, made["next_observations"][[9, 19, 30, 44, 49]], strict=True)
    assert (finals[:-1] != found[:-1]).any(axis=1).all()


def test_no_observation_is_made_up(tmp_path: Path, tfds: Any):
    """Without next observations TFDS ends terminated episodes with one of zeros; here none is known."""
    path = write(tmp_path / "hopper_medium.hdf5", columns(50))
    ended = [steps for steps in theirs(path) if steps["is_terminal"][-1]]
    assert len(ended) == 2
    assert all((steps["observation"][-1] == 0).all() for steps in ended)
    with vault_of(path) as vault:
        assert "final_known" not in vault.episodes.columns or not vault.episodes["final_known"].any()
        assert vault.episodes["length"].tolist() == [10, 10, 11, 14, 5]
        assert vault.episodes["terminated"].sum() == 2


def test_the_last_step_of_a_truncated_episode_is_a_step(tmp_path: Path, tfds: Any):
    """Without next observations TFDS calls it `is_last`, which means that its action and reward are void."""
    made = columns(50, terminals=())
    path = write(tmp_path / "hopper_medium.hdf5", made)
    first = theirs(path)[0]
    assert first["is_last"][-1]
    assert first["reward"][-1] == made["rewards"][19] != 0
    with vault_of(path) as vault:
        assert vault[0].length == 20
        assert vault[0].truncated
        assert vault[0].steps["reward"][-1] == made["rewards"][19]


def test_float64_stays_float64(tmp_path: Path, tfds: Any):
    """TFDS writes float64 as float32, and says float64 when it reads; what we write for it is exact."""
    rewards = np.array([0.1, 0.2, 1e-9 + 1.0])
    spec = tfds.features.Tensor(shape=(3,), dtype=np.float64)
    serializer = __import__(
        "tensorflow_datasets.core.example_serializer", fromlist=["ExampleSerializer"]
    ).ExampleSerializer(tfds.features.FeaturesDict({"reward": spec}).get_serialized_info())
    parser = __import__("tensorflow_datasets.core.example_parser", fromlist=["ExampleParser"])
    data = serializer.serialize_example({"reward": rewards})
    found = parser.ExampleParser(
        tfds.features.FeaturesDict({"reward": spec}).get_tensor_info()
    ).parse_example(data)["reward"]
    assert found.dtype == np.float64
    assert (found.numpy() != rewards).all()
    assert found.numpy()[2] == 1
    made = columns(3, dtype=np.float64, terminals=(2,), timeouts=())
    with vault_of(write(tmp_path / "a.hdf5", made | {"rewards": rewards})) as vault:
        export(vault, tmp_path / "out", "rlds")
    builder = tfds.builder_from_directory(tmp_path / "out")
    (episode,) = tfds.as_numpy(builder.as_dataset(split="train"))
    again = [float(step["reward"]) for step in episode["steps"] if not step["is_last"]]
    assert again[:2] == rewards[:2].tolist()
