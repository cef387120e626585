"""From a web server a publication comes by its manifest, by ranges, and never half."""

import pytest
from publishing_vaults import files_of, make_vault, same_steps
from strongbax.datasets.download import Patience
from strongbax.datasets.fetch import fetch
from strongbax.datasets.publish import publish
from strongbax.vault import CorruptionError, NotFoundError, StorageError
from strongbax.vault.location import location_of

QUICK = Patience(timeout=0.5, attempts=2, wait=0.01)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    publish(make_vault(folder / "walk.vault"), folder / "out")
    return folder / "out"


@pytest.fixture
def served(web, published):
    """The address of a published folder on the server."""
    web.files |= {f"/data/walk/{path}": data for path, data in files_of(published).items()}
    return f"{web.url}/data/walk"


def test_a_folder_is_fetched(served, published, tmp_path):
    """A folder that lies on a web server is fetched, as a whole and some leaves of it."""
    path = fetch(served, tmp_path / "here.vault", patience=QUICK)
    assert files_of(path) == files_of(published)
    same_steps(
        published, fetch(served, tmp_path / "few", leaves=["action"], patience=QUICK), leaves=["action"]
    )


def test_a_bucket_is_fetched(web, published, tmp_path):
    """What a bucket has, pointer and revisions, is fetched over HTTP, the newest or a pinned one."""
    other = make_vault(tmp_path / "other.vault", seed=4, lengths=(3,))
    done = [publish(vault, "memory://on-the-web/walk") for vault in (published, other)]
    where = location_of("memory://on-the-web")
    web.files |= {f"/{key}": (where / key).read_bytes() for key in where.below()}
    for number, pin in enumerate(("", "@1", f"@{done[0].revision}")):
        path = fetch(f"{web.url}/walk{pin}", tmp_path / f"{number}.vault", patience=QUICK)
        same_steps(published if pin else other, path, leaves=["action"])
    with pytest.raises(NotFoundError, match="no publication"):
        fetch(f"{web.url}/walk@9", tmp_path / "none", patience=QUICK)


def test_a_broken_connection_is_taken_up(served, web, tmp_path):
    """Cut off in the middle of files, over and over, every byte is asked for about once."""
    web.then = "cut=100000"
    path = fetch(served, tmp_path / "here.vault", patience=QUICK)
    assert any(asked for _, asked in web.asked) or web.sent > 0
    assert path.exists()
    web.asked.clear()
    fetch(served, path, patience=QUICK)
    assert [url for url, _ in web.asked] == ["/data/walk/publication.json", "/data/walk/manifest.json"]


def test_a_stop_costs_one_file(served, web, tmp_path, monkeypatch):
    """After the server died in between, files that came are not asked for again."""
    monkeypatch.setattr("strongbax.datasets.web_source.WebSource.requests", 1)
    web.plan = ["whole"] * 12
    web.then = "503"
    with pytest.raises(StorageError, match="503"):
        fetch(served, tmp_path / "here.vault", patience=QUICK)
    came = {path for path, _ in web.asked[2:12]}
    web.asked.clear()
    web.then = "whole"
    fetch(served, tmp_path / "here.vault", patience=QUICK)
    assert not came & {path for path, _ in web.asked}


def test_a_tampered_file_is_named(served, web, tmp_path, monkeypatch):
    """A file of other bytes, another size, or none is found and named."""
    monkeypatch.setattr("strongbax.datasets.web_source.WebSource.requests", 1)
    for path in ("episodes.parquet", "steps/action/zarr.json", "steps/reward/c.0.0"):
        kept = web.files[f"/data/walk/{path}"]
        for wrong in (bytes(len(kept)), kept + b"x", kept[:-1], None):
            if wrong is None:
                del web.files[f"/data/walk/{path}"]
            else:
                web.files[f"/data/walk/{path}"] = wrong
            with pytest.raises(CorruptionError, match=f"'{path}'"):
                fetch(served, tmp_path / "here.vault", patience=QUICK)
            web.files[f"/data/walk/{path}"] = kept
    assert not (tmp_path / "here.vault").exists()


def test_what_is_not_there(web, tmp_path):
    """Nothing published, and nobody who answers, are two errors."""
    with pytest.raises(NotFoundError, match=r"no manifest\.json"):
        fetch(f"{web.url}/nothing", tmp_path / "here", patience=QUICK)
    web.then = "500"
    with pytest.raises(StorageError, match="HTTP 500"):
        fetch(f"{web.url}/nothing", tmp_path / "here", patience=QUICK)
