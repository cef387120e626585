"""Traps of other formats that no other test stands for, on files that others wrote where there are any."""

import io
from pathlib import Path

import h5py
import minari_files as minari_made
import numpy as np
import pytest
from strongbax.converters import convert
from strongbax.converters.hdf5 import datasets
from strongbax.converters.tf_example import parse_example
from strongbax.converters.tfrecord import read_records
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault

SAMPLES = Path(__file__).parents[2] / "../shared/samples"


def test_bridges_cameras_and_language(tmp_path: Path):
    """Every picture of BridgeData's four cameras, every number and every instruction stands in the vault."""
    image = pytest.importorskip("PIL.Image")
    folder = SAMPLES / "rlds/bridge_dataset"
    if not folder.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    convert(folder, tmp_path / "v")
    (file,) = folder.glob("*.tfrecord-*")
    records = [parse_example(data) for data in read_records(file)]
    with Vault.open(tmp_path / "v") as vault:
        episodes = list(vault)
        assert len(episodes) == len(records) == 25
        for episode, record in zip(episodes, records, strict=True):
            steps = episode.steps
            for camera in range(4):
                pixels = [
                    np.asarray(image.open(io.BytesIO(data)).convert("RGB"))
                    for data in record[f"steps/observation/image_{camera}"]
                ]
                np.testing.assert_array_equal(
                    steps["observation"][f"image_{camera}"], np.stack(pixels), strict=True
                )
            for name, leaf in (
                ("action", steps["action"]),
                ("observation/state", steps["observation"]["state"]),
                ("language_embedding", steps["language_embedding"]),
            ):
                np.testing.assert_array_equal(leaf.reshape(-1), record[f"steps/{name}"], strict=True)
            said = {text.decode() for text in record["steps/language_instruction"]}
            assert {episode.attributes["language_instruction"]} == said
            assert episode.columns["has_language"] == record["episode_metadata/has_language"][0]
            assert (episode.terminated, episode.truncated, len(episode)) == (False, False, 10)
        assert len({episode.attributes["language_instruction"] for episode in episodes}) > 1


@pytest.mark.parametrize("short", [(0, 1, 2), (0,), (2,)])
def test_minaris_episodes_without_a_final_observation(tmp_path: Path, short: tuple[int, ...]):
    """Episodes with as many observations as rewards have no final row, whichever they are; others do."""
    folder = minari_made.write_plain(tmp_path / "toy-v0")
    with h5py.File(folder / "data/main_data.hdf5", "a") as file:
        for name, node in datasets(file).items():
            episode = name.split("/")[0]
            longer = node.ndim and len(node) == len(file[f"{episode}/rewards"]) + 1
            if longer and int(episode.removeprefix("episode_")) in short:
                rows = node[:-1]
                del file[name]
                file[name] = rows
    convert(folder, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        for number, episode in enumerate(vault):
            assert len(episode) == minari_made.LENGTHS[number]
            assert (episode.final is None) == (number in short)


def test_riegeli_is_named(tmp_path: Path):
    """A file format of TFDS that is not read is named beside those that are."""
    from rlds_files import episode, write

    folder = write(tmp_path / "toy", [episode(3)])
    about = folder / "dataset_info.json"
    about.write_text(about.read_text().replace('"tfrecord"', '"riegeli"'))
    with pytest.raises(FormatError, match=r"file format 'riegeli' is none of .*tfrecord.*array_record"):
        convert(folder, tmp_path / "v")
