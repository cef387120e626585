"""Where a vault lies: URLs, local paths, and objects that are read as files are."""

import json
from pathlib import Path
from typing import Any

import pytest
import tensorstore as ts
from strongbax.vault.location import location_of
from strongbax.vault.objects import ObjectPath


def spec(url: str, **storage: Any) -> dict[str, Any]:
    place = location_of(url, storage)
    assert isinstance(place, ObjectPath)
    return json.loads(place.bucket.spec)


def test_a_path_is_a_local_one(tmp_path, monkeypatch):
    """Text without a scheme, a Path and a file URL are local, and independent of the working directory."""
    monkeypatch.chdir(tmp_path)
    for given in ("my.vault", Path("my.vault"), (tmp_path / "my.vault").as_uri()):
        assert location_of(given) == tmp_path / "my.vault"
    assert location_of("file:///a%20b") == Path("/a b")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("s3://bucket/runs//hopper.vault/", "s3://bucket/runs/hopper.vault"),
        ("s3://bucket/a?b#c", "s3://bucket/a?b#c"),
        ("gs://bucket/hopper.vault", "gs://bucket/hopper.vault"),
        ("memory://a/b", "memory://a/b"),
        ("https://example.org:8000/data/hopper.vault", "https://example.org:8000/data/hopper.vault"),
    ],
)
def test_a_url_is_a_place_in_a_store(url, text):
    """A URL names a folder of objects; it is shown without what is too much."""
    assert str(location_of(url)) == text
    assert str(location_of(url) / "log" / "1.log") == f"{text}/log/1.log"
    assert location_of(location_of(url)) == location_of(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x", "one of"),
        ("s3://bucket", "name a vault"),
        ("s3://bucket/a/../b", "name a vault"),
        ("https://host/x?y=1", "without a query"),
        ("file://host/x", "file URL"),
        (Path("s3://bucket/x"), "has lost a slash"),
    ],
)
def test_a_wrong_url_is_refused(url, message):
    """What is no URL of a vault is an error that says why."""
    with pytest.raises(ValueError, match=message):
        location_of(url)


def test_storage_says_how_a_store_is_reached():
    """Endpoint, region and credentials go to TensorStore under its names, and so does all else."""
    own = spec("s3://bucket/x", endpoint="http://localhost:1", aws_host_header="h")
    assert own["endpoint"] == "http://localhost:1"
    assert own["aws_region"] == "us-east-1"
    assert own["aws_credentials"] == {"type": "environment"}
    assert own["aws_host_header"] == "h"
    assert "aws_region" not in spec("s3://bucket/x")
    assert spec("s3://bucket/x", region="eu-west-1")["aws_region"] == "eu-west-1"
    assert spec("s3://bucket/x", credentials="anonymous")["aws_credentials"] == {"type": "anonymous"}
    with pytest.raises(ValueError, match="local path"):
        location_of("my.vault", {"endpoint": "http://localhost:1"})
    with pytest.raises(TypeError, match="JSON"):
        location_of("s3://bucket/x", {"endpoint": object()})


@pytest.mark.parametrize("url", ["s3://bucket/x", "gs://bucket/x", "https://host/x", "memory://x"])
def test_tensorstore_takes_the_description(url):
    """TensorStore opens what is made of a URL, without asking the store."""
    assert ts.KvStore.open(spec(url)).result() is not None


def test_objects_are_read_as_files_are(tmp_path):
    """Listing, globbing and reading give what the same files give."""
    place = location_of("memory://paths/a.vault")
    names = ["zarr.json", "log/1.log", "log/2.log", "log/2.torn", "steps/o/zarr.json", "steps/o/c.0"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
        (place / name).write_bytes(name.encode())
    (location_of("memory://paths/a.vault2") / "zarr.json").write_bytes(b"another")

    def told(root: Any) -> list[Any]:
        found = {
            "files": sorted(root.rglob("zarr.json")),
            "logs": sorted((root / "log").glob("*.log")),
            "torn": list(root.glob("log/*.torn")),
            "there": sorted(root.iterdir()),
        }
        start = len(root.as_posix())
        return [
            {name: [file.as_posix()[start:] for file in files] for name, files in found.items()},
            [(root / name).is_file() for name in ("zarr.json", "log", "nothing")],
            [(root / name).is_dir() for name in ("zarr.json", "log", "nothing")],
            [(root / name).exists() for name in ("zarr.json", "log", "nothing")],
            [(root / "log/2.torn").stem, (root / "log/2.torn").suffix, (root / "log/2.torn").parent.name],
            (root / "steps/o/c.0").read_bytes(),
        ]

    assert told(place) == told(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"memory://paths/a\.vault/nothing"):
        (place / "nothing").read_bytes()
    (place / "zarr.json").unlink()
    assert not (place / "zarr.json").exists()


def test_an_object_is_created_once():
    """Creating an object where one stands changes nothing and says so."""
    place = location_of("memory://paths/once")
    assert isinstance(place, ObjectPath)
    assert (place / "x").put_new(b"first")
    assert not (place / "x").put_new(b"second")
    assert (place / "x").read_bytes() == b"first"
