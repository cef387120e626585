"""On an object store a publication is a revision that never changes, and one object that names the newest."""

import json
import re

import pytest
from publishing_vaults import CARD, files_of, make_vault, same_steps
from strongbax.datasets import object_shelf
from strongbax.datasets.fetch import fetch
from strongbax.datasets.publish import publish
from strongbax.vault import (
    AlreadyExistsError,
    ConflictError,
    CorruptionError,
    NotFoundError,
    StorageError,
    Vault,
)
from strongbax.vault.location import location_of
from strongbax.vault.parts import verify_all


@pytest.fixture(scope="module")
def vaults(tmp_path_factory):
    """Two versions of a dataset."""
    folder = tmp_path_factory.mktemp("vaults")
    return make_vault(folder / "one.vault"), make_vault(folder / "two.vault", seed=1, lengths=(9, 5))


@pytest.fixture(params=["memory", "s3"])
def place(request, tmp_path):
    """The URL of a place of the test's own, and how to reach it."""
    name = re.sub(r"\W+", "-", request.node.name)
    if request.param == "memory":
        return f"memory://{name}", None
    return f"s3://tests/{name}", {"endpoint": request.getfixturevalue("endpoint")}


def objects(place) -> dict[str, bytes]:
    """Every object below a place."""
    where = location_of(*place)
    return {key: (where / key).read_bytes() for key in where.below()}


def test_what_is_fetched_is_what_was_published(vaults, place, tmp_path):
    """Published to a store and fetched back every byte is the same, and the vault opens where it lies."""
    url, storage = place
    done = publish(vaults[0], url, storage=storage)
    path = fetch(url, tmp_path / "here.vault", storage=storage)
    same_steps(vaults[0], path)
    assert publish(path, tmp_path / "folder").revision == done.revision
    with Vault.open(url, storage=storage) as vault:
        assert vault.num_steps == 170
        assert str(vault.path) == f"{url}/revisions/{done.revision}"
    assert verify_all(location_of(url, storage)).problems == []
    assert (done.version, done.pinned) == ("1", f"{url}@{done.revision}")
    assert done.sent == done.size
    assert list(tmp_path.glob(".*")) == list(vaults[0].parent.glob(".*")) == []


def test_readers_of_the_old_one_go_on(vaults, place, tmp_path):
    """A newer version takes its place at once; whoever has the older one open, or pins it, reads on."""
    url, storage = place
    first = publish(vaults[0], url, storage=storage, tag="v1.0")
    with Vault.open(url, storage=storage) as reader:
        second = publish(vaults[1], url, storage=storage)
        assert reader.read_numpy(leaves=["action"])["action"].shape[1] == 170
        assert reader.verify().problems == []
    pins = {"": 1, "@1": 0, "@2": 1, "@v1.0": 0, f"@{first.revision}": 0, f"@{second.revision}": 1}
    for number, (pin, which) in enumerate(pins.items()):
        path = fetch(url + pin, tmp_path / f"{number}.vault", storage=storage)
        same_steps(vaults[which], path, leaves=["action"])
    for pin in ("@3", "@v2", "@" + "0" * 32):
        with pytest.raises(NotFoundError):
            fetch(url + pin, tmp_path / "none.vault", storage=storage)


def test_what_is_there_is_not_sent_again(vaults, place):
    """The same again sends nothing and makes no version; going back to an older one sends nothing."""
    url, storage = place
    publish(vaults[0], url, storage=storage)
    before = objects(place)
    again = publish(vaults[0], url, storage=storage)
    assert (again.version, again.sent) == ("1", 0)
    assert objects(place) == before
    publish(vaults[1], url, storage=storage)
    back = publish(vaults[0], url, storage=storage)
    assert (back.version, back.sent) == ("3", 0)
    with Vault.open(url, storage=storage) as vault:
        assert vault.num_steps == 170


class Killed(BaseException):
    """The process ends here."""


def test_stopped_before_any_request(vaults, tmp_path, monkeypatch):
    """Stopped at any of its writes, readers see the old or the new one; called again it sends the rest."""
    from strongbax.vault.bucket import Bucket

    left, sent = [0], []

    def limited(write):
        def put(self, key, data):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            sent.append(key)
            return write(self, key, data)

        return put

    for name in ("put", "put_new"):
        monkeypatch.setattr(Bucket, name, limited(getattr(Bucket, name)))
    left[0] = 10**6
    url = "memory://stopped"
    publish(vaults[0], url)
    writes, states = 0, set()
    while True:
        left[0], before = 5 if writes < 40 else 1, len(sent)
        try:
            publish(vaults[1], url)
        except Killed:
            pass
        else:
            break
        writes += len(sent) - before
        with Vault.open(url) as vault:
            states.add(vault.num_steps)
            assert vault.verify().problems == []
    files = [key for key in sent if "/revisions/" in key]
    assert len(files) == len(set(files))
    with Vault.open(url) as vault:
        assert vault.num_steps == 14
    assert states >= {170}
    assert publish(vaults[1], url).version == "2"
    fetch(url, tmp_path / "here.vault")
    same_steps(vaults[1], tmp_path / "here.vault")


def test_of_two_that_publish_at_once_one_is_told(vaults, tmp_path, monkeypatch):
    """Who loses the race for a version learns it; nothing of the winner's is touched."""
    url = "memory://race"
    publish(vaults[0], url)
    other = make_vault(tmp_path / "other.vault", seed=7, lengths=(3,))
    upload = object_shelf._upload

    def slow(*arguments):
        monkeypatch.setattr(object_shelf, "_upload", upload)
        publish(other, url)
        return upload(*arguments)

    monkeypatch.setattr(object_shelf, "_upload", slow)
    with pytest.raises(ConflictError, match="version 2"):
        publish(vaults[1], url)
    with Vault.open(url) as vault:
        assert vault.num_steps == 3
    assert publish(vaults[1], url).version == "3"


def test_a_record_without_a_pointer_counts(vaults):
    """A publisher that was killed before it pointed is finished by whoever publishes next."""
    url = "memory://pointless"
    publish(vaults[0], url)
    where = location_of(url)
    old = (where / "publication.json").read_bytes()
    publish(vaults[1], url)
    (where / "publication.json").write_bytes(old)
    assert publish(vaults[0], url).version == "3"
    (where / "publication.json").write_bytes(old)
    assert publish(vaults[0], url).sent == 0
    assert json.loads((where / "publication.json").read_bytes())["version"] == 3


def test_each_tampered_object_is_named(vaults, tmp_path, monkeypatch):
    """A changed, cut or missing object is found and named; nothing appears at the destination."""
    monkeypatch.setattr("strongbax.datasets.object_source.ObjectSource.requests", 1)
    url = "memory://tampered"
    done = publish(vaults[1], url)
    where = location_of(url)
    for number, (key, data) in enumerate(sorted(objects((url, None)).items())):
        if not key.startswith("revisions/"):
            continue
        flipped = bytes([data[0] ^ 1]) + data[1:]
        wrong = (flipped, data[:-1], None)[number % 3]
        (where / key).unlink() if wrong is None else (where / key).write_bytes(wrong)
        name = key.split("/", 2)[2]
        expected = NotFoundError if wrong is None and name == "manifest.json" else CorruptionError
        with pytest.raises(expected, match=name.replace(".", r"\.")):
            fetch(url, tmp_path / "there.vault")  # what came before it is kept
        assert not (tmp_path / "there.vault").exists()
        (where / key).write_bytes(data)
    (where / "publication.json").write_bytes(b'{"format": 1, "revision": "..", "version": 1}')
    with pytest.raises(CorruptionError, match=r"publication\.json"):
        fetch(url, tmp_path / "there.vault")
    assert fetch(f"{url}@{done.revision}", tmp_path / "here.vault").exists()


def test_tags_stay(vaults):
    """A tag is of one publication for ever; a word that reads as a number is none."""
    url = "memory://tags"
    publish(vaults[0], url, tag="v1")
    publish(vaults[0], url, tag="v1")
    with pytest.raises(AlreadyExistsError, match="tags stay"):
        publish(vaults[1], url, tag="v1")
    assert publish(vaults[0], url).version == "1"
    for tag in ("3", "a/b", "ab" * 16, ".x"):
        with pytest.raises(ValueError, match="`tag`"):
            publish(vaults[0], url, tag=tag)


def test_other_things_are_left_alone(vaults, tmp_path):
    """A vault and another dataset at the place are not hidden; a web server takes nothing."""
    other = make_vault(tmp_path / "other.vault", card=CARD | {"dataset_id": "toy/run-v0"})
    publish(other, "memory://others")
    with pytest.raises(AlreadyExistsError, match=r"toy/run-v0"):
        publish(vaults[0], "memory://others")
    assert publish(vaults[0], "memory://others", overwrite=True).version == "2"
    Vault.create("memory://standing", steps={"a": 1.0}).close()
    with pytest.raises(AlreadyExistsError, match="A vault stands"):
        publish(vaults[0], "memory://standing")
    with pytest.raises(StorageError, match="web server"):
        publish(vaults[0], "https://example.org/walk")
    with pytest.raises(ValueError, match="no user's name") as caught:
        publish(vaults[0], "s3://ada:geheim@bucket/walk")
    assert "geheim" not in str(caught.value)
    with pytest.raises(ValueError, match="`tag`"):
        publish(vaults[0], tmp_path / "out", tag="v1")
    with pytest.raises(ValueError, match="no revision"):
        publish(vaults[0], "memory://others@2")


def test_a_vault_in_a_store_is_published(vaults, tmp_path):
    """A vault that lies in a store is published from there, to a store or a folder, with the same bytes."""
    with Vault.open(vaults[1]) as vault:
        vault.save(tmp_path / "copy.vault")
    where = location_of("memory://source.vault")
    for path, data in files_of(tmp_path / "copy.vault").items():
        (where / path).write_bytes(data)
    one = publish("memory://source.vault", "memory://from-store", work=tmp_path / "work")
    two = publish("memory://source.vault", tmp_path / "out")
    assert one.revision == two.revision
    assert list((tmp_path / "work").iterdir()) == []


def test_a_place_on_google_is_described(vaults):
    """A gs:// URL becomes a place of TensorStore's gcs driver; there is no fake of it to publish to."""
    where = location_of("gs://bucket/walk/v2")
    assert json.loads(where.bucket.spec)["driver"] == "gcs"
    assert (json.loads(where.bucket.spec)["bucket"], where.key) == ("bucket", "walk/v2")
