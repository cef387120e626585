"""A published folder is the whole dataset: read by everybody, checked, and replaced at once."""

import json

import numpy as np
import pytest
import zarr
from publishing_vaults import CARD, LENGTHS, files_of, make_vault, same_steps
from pyarrow import parquet
from strongbax.datasets.publish import publish
from strongbax.vault import (
    AlreadyExistsError,
    ConflictError,
    CorruptionError,
    LockedError,
    Vault,
)


@pytest.fixture
def vault(tmp_path):
    return make_vault(tmp_path / "walk.vault")


def test_a_publication_is_the_vault_and_what_tells_of_it(vault, tmp_path):
    """It is packed, with README, page, table and manifest; it verifies, and holds every step."""
    done = publish(vault, tmp_path / "out")
    same_steps(vault, tmp_path / "out")
    with Vault.open(tmp_path / "out") as published:
        assert published.schema.packed
        assert published.verify().problems == []
        assert published.card == CARD
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert {"README.md", "index.html", "episodes.parquet", "zarr.json"} <= {
        file["path"] for file in manifest["files"]
    }
    assert (manifest["dataset_id"], manifest["steps"], manifest["episodes"]) == ("toy/walk-v0", 170, 4)
    assert (done.dataset_id, done.version, done.sent) == ("toy/walk-v0", None, done.size)
    assert done.files == len(files_of(tmp_path / "out"))


def test_the_same_vault_is_the_same_bytes(vault, tmp_path):
    """Anywhere, packed before or not, its revision is the same; where it stands nothing is written."""
    first = publish(vault, tmp_path / "one")
    with Vault.open(vault) as opened:
        opened.pack(tmp_path / "packed.vault")
    second = publish(tmp_path / "packed.vault", tmp_path / "two")
    assert first.revision == second.revision
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    before = files_of(tmp_path / "one")
    stamp = (tmp_path / "one").stat().st_ino
    again = publish(tmp_path / "one", tmp_path / "one")
    assert (again.revision, again.sent) == (first.revision, 0)
    assert (tmp_path / "one").stat().st_ino == stamp
    assert files_of(tmp_path / "one") == before


def test_other_readers_read_it(vault, tmp_path):
    """zarr-python opens the folder, pyarrow the table of episodes, and the Hub's header names the table."""
    publish(vault, tmp_path / "out")
    group = zarr.open_group(tmp_path / "out", mode="r")
    assert group["steps/observation/speed"].shape == (1, sum(LENGTHS), 3)
    table = parquet.read_table(tmp_path / "out/episodes.parquet").to_pydict()
    with Vault.open(vault) as opened:
        np.testing.assert_array_equal(table["return"], opened.episodes["return"])
    assert table["episode"] == [0, 1, 2, 3]
    assert table["length"] == [*LENGTHS]
    assert table["terminated"] == [True, False, True, False]
    assert table["level"] == [0, 1, 2, 3]
    assert table["task"] == ["walk 0", "walk 1", "walk 2", "walk 3"]
    assert not {"nested", "id", "stream", "start"} & set(table)
    header = (tmp_path / "out/README.md").read_text().split("---")[1]
    assert 'configs: [{"config_name": "episodes", "data_files": "episodes.parquet"}]' in header


def test_a_view_is_published(vault, tmp_path):
    """Chosen episodes are a publication of their own."""
    with Vault.open(vault) as opened:
        publish(opened.filter({"length": (30, None)}), tmp_path / "long")
    with Vault.open(tmp_path / "long") as published:
        assert published.episodes["length"].tolist() == [40, 90, 33]


def test_as_it_is(vault, tmp_path):
    """As it is the vault keeps its layout; lock and resume points stay at home, and its log must be empty."""
    publish(vault, tmp_path / "out", pack=False, table=False)
    with Vault.open(vault) as one, Vault.open(tmp_path / "out") as other:
        assert other.schema == one.schema
        assert other.verify().problems == []
    assert not {"writer.lock", "episodes.parquet"} & set(files_of(tmp_path / "out"))
    with Vault.open(vault, mode="a"), pytest.raises(LockedError):
        publish(vault, tmp_path / "locked", pack=False)
    with Vault.open(vault) as opened, pytest.raises(ConflictError, match="as it is"):
        publish(opened.take(2), tmp_path / "view", pack=False)


@pytest.mark.parametrize("field", ["dataset_id", "licence", "citation"])
def test_what_nobody_may_use_is_not_published(tmp_path, field):
    """Without id, licence or citation nothing is published, and the error names what is missing."""
    vault = make_vault(tmp_path / "a.vault", card={n: v for n, v in CARD.items() if n != field})
    with pytest.raises(ValueError, match=f"`{field}`"):
        publish(vault, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_takes_the_place_of_something_else(vault, tmp_path):
    """A vault, another dataset and other files stay where they are, unless `overwrite` says otherwise."""
    other = make_vault(tmp_path / "other.vault", card=CARD | {"dataset_id": "toy/run-v0"})
    publish(other, tmp_path / "out")
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.txt").write_text("mine")
    for place in ("out", "files", "other.vault"):
        before = files_of(tmp_path / place)
        with pytest.raises(AlreadyExistsError):
            publish(vault, tmp_path / place)
        before.pop("writer.lock", None)
        after = files_of(tmp_path / place)
        after.pop("writer.lock", None)
        assert after == before
    publish(vault, tmp_path / "out", overwrite=True)
    with Vault.open(tmp_path / "out") as published:
        assert published.card["dataset_id"] == "toy/walk-v0"
    with pytest.raises(AlreadyExistsError):
        publish(vault, tmp_path / "files", overwrite=True)


def test_a_newer_version_takes_the_place_of_the_older(vault, tmp_path):
    """The same dataset with other steps replaces what was published; nothing is left beside it."""
    first = publish(vault, tmp_path / "out")
    newer = make_vault(tmp_path / "newer.vault", seed=5, lengths=(3, 4))
    second = publish(newer, tmp_path / "out")
    assert second.revision != first.revision
    same_steps(newer, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["newer.vault", "out", "walk.vault"]


def test_damage_is_not_published(vault, tmp_path):
    """A damaged vault is refused, packed or not, and what stood at the destination stays."""
    publish(vault, tmp_path / "out")
    before = files_of(tmp_path / "out")
    with Vault.open(vault) as opened:
        opened.pack(tmp_path / "packed.vault")
    for name, pack in (("walk.vault", True), ("walk.vault", False), ("packed.vault", True)):
        shard = next((tmp_path / name / "steps/action").glob("c.*"))
        data = bytearray(shard.read_bytes())
        data[5] ^= 1
        shard.write_bytes(data)
        with pytest.raises(CorruptionError):
            publish(tmp_path / name, tmp_path / "out", pack=pack)
        data[5] ^= 1
        shard.write_bytes(data)
    after = files_of(tmp_path / "out")
    assert after == before
