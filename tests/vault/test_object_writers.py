"""Writers of a vault on an object store: who has it, what is lost, what a store must promise."""

import itertools
import os
import socket
import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from strongbax.vault import (
    AlreadyExistsError,
    CorruptionError,
    Episode,
    LockedError,
    NotFoundError,
    StorageError,
    Vault,
    log,
)
from strongbax.vault.bucket import Bucket
from strongbax.vault.location import location_of
from strongbax.vault.objects import ObjectPath

STEP = {"observation": np.zeros(2, np.float32), "reward": np.float32(0), "terminated": np.bool_(0)}
_numbers = itertools.count()


@pytest.fixture
def url() -> str:
    return f"memory://writers/{next(_numbers)}.vault"


def create(url: str, **options: Any) -> Vault:
    return Vault.create(url, steps=STEP, block=8, **options)


def add(vault: Vault, *values: float) -> None:
    """Appends an episode of three steps for each value."""
    for value in values:
        vault.append(
            Episode(
                {
                    "observation": np.full((3, 2), value, np.float32),
                    "reward": np.full(3, value, np.float32),
                    "terminated": np.arange(3) == 2,
                }
            )
        )


def values(url: str, **options: Any) -> list[float]:
    """The values of a vault's episodes, and that it is whole."""
    with Vault.open(url, **options) as vault:
        assert vault.verify().problems == []
        return [float(episode.steps["observation"][0, 0]) for episode in vault]


def logs(url: str) -> list[str]:
    return sorted(file.name for file in (location_of(url) / "log").iterdir())


# -- one writer at a time


def test_the_second_to_commit_is_told_and_loses_nothing(url):
    """Of two writers the one that commits second gets LockedError; what is committed stays, once."""
    with create(url) as vault:
        add(vault, 1)
    one, two = Vault.open(url, mode="a"), Vault.open(url, mode="a")
    add(one, 2)
    with pytest.raises(LockedError, match=f"process {os.getpid()} on {socket.gethostname()}"):
        add(two, 3)
    with pytest.raises(LockedError):
        two.close()
    add(one, 4)
    one.close()
    assert values(url) == [1, 2, 4]


@pytest.mark.parametrize("verb", ["append", "seal", "card", "close"])
def test_a_writer_that_was_taken_over_from_changes_nothing(url, verb):
    """Whatever a writer does first after another took over, it is told, and the vault is the other's."""
    old = create(url)
    add(old, 1, 2)
    with Vault.open(url, mode="a") as new:
        add(new, 3, 4, 5, 6)
        new.seal()
        before = {file: (location_of(url) / file).read_bytes() for file in location_of(url).below()}
        with pytest.raises(LockedError, match="one writer at a time"):
            {
                "append": lambda: add(old, 9),
                "seal": old.seal,
                "card": lambda: old.write_card({"name": "old"}),
                "close": old.close,
            }[verb]()
        with suppress(LockedError):
            old.close()
        assert {file: (location_of(url) / file).read_bytes() for file in location_of(url).below()} == before
        add(new, 7)
    assert values(url) == [1, 2, 3, 4, 5, 6, 7]


def test_a_writer_that_slept_through_two_others_is_told(url):
    """The number that a sleeping writer would use next is never free again, though records are sealed."""
    old = create(url)
    add(old, 1)
    for value in (2, 3):
        with Vault.open(url, mode="a") as vault:
            add(vault, value)
    with pytest.raises(LockedError):
        add(old, 9)
    with pytest.raises(LockedError):
        old.close()
    assert values(url) == [1, 2, 3]


def test_opening_to_write_takes_nothing_from_a_writer(url):
    """A second writer that only looks, and closes, changes nothing; the first goes on."""
    with create(url) as vault:
        add(vault, 1)
        before = location_of(url).below()
        with Vault.open(url, mode="a") as other:
            assert other.num_episodes == 1
        assert location_of(url).below() == before
        add(vault, 2)
    assert values(url) == [1, 2]


def test_a_writer_that_died_blocks_nobody(url):
    """What a dead writer committed is taken over by the next, at once."""
    dead = create(url)
    add(dead, 1, 2, 3, 4)
    with Vault.open(url, mode="a") as vault:
        assert vault.num_episodes == 4
        add(vault, 5)
    assert values(url) == [1, 2, 3, 4, 5]


def test_a_closed_vault_keeps_claims_only(url):
    """After closing the log holds an empty record for each writer that there was, and nothing else."""
    for value in range(3):
        with create(url) if value == 0 else Vault.open(url, mode="a") as vault:
            add(vault, value)
    files = [(location_of(url) / "log" / name).read_bytes() for name in logs(url)]
    assert len(files) == 3
    assert max(map(len, files)) < 300


def test_records_that_a_kill_left_behind_are_swept(url, monkeypatch):
    """Log objects that shards hold already go with the next writer."""
    monkeypatch.setattr("strongbax.vault.object_journal.ObjectJournal.drop", lambda *_: None)
    with create(url) as vault:
        add(vault, 1, 2, 3)
    assert len(logs(url)) == 4
    monkeypatch.undo()
    with Vault.open(url, mode="a") as vault:
        add(vault, 4)
    assert len(logs(url)) == 2
    assert values(url) == [1, 2, 3, 4]


def test_parts_lie_in_a_bucket_too(url):
    """Each of several writers has a part of its own; a reader sees all."""
    create(url).close()
    one, two = (Vault.open(url, mode="a", part=name) for name in ("one", "two"))
    add(one, 1)
    add(two, 2)
    add(one, 3)
    assert values(url) == [1, 3, 2]
    one.close()
    two.close()
    assert values(url) == [1, 3, 2]


# -- requests that fail


def failing(monkeypatch: Any, *, heard: bool, times: int = 1) -> None:
    """Lets the next creation of an object fail; the store may have heard of it."""
    real, left = Bucket.put_new, [times]

    def put_new(bucket: Bucket, key: str, data: bytes) -> Any:
        if left[0]:
            left[0] -= 1
            if heard:
                real(bucket, key, data).result()
            raise StorageError("The answer was lost.")
        return real(bucket, key, data)

    monkeypatch.setattr(Bucket, "put_new", put_new)


def test_an_answer_that_was_lost_is_no_failure(url, monkeypatch):
    """A record that the store has is committed, whatever became of the answer."""
    with create(url) as vault:
        add(vault, 1)
        failing(monkeypatch, heard=True)
        add(vault, 2)
        add(vault, 3)
    assert values(url) == [1, 2, 3]


def test_a_flush_that_the_store_never_got_is_not_there(url, monkeypatch):
    """An append that fails is not in the vault, and the next is."""
    with create(url) as vault:
        add(vault, 1)
        failing(monkeypatch, heard=False)
        with pytest.raises(StorageError):
            add(vault, 2)
        assert vault.num_episodes == 1
        add(vault, 3)
    assert values(url) == [1, 3]


def test_a_flush_that_arrives_late_is_there_once(url, monkeypatch):
    """A flush that failed and that the store hears of later is committed, and nothing is doubled or lost."""
    real, late = Bucket.put_new, list[Any]()

    def put_new(bucket: Bucket, key: str, data: bytes) -> Any:
        if not late:
            late.append((bucket, key, data))
            raise StorageError("There was no answer.")
        if late[0]:
            real(*late[0]).result()
            late[0] = None
        return real(bucket, key, data)

    with create(url) as vault:
        add(vault, 1)
        monkeypatch.setattr(Bucket, "put_new", put_new)
        with pytest.raises(StorageError, match="no answer"):
            add(vault, 2)
        with pytest.raises(StorageError, match="committed after all"):
            add(vault, 3)
        assert vault.num_episodes == 2
        add(vault, 4)
    assert values(url) == [1, 2, 4]


def test_a_store_that_overwrites_is_refused(url, monkeypatch):
    """Where creating an object overwrites another, no vault is made, and the error says why."""
    monkeypatch.setattr(Bucket, "put_new", Bucket.put)
    with pytest.raises(StorageError, match=r"overwrites.*storage={'single_writer': True}"):
        create(url)
    with pytest.raises(NotFoundError):
        Vault.open(url)
    monkeypatch.undo()
    with create(url) as vault:
        add(vault, 1)
    monkeypatch.setattr(Bucket, "put_new", Bucket.put)
    with Vault.open(url, mode="a") as vault, pytest.raises(StorageError, match="overwrites"):
        add(vault, 2)


def test_a_damaged_record_is_named(url):
    """A record with a flipped byte is an error that names it: an object is never half written."""
    vault = create(url)
    add(vault, 1)
    add(vault, 2)
    file = location_of(url) / "log" / "00000002.log"
    assert isinstance(file, ObjectPath)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    for mode in ("r", "a"):
        with pytest.raises(CorruptionError, match="00000002"):
            Vault.open(url, mode=mode)


def test_a_missing_record_is_an_error(url):
    """A record that is gone from the middle of the log is not passed over."""
    vault = create(url)
    add(vault, 1, 2)
    (location_of(url) / "log" / "00000001.log").unlink()
    with pytest.raises(CorruptionError, match="damaged"):
        Vault.open(url)


def test_a_user_may_vouch_for_one_writer(url, monkeypatch):
    """On a store that overwrites a vault is written where the user says that one process alone does."""
    monkeypatch.setattr(Bucket, "put_new", Bucket.put)
    storage = {"single_writer": True}
    with create(url, storage=storage) as vault:
        add(vault, 1)
    with pytest.raises(AlreadyExistsError):
        create(url, storage=storage)
    with Vault.open(url, mode="a", storage=storage) as vault:
        add(vault, 2)
    assert values(url) == [1, 2]


# -- making


def test_a_vault_is_not_made_where_something_stands(url):
    """Neither a vault nor anything else is overwritten unless it is asked for."""
    create(url).close()
    with pytest.raises(AlreadyExistsError, match="mode='a'"):
        create(url)
    other = f"{url}.other"
    (location_of(other) / "notes.txt").write_bytes(b"mine")
    with pytest.raises(AlreadyExistsError, match="not a vault"):
        create(other, overwrite=True)
    with create(url, overwrite=True) as vault:
        add(vault, 1)
    assert values(url) == [1]


def test_a_creation_that_was_killed_is_in_nobodys_way(url, monkeypatch):
    """A folder of documents without a root is no vault, and may become one."""
    failing(monkeypatch, heard=False)
    with pytest.raises(StorageError):
        create(url)
    with pytest.raises(NotFoundError, match=r"it has no zarr\.json"):
        Vault.open(url)
    with create(url) as vault:
        add(vault, 1)
    assert values(url) == [1]


def test_of_two_creations_one_wins(url, monkeypatch):
    """Who creates a vault a moment later is told, and the first one's stands."""
    make_free = "strongbax.vault.create_objects._make_free"
    first = create(url)
    monkeypatch.setattr(make_free, lambda *_, **__: None)
    with pytest.raises(AlreadyExistsError, match="same time"):
        Vault.create(url, steps=STEP, block=16)
    add(first, 1)
    first.close()
    assert values(url) == [1]


# -- stores that are not there


def test_a_store_that_does_not_answer_is_a_clear_error_soon(monkeypatch):
    """With nobody at the endpoint opening and creating fail within seconds and say what to look at."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        storage = {"endpoint": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        before = time.monotonic()
        with pytest.raises(StorageError, match="endpoint"):
            Vault.open("s3://bucket/x.vault", storage=storage)
        assert time.monotonic() - before < 15


def test_a_store_that_swallows_requests_is_given_up(monkeypatch):
    """A store that takes a request and never answers is an error, after the time that is allowed for it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr("strongbax.vault.bucket._PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        storage = {"endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        before = time.monotonic()
        with pytest.raises(StorageError, match="did not answer"):
            Vault.open("s3://bucket/x.vault", storage=storage)
        assert time.monotonic() - before < 15


def test_a_bucket_that_is_not_there_is_named(s3):
    """A bucket that does not exist is an error that says so, for readers and writers."""
    _, storage = s3
    with pytest.raises(StorageError, match="bucket does not exist"):
        Vault.open("s3://nobodys-bucket/x.vault", storage=storage)
    with pytest.raises(StorageError, match="bucket does not exist"):
        create("s3://nobodys-bucket/x.vault", storage=storage)


def test_two_writers_on_s3(s3):
    """On S3 the second to commit is told, too."""
    url, storage = s3
    with create(url, storage=storage) as vault:
        add(vault, 1)
    one, two = (Vault.open(url, mode="a", storage=storage) for _ in range(2))
    add(one, 2)
    with pytest.raises(LockedError):
        add(two, 3)
    with pytest.raises(LockedError):
        two.close()
    one.close()
    assert values(url, storage=storage) == [1, 2]


def test_a_takeover_beside_a_seal_has_the_right_number(url, monkeypatch):
    """A writer that opens while another seals meets it at its next number all the same."""
    old = create(url)
    add(old, 1, 2, 3)
    real, once = log.replay, [True]

    def replay(*arguments: Any) -> Any:
        if once:
            once.pop()
            old.seal()  # between a look at the root and one at the log
        return real(*arguments)

    monkeypatch.setattr(log, "replay", replay)
    new = Vault.open(url, mode="a")
    add(new, 4)
    new.seal()
    with pytest.raises(LockedError):
        add(old, 9)
    new.close()
    assert values(url) == [1, 2, 3, 4]
