"""Publications on a real object store: Ceph's gateway. `make ceph` runs them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from publishing_vaults import make_vault, same_steps
from strongbax.datasets.fetch import fetch
from strongbax.datasets.publish import publish
from strongbax.vault import ConflictError, Vault
from test_ceph import ceph  # noqa: F401 - a fixture
from test_publish_killed import Worker, fetched_under_fire, published_under_fire

pytestmark = pytest.mark.heavy


def test_kills_on_ceph(ceph, tmp_path):  # noqa: F811 - the fixture
    """Killed at any moment, a publication on Ceph is the old or the new one, and a fetch is whole or not."""
    url, storage = ceph
    worker = Worker()
    try:
        for name in ("publish", "fetch"):
            (tmp_path / name).mkdir()
        place = (f"{url}/publish", storage)
        assert published_under_fire(worker, place, tmp_path / "publish", kills=30, seed=3)
        assert fetched_under_fire(worker, (f"{url}/fetch", storage), tmp_path / "fetch", kills=20, seed=3)
    finally:
        worker.close()


def test_a_race_on_ceph(ceph, tmp_path):  # noqa: F811 - the fixture
    """Of several that publish at once each gets a version of its own or is told; the newest one opens."""
    url, storage = ceph
    vaults = [make_vault(tmp_path / f"{n}.vault", seed=n, lengths=(n + 1,)) for n in range(4)]

    def attempt(vault):
        try:
            return int(publish(vault, f"{url}/race", storage=storage).version)
        except ConflictError:
            return 0

    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            versions = list(pool.map(attempt, vaults))
        won = [version for version in versions if version]
        assert won
        assert len(set(won)) == len(won)
        newest = vaults[versions.index(max(won))]
        with Vault.open(newest) as one, Vault.open(f"{url}/race", storage=storage) as other:
            assert one.num_steps == other.num_steps
    path = fetch(f"{url}/race@1", tmp_path / "first", storage=storage)
    same_steps(
        next(vault for vault in vaults if Vault.open(vault).num_steps == Vault.open(path).num_steps), path
    )
