"""A publication is in the cache once a revision; who asks for it by its address gets it opened."""

import pytest
import strongbax
from publishing_vaults import files_of, make_vault, same_steps
from strongbax.datasets.cache import fetch_dataset, load_dataset
from strongbax.datasets.local import find_vaults
from strongbax.datasets.publish import publish
from strongbax.vault import CorruptionError, NotFoundError, StorageError


@pytest.fixture(scope="module")
def vaults(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vaults")
    return make_vault(folder / "one.vault"), make_vault(folder / "two.vault", seed=1, lengths=(9, 5))


def test_an_address_is_loaded_once(vaults, tmp_path, monkeypatch):
    """The first call fetches, the second opens; a newer publication is another vault beside it."""
    url = "memory://cached/walk"
    done = publish(vaults[0], url)
    with load_dataset(url, folder=tmp_path) as vault:
        assert (vault.num_steps, vault.card["dataset_id"]) == (170, "toy/walk-v0")
        assert vault.path == tmp_path / f"memory/cached/walk@{done.revision[:12]}"
    monkeypatch.setattr("strongbax.datasets.fetch.collect", None)
    with strongbax.load_dataset(url, folder=tmp_path) as vault:
        assert vault.num_steps == 170
    monkeypatch.undo()
    publish(vaults[1], url)
    with load_dataset(url, folder=tmp_path) as vault:
        assert vault.num_steps == 14
    with load_dataset(f"{url}@1", folder=tmp_path) as vault:
        assert vault.num_steps == 170
    assert len(find_vaults(tmp_path)) == 2


def test_offline_what_was_meant_last_is_meant(vaults, tmp_path):
    """Offline nobody is asked: each pin means what it meant when it was last fetched."""
    url = "memory://offline/walk"
    with pytest.raises(StorageError, match="`offline` forbids"):
        load_dataset(url, folder=tmp_path, offline=True)
    publish(vaults[0], url)
    load_dataset(url, folder=tmp_path).close()
    publish(vaults[1], url)
    with load_dataset(url, folder=tmp_path, offline=True) as vault:
        assert vault.num_steps == 170
    with pytest.raises(StorageError, match="`offline` forbids"):
        load_dataset(f"{url}@2", folder=tmp_path, offline=True)


def test_damage_in_the_cache_is_told(vaults, tmp_path):
    """A vault of which a file was lost is not opened, and not fetched over."""
    url = "memory://damaged/walk"
    publish(vaults[1], url)
    path = fetch_dataset(url, folder=tmp_path)
    same_steps(vaults[1], path)
    next((path / "steps/action").glob("c.*")).unlink()
    with pytest.raises(CorruptionError, match="Remove it"):
        load_dataset(url, folder=tmp_path)


def test_an_address_stays_in_the_cache(vaults, tmp_path):
    """No address leads out of the cache, and one of nothing leaves nothing."""
    for url in ("memory://a/../../b", "memory://%2E%2E/x"):
        with pytest.raises((ValueError, NotFoundError)):
            load_dataset(url, folder=tmp_path / "cache")
    assert not files_of(tmp_path)
