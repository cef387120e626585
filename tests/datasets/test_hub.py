"""The Hub's own client publishes and fetches: one commit each, pinned, checked, and never half."""

import hashlib

import pytest
from hub_server import TOKEN, BrokenError, hub_server
from publishing_vaults import CARD, files_of, make_vault, same_steps
from strongbax.datasets.fetch import fetch
from strongbax.datasets.hub_shelf import check_limits
from strongbax.datasets.manifest import Entry, Manifest
from strongbax.datasets.publish import publish
from strongbax.vault import (
    AlreadyExistsError,
    ConflictError,
    CorruptionError,
    NotFoundError,
    StorageError,
)

URL = "hf://ada/walk"

# The client's own, of how it calls the library under it.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with hub_server() as state:
        yield state


@pytest.fixture
def storage(hub):
    return {"endpoint": hub.url, "token": TOKEN}


@pytest.fixture(scope="module")
def vaults(tmp_path_factory):
    """Two versions of a dataset."""
    folder = tmp_path_factory.mktemp("vaults")
    return make_vault(folder / "one.vault"), make_vault(folder / "two.vault", seed=1, lengths=(9, 5))


def commits(hub) -> int:
    """How many commits there are, the first, empty one included."""
    return len(hub.repositories["ada/walk"].commits)


def test_what_is_fetched_is_what_was_published(hub, storage, vaults, tmp_path):
    """One commit has every file; fetched they are the same bytes; the Hub read its header and has a table."""
    done = publish(vaults[0], URL, storage=storage)
    assert (commits(hub), done.sent, done.pinned) == (2, done.size, f"{URL}@{done.version}")
    path = fetch(URL, tmp_path / "here.vault", storage=storage)
    same_steps(vaults[0], path)
    _, files = hub.repositories["ada/walk"].commits[-1]
    assert {p: hashlib.sha256(d).hexdigest() for p, d in files_of(path).items()} == {
        p: digest for p, (digest, _) in files.items()
    }
    assert publish(vaults[0], tmp_path / "folder").revision == done.revision
    assert b"configs: " in hub.read("ada/walk", "README.md")
    assert any(large for _, large in files.values())
    assert [one.name for one in tmp_path.iterdir() if one.name != "folder"] == ["here.vault"]


def test_a_pinned_commit_stays(hub, storage, vaults, tmp_path):
    """A newer version is one more commit, without the older one's files; commits and tags stay."""
    first = publish(vaults[0], URL, storage=storage, tag="v1.0")
    second = publish(vaults[1], URL, storage=storage)
    assert commits(hub) == 3
    pins = {"": 1, "@main": 1, "@v1.0": 0, f"@{first.version}": 0, f"@{second.version}": 1}
    for number, (pin, which) in enumerate(pins.items()):
        path = fetch(URL + pin, tmp_path / f"{number}.vault", storage=storage)
        same_steps(vaults[which], path, leaves=["action"])
    assert set(hub.repositories["ada/walk"].commits[-1][1]) == set(files_of(tmp_path / "0.vault"))
    with pytest.raises(NotFoundError, match="no such branch, tag or commit"):
        fetch(f"{URL}@v7", tmp_path / "none.vault", storage=storage)
    with pytest.raises(AlreadyExistsError, match="tags stay"):
        publish(vaults[1], URL, storage=storage, tag="v1.0")


def test_what_is_there_is_not_sent_again(hub, storage, vaults):
    """The same again makes no commit and uploads nothing; of a newer version what changed is uploaded."""
    publish(vaults[0], URL, storage=storage)
    before = len(hub.uploads)
    again = publish(vaults[0], URL, storage=storage, tag="late")
    assert (again.sent, commits(hub), len(hub.uploads)) == (0, 2, before)
    assert hub.repositories["ada/walk"].tags == {"late": again.version}
    publish(vaults[1], URL, storage=storage)
    assert not set(hub.uploads[:before]) & set(hub.uploads[before:])
    before = len(hub.uploads)
    publish(vaults[0], URL, storage=storage)
    assert len(hub.uploads) == before


def test_a_stale_parent_is_refused(hub, storage, vaults, tmp_path):
    """Who publishes over a commit that is no longer the newest is told, before or at the last moment."""
    first = publish(vaults[0], URL, storage=storage)
    second = publish(vaults[1], URL, storage=storage, parent=first.version)
    with pytest.raises(ConflictError, match="`parent`"):
        publish(vaults[0], URL, storage=storage, parent=first.version)
    other = make_vault(tmp_path / "other.vault", seed=7, lengths=(3,))
    state = []

    def meanwhile(method, path):
        if "/commit/" in path and not state:
            state.append(path)
            publish(other, URL, storage=storage)

    hub.before = meanwhile
    with pytest.raises(ConflictError, match="in between"):
        publish(vaults[0], URL, storage=storage)
    hub.before = lambda method, path: None
    path = fetch(URL, tmp_path / "here.vault", storage=storage)
    same_steps(other, path)
    assert [oid for oid, _ in hub.repositories["ada/walk"].commits].index(second.version) == 2


def test_a_broken_publication_is_taken_up(hub, storage, vaults, tmp_path):
    """BrokenError off after some uploads nothing is visible; called again it uploads only the rest."""
    publish(vaults[0], URL, storage=storage)
    count = [0]

    def break_off(method, path):
        count[0] += method == "PUT"
        if (method == "PUT" and count[0] > 3) or "/commit/" in path:
            raise BrokenError

    hub.before = break_off
    before, seen = len(hub.uploads), commits(hub)
    with pytest.raises(StorageError, match="Could not publish to"):
        _without_patience(publish, vaults[1], URL, storage=storage)
    assert commits(hub) == seen
    after = len(hub.uploads)
    assert after > before
    hub.before = lambda method, path: None
    publish(vaults[1], URL, storage=storage)
    assert len(hub.uploads) > after
    assert not set(hub.uploads[:after]) & set(hub.uploads[after:])
    same_steps(vaults[1], fetch(URL, tmp_path / "here.vault", storage=storage))


def _without_patience(call, *arguments, **options):
    """Calls with a client that tries again at once."""
    import time

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: None)
        return call(*arguments, **options)


def test_each_tampered_file_is_named(hub, storage, vaults, tmp_path, monkeypatch):
    """Any file that is not the published one, or missing, is found and named, and nothing appears."""
    monkeypatch.setattr("strongbax.datasets.hub_source.HubSource.requests", 1)
    publish(vaults[1], URL, storage=storage)
    _, files = hub.repositories["ada/walk"].commits[-1]
    for number, path in enumerate(sorted(files)):
        kept, data = files[path], hub.read("ada/walk", path)
        hub.spoil("ada/walk", path, (bytes([data[0] ^ 1]) + data[1:], data[:-1] + b"x", None)[number % 3])
        expected = CorruptionError if path != "manifest.json" else (CorruptionError, NotFoundError)
        with pytest.raises(expected, match=path.replace(".", r"\.")):
            fetch(URL, tmp_path / "there.vault", storage=storage)  # what came before it is kept
        assert not (tmp_path / "there.vault").exists()
        files[path] = kept
    fetch(URL, tmp_path / "there.vault", storage=storage)


def test_a_fetch_goes_on(hub, storage, vaults, tmp_path, monkeypatch):
    """Files that came before the connection broke are not asked for again."""
    monkeypatch.setattr("strongbax.datasets.hub_source.HubSource.requests", 1)
    publish(vaults[0], URL, storage=storage)
    hub.asked.clear()

    def break_off(method, path):
        if method == "GET" and len(hub.asked) > 60:
            raise BrokenError

    hub.before = break_off
    with pytest.raises(StorageError, match="Could not fetch"):
        _without_patience(fetch, URL, tmp_path / "here.vault", storage=storage)
    got = {path for method, path, _ in hub.asked[:60] if method == "GET" and "/cdn/" in path}
    hub.before = lambda method, path: None
    hub.asked.clear()
    path = fetch(URL, tmp_path / "here.vault", storage=storage)
    assert got
    manifest, _ = hub.repositories["ada/walk"].commits[-1][1]["manifest.json"]
    assert not (got - {f"/cdn/{manifest}"}) & {path for _, path, _ in hub.asked}
    same_steps(vaults[0], path)


def test_who_may(hub, storage, vaults, tmp_path):
    """Without a token nothing is written, and what is private is not seen; the token is never told."""
    with pytest.raises(StorageError, match="hf auth login") as caught:
        publish(vaults[0], URL, storage={"endpoint": hub.url, "token": "hf_wrong"})
    assert "hf_wrong" not in str(caught.value)
    publish(vaults[0], URL, storage=storage | {"private": True})
    assert hub.repositories["ada/walk"].private
    with pytest.raises((StorageError, NotFoundError), match="hf auth login"):
        fetch(URL, tmp_path / "here.vault", storage={"endpoint": hub.url, "token": False})
    fetch(URL, tmp_path / "here.vault", storage=storage)


def test_other_things_are_left_alone(hub, storage, vaults, tmp_path):
    """Another dataset is not replaced, files of others stay, and what is no address is told."""
    publish(vaults[0], URL, storage=storage)
    hub.repositories["ada/walk"].commits[-1][1]["LICENSE"] = ("", False)
    hub.blobs[""] = b"mine"
    publish(vaults[1], URL, storage=storage)
    assert hub.read("ada/walk", "LICENSE") == b"mine"
    other = make_vault(tmp_path / "other.vault", card=CARD | {"dataset_id": "toy/run-v0"}, lengths=(3,))
    with pytest.raises(AlreadyExistsError, match="toy/walk-v0"):
        publish(other, URL, storage=storage)
    for url in ("hf://ada", "hf://ada/walk/more"):
        with pytest.raises(ValueError, match="hf://user/name"):
            publish(vaults[0], url, storage=storage)
    with pytest.raises(ValueError, match="`storage`"):
        publish(vaults[0], URL, storage=storage | {"region": "x"})
    with pytest.raises(NotFoundError, match="there is none, or it is private"):
        fetch("hf://ada/nothing", tmp_path / "none", storage=storage)


def test_the_hubs_limits():
    """What the Hub would not take is refused before anything is uploaded."""

    def manifest(paths, size=1):
        return Manifest("a/b-v0", None, tuple(Entry(path, size, "00" * 32) for path in paths), b"")

    check_limits(manifest([f"{n % 20}/{n}" for n in range(99_000)]))
    with pytest.raises(ValueError, match="100,000 files: got 100,002"):
        check_limits(manifest([f"{n % 20}/{n}" for n in range(100_001)]))
    with pytest.raises(ValueError, match="10,000 files in the folder 'steps/a': got 10,001"):
        check_limits(manifest([f"steps/a/{n}" for n in range(10_001)]))
    with pytest.raises(ValueError, match=r"50,000,000,000 bytes in the file 'a'"):
        check_limits(manifest(["a"], size=10**11))
