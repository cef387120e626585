"""What a vault on an object store or a web server gives is what the same vault gives from a disk."""

import http.server
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import strongbax
import tensorstore as ts
from object_servers import Ranges, web_server
from strongbax.vault import Episode, LockedError, StorageError, Vault
from strongbax.vault.attachments import attach, attached
from strongbax.vault.bucket import context
from strongbax.vault.location import location_of
from strongbax.vault.objects import ObjectPath
from vault_folder import make_folder

STEP = {
    "observation": np.zeros(3, np.float32),
    "pixels": np.zeros((4, 4, 1), np.uint8),
    "100% odd.name": np.zeros((), "<U3"),
    "reward": np.float32(0),
    "terminated": np.bool_(0),
}
_numbers = itertools.count()


def episode(number: int) -> Episode:
    length = 3 + number % 7
    rng = np.random.default_rng(number)
    return Episode(
        {
            "observation": rng.normal(size=(length, 3)).astype(np.float32),
            "pixels": rng.integers(0, 255, (length, 4, 4, 1), np.uint8),
            "100% odd.name": np.full(length, f"{number:03d}", "<U3"),
            "reward": rng.normal(size=length).astype(np.float32),
            "terminated": np.arange(length) == length - 1,
        },
        final={"observation": np.full(3, number, np.float32)},
        attributes={"number": number},
    )


@pytest.fixture(scope="module")
def disk() -> Any:
    """A folder with a vault that was closed, and one with a log."""
    folder = make_folder()
    for name in ("closed", "open"):
        vault = Vault.create(folder / f"{name}.vault", steps=STEP, block=32, codec={"pixels": "zstd"})
        for number in range(30):
            vault.append(episode(number))
        if name == "closed":
            vault.close()
        else:
            vault._flusher._writer.wait()
            vault._flusher.abandon()
    attach(folder / "closed.vault", {"policy/bias": np.arange(4.0)})
    yield folder
    shutil.rmtree(folder)


def copy(source: Path, target: Any) -> None:
    for file in source.rglob("*"):
        if file.is_file():
            (target / file.relative_to(source).as_posix()).write_bytes(file.read_bytes())


@pytest.fixture(params=["memory", "s3", "http"])
def there(request, disk) -> Any:
    """Where the same vaults lie, and how to reach them."""
    if request.param == "http":
        with web_server(disk) as url:
            yield url, None
        return
    url, storage = f"memory://reading/{next(_numbers)}", None
    if request.param == "s3":
        url, storage = request.getfixturevalue("s3")
    for name in ("closed.vault", "open.vault"):
        copy(disk / name, location_of(f"{url}/{name}", storage))
    yield url, storage


def same(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("name", ["closed.vault", "open.vault"])
def test_all_that_can_be_read_is_the_same(disk, there, name):
    """Steps, episodes, finals, statistics, views and loaders give what the vault on disk gives."""
    url, storage = there
    ours, far = Vault.open(disk / name), Vault.open(f"{url}/{name}", storage=storage)
    assert (far.num_steps, far.num_episodes, far.schema) == (ours.num_steps, 30, ours.schema)
    same(far.read_numpy(), ours.read_numpy())
    same(
        far.read_numpy(5, 9, leaves=["100%25 odd.name", "pixels"]),
        ours.read_numpy(5, 9, leaves=["100%25 odd.name", "pixels"]),
    )
    for column in ours.episodes.columns:
        same(far.episodes[column], ours.episodes[column])
    same(far.finals("observation"), ours.finals("observation"))
    same([far[-1].steps, far[-1].final], [ours[-1].steps, ours[-1].final])
    assert far[3].attributes == {"number": 3}
    chosen = np.asarray(ours.episodes["length"]) > 5
    view, other = far.select(chosen), ours.select(chosen)
    same(view.read_numpy(), other.read_numpy())
    same(view[2].steps, other[2].steps)
    assert far.stats()["reward"] == ours.stats()["reward"]
    leaves = ["observation", "pixels", "reward"]
    batches = [
        list(itertools.islice(vault.loader(batch_size=8, window=4, short="pad", seed=0, leaves=leaves), 3))
        for vault in (view, other)
    ]
    same(*batches)


def test_it_loads_into_a_buffer(disk, there):
    """A vault that lies elsewhere is loaded and sampled as one on disk is."""
    url, storage = there
    buffer = strongbax.make_flat_buffer(max_length=64, min_length=2, sample_batch_size=4)
    leaves = ["observation", "reward"]
    ours = Vault.open(disk / "closed.vault").load(buffer, leaves=leaves)
    same(Vault.open(f"{url}/closed.vault", storage=storage).load(buffer, leaves=leaves), ours)


def test_it_is_saved_to_a_disk(disk, there, tmp_path):
    """Chosen episodes of a vault that lies elsewhere are written as a local vault."""
    url, storage = there
    view = Vault.open(f"{url}/open.vault", storage=storage).filter({"length": (5, None)})
    saved = Vault.open(view.save(tmp_path / "saved.vault"))
    same(saved.read_numpy(), view.read_numpy())
    assert saved.verify().problems == []


def test_it_is_verified(disk, there):
    """Verification reads every byte of a vault that lies elsewhere, and finds one that flipped."""
    url, storage = there
    report = Vault.open(f"{url}/closed.vault", storage=storage).verify()
    assert report.problems == []
    ours = Vault.open(disk / "closed.vault").verify()
    assert report.checked | {"attached": 1} == ours.checked
    place = location_of(f"{url}/closed.vault", storage)
    if not place.bucket.lists:  # nothing can be written there
        return
    for name in ("steps/observation/c.0.2.0", "steps/pixels/c.0.1.0.0.0"):
        file = place / name
        data = bytearray(file.read_bytes())
        data[10] ^= 1
        file.write_bytes(bytes(data))
    (place / "episodes/start/c.0").unlink()
    problems = " ".join(Vault.open(f"{url}/closed.vault", storage=storage).verify().problems)
    for name in ("steps/observation", "steps/pixels", "episodes/start/c.0 is missing"):
        assert name in problems


def test_the_command_line_takes_urls(disk, strongbax):
    """What the commands that read say of a vault on a web server is what they say of it on disk."""
    with web_server(disk) as url:
        for command in (["head", "-n", "3", "--json"], ["verify", "--json"], ["show", "--json"]):
            said = [strongbax(command[0], f"{place}/closed.vault", *command[1:]) for place in (url, disk)]
            codes, facts = [code for code, _, _ in said], [json.loads(output) for _, output, _ in said]
            assert codes == [0, 0]
            for found in facts:
                for name in ("path", "bytes", "files"):
                    found.pop(name, None)
                found.get("checked", {}).pop("attached", None)  # a web server cannot list
            assert facts[0] == facts[1]
        assert "closed.vault" in strongbax("show", f"{url}/closed.vault")[1]
        code, _, error = strongbax("show", f"{url}/nothing.vault")
    assert code == 2
    assert "nothing.vault" in error


def test_attached_arrays_are_read(there):
    """What was attached to a vault comes with it, where a store can list."""
    url, storage = there
    path = f"{url}/closed.vault"
    found = attached(path, storage)
    if location_of(path, storage).bucket.lists:
        same(found, {"policy/bias": np.arange(4.0)})
    else:
        assert found == {}


def test_a_reader_follows_a_writer():
    """A reader sees what was committed when it looked, through seals and closing."""
    url = f"memory://reading/{next(_numbers)}"
    with Vault.create(url, steps=STEP, block=32) as vault:
        reader = Vault.open(url)
        for number in range(25):
            vault.append(episode(number))
            assert reader.num_episodes == number
            reader.refresh()
            assert reader[number].attributes == {"number": number}
    same(Vault.open(url)[0].steps, reader[0].steps)


def test_nothing_is_written_to_a_web_server(disk):
    """Opening to write on a web server is an error that says so."""
    with web_server(disk) as url:
        with pytest.raises(StorageError, match="web server"):
            Vault.open(f"{url}/closed.vault", mode="a")
        with pytest.raises(StorageError, match="web server"):
            Vault.create(f"{url}/new.vault", steps=STEP)


def test_a_web_server_without_ranges_gives_the_same(disk):
    """A server that sends whole files where a part was asked for gives no wrong data."""

    class Whole(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with web_server(disk, Whole) as url:
        far = Vault.open(f"{url}/closed.vault").read_numpy(5, 9)
    same(far, Vault.open(disk / "closed.vault").read_numpy(5, 9))


def test_a_public_bucket_hides_what_is_not_there(disk):
    """A server that forbids what does not exist, as public buckets do, serves a vault all the same."""

    class Public(Ranges):
        def send_error(self, code: int, *arguments: Any, **options: Any) -> None:
            super().send_error(403 if code == 404 else code, *arguments, **options)

    with web_server(disk, Public) as url:
        same(Vault.open(f"{url}/closed.vault")[3].steps, Vault.open(disk / "closed.vault")[3].steps)
        same(Vault.open(f"{url}/open.vault")[29].steps, Vault.open(disk / "open.vault")[29].steps)
        with pytest.raises(StorageError, match="credentials"):
            Vault.open(f"{url}/nothing.vault")


def test_tensorstore_alone_reads_it():
    """A closed vault on an object store is a Zarr group to others."""
    url = f"memory://reading/{next(_numbers)}"
    with Vault.create(url, steps=STEP, block=32) as vault:
        vault.append(episode(1))
    place = location_of(url)
    assert isinstance(place, ObjectPath)
    spec = {"driver": "zarr3", "kvstore": (place / "steps/reward").kvstore()}
    array = ts.open(spec, context=context(), read=True).result()
    same(array.read().result()[0], episode(1).steps["reward"])


def test_a_run_that_was_taken_over_from_makes_no_checkpoint():
    """A run that goes on though another has its vault is told, and the newest resume point is the other's."""
    url = f"memory://reading/{next(_numbers)}"
    buffer = strongbax.make_item_buffer(max_length=8, min_length=1, sample_batch_size=2)
    state = buffer.add(buffer.init({"reward": 0.0}), {"reward": 1.0})
    old = Vault.create(url, like=state)
    old.checkpoint(state, extra={"run": "old"})
    with Vault.open(url, mode="a") as new:
        state, _ = new.restore(buffer)
        new.checkpoint(buffer.add(state, {"reward": 2.0}), extra={"run": "new"})
        with pytest.raises(LockedError, match="one writer at a time"):
            old.checkpoint(state, extra={"run": "old"})
        assert new.restore(buffer)[1] == {"run": "new"}


def test_resuming_from_a_store():
    """A run resumes from a checkpoint on an object store, bit for bit, and doubles nothing."""
    url = f"memory://reading/{next(_numbers)}"
    buffer = strongbax.make_item_buffer(max_length=8, min_length=1, sample_batch_size=2)
    state = buffer.init({"reward": 0.0})
    with Vault.create(url, like=state) as vault:
        for value in range(11):
            state = buffer.add(state, {"reward": float(value)})
            number = vault.checkpoint(state, key=jax.random.key(value), keep=2)
        assert vault.resume_points == (number - 1, number)
    with Vault.open(url, mode="a") as vault:
        restored, extra = vault.restore(buffer)
        same(restored, state)
        assert jax.random.key_data(extra["key"])[1] == 10
        assert vault.write(buffer.add(restored, {"reward": 11.0})) == 1
        assert vault.num_steps == 12
