"""Vaults of every version that ever wrote one are read as they were, for ever, by us and by others."""

import json
import shutil
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import plain_reader
import pytest
import zarr
from strongbax.vault import Vault
from vault_rings import same

GOLDEN = Path(__file__).parents[1] / "golden"
VAULTS = sorted(GOLDEN.glob("format*/*.vault"))
IDS = [f"{path.parent.name}/{path.stem}" for path in VAULTS]


def expected(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
    arrays = {}
    with np.load(path.with_suffix(".npz")) as raw:
        for name, (dtype, shape) in facts["arrays"].items():
            known = np.dtype(getattr(ml_dtypes, dtype, dtype))
            arrays[name] = np.frombuffer(raw[name].tobytes(), known).reshape(shape)
    return facts, arrays


def holds(vault: Vault, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Compares everything that was written down of a vault with what it gives now."""
    found = {f"steps/{name}": vault.read_numpy(leaves=[name])[name] for name in vault.leaves}
    found |= {f"final/{name}": vault.finals(name) for name in vault.schema.finals}
    found |= {f"episodes/{name}": vault.episodes[name] for name in vault.episodes.columns}
    found |= {f"running/{name}": vault.open_episodes[name] for name in vault.open_episodes.columns}
    for name, values in arrays.items():
        assert same(found[name], values), name
    table = vault.episodes
    assert [table.attributes(row) for row in range(len(table))] == facts["episode_attributes"]
    assert [[gap.time, gap.lost] for gap in vault.gaps] == facts["gaps"]
    assert vault.attributes == facts["attributes"]
    assert vault.card == facts["card"]
    assert vault.roles.to_dict() == facts["roles"]
    assert json.loads(json.dumps(vault.schema.tree.to_dict())) == facts["tree"]


def test_there_are_golden_vaults():
    """A closed vault, one with a log and a packed one are kept, with final rows compressed and not."""
    assert {name.split("/")[1] for name in IDS} >= {"episodes", "streams", "packed"}
    assert {Vault.open(path).schema.finals_compressed for path in VAULTS} == {False, True}


@pytest.mark.parametrize("path", VAULTS, ids=IDS)
def test_golden_vaults_are_read(path):
    """A vault of an older version gives the same bytes, dtypes, episodes and facts, and verifies."""
    facts, arrays = expected(path)
    before = sorted(file.name for file in path.rglob("*"))
    vault = Vault.open(path)
    holds(vault, facts, arrays)
    assert vault.verify().problems == []
    episode = vault[0]
    stream, start = episode.stream, episode.start
    frames = arrays["steps/observation/pixels"][stream, start : start + len(episode)]
    assert same(episode.steps["observation"]["pixels"], frames)
    assert isinstance(episode.steps["action"], tuple)
    assert sorted(file.name for file in path.rglob("*")) == before


@pytest.mark.parametrize("path", VAULTS, ids=IDS)
def test_golden_vaults_are_read_by_the_page(path):
    """A reader that knows only docs/format.md reads an older version's vault."""
    facts, arrays = expected(path)
    found = plain_reader.read_vault(path)
    for name, values in arrays.items():
        if not name.startswith("running/") and name != "episodes/id":
            assert same(found["arrays"][name], values), name
    assert [json.loads(text) for text in found["texts"]] == facts["episode_attributes"]
    assert found["gaps"] == facts["gaps"]


@pytest.mark.parametrize("path", VAULTS, ids=IDS)
def test_golden_vaults_are_read_by_zarr(path):
    """zarr-python reads what is sealed in an older version's vault."""
    _, arrays = expected(path)
    group = zarr.open_group(path, mode="r")
    for name, values in arrays.items():
        if name.startswith("steps/"):
            raw = group[name][...]
            sealed = values[:, : raw.shape[1]]
            assert sealed.shape[1] >= 8
            assert raw.tobytes() == sealed.tobytes(), name


@pytest.mark.parametrize("path", VAULTS, ids=IDS)
def test_golden_vaults_are_written_on(path, tmp_path):
    """An older version's vault is opened, grows, is closed, and still holds what it held."""
    facts, arrays = expected(path)
    copy = Path(shutil.copytree(path, tmp_path / "copy.vault"))
    with Vault.open(copy, mode="a") as vault:
        holds(vault, facts, arrays)
        length, streams = vault.length, vault.streams
        whole = {name: arrays[f"steps/{name}"] for name in vault.leaves}
        if streams == 1:
            steps = vault.schema.tree.rebuild([values[0, :11] for values in whole.values()])
            vault.extend(steps)
            assert vault.length == length + 11
    vault = Vault.open(copy)
    for name, values in whole.items():
        assert same(vault.read_numpy(0, length, leaves=[name])[name], values), name
    assert vault.verify().problems == []
    group = zarr.open_group(copy, mode="r")
    assert group["steps/reward"].shape == (streams, vault.length)
