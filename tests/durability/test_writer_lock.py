"""One writer at a time: a lock that names its holder, and that nobody who is dead or did not ask can hold."""

import contextlib
import os
import signal
import threading

import pytest
from durable_compare import compare
from durable_history import RecordingHistory
from strongbax.vault import LockedError, StrongbaxError, Vault

HISTORY = RecordingHistory()


@pytest.fixture
def path(tmp_path):
    """A vault with two writes in it."""
    vault = HISTORY.create(tmp_path / "one.vault")
    for number in range(2):
        HISTORY.write(vault, number, wait=True)
    vault.close()
    return tmp_path / "one.vault"


@pytest.fixture
def holder(nursery, path):
    """A process that writes to the vault and holds it."""
    child = nursery.start("hold", path=str(path))
    assert child.wait_for("held")
    yield child
    nursery.kill(child)


def test_a_second_process_learns_who_writes(path, holder):
    """While a process writes, another that wants to write is told its process id and changes nothing."""
    with pytest.raises(LockedError, match=rf"process {holder.pid}\b"):
        Vault.open(path, mode="a")
    with pytest.raises(LockedError, match=rf"process {holder.pid}\b"):
        HISTORY.create(path, overwrite=True)
    with Vault.open(path) as vault:
        assert compare(vault, HISTORY) == 3


def test_a_killed_writer_holds_nothing(nursery, path):
    """As soon as a writer is killed, the next one writes."""
    child = nursery.start("hold", path=str(path))
    assert child.wait_for("held")
    nursery.kill(child)
    with Vault.open(path, mode="a") as vault:
        assert compare(vault, HISTORY) == 3


def test_a_second_writer_in_the_same_process_is_refused(path):
    """Two handles of one process do not write to one vault, and the second leaves the first its lock."""
    with Vault.open(path, mode="a") as first:
        for _ in range(2):
            with pytest.raises(LockedError, match=rf"process {os.getpid()}\b"):
                Vault.open(path, mode="a")
        HISTORY.write(first, 2, wait=True)
    with Vault.open(path, mode="a") as second:
        assert compare(second, HISTORY) == 3


@pytest.mark.usefixtures("holder")
def test_readers_need_no_lock_and_change_nothing(path):
    """Readers open beside a writer, as many as like, and leave every file as it was."""

    def files():
        stats = ((file, file.stat()) for file in path.rglob("*"))
        return {file: (stat.st_mtime_ns, stat.st_size) for file, stat in stats}

    before = files()
    with Vault.open(path) as one, Vault.open(path) as another:
        assert compare(one, HISTORY) == compare(another, HISTORY) == 3
        one.refresh()
    assert files() == before


@pytest.mark.parametrize("close", [True, False], ids=["closed", "killed"])
def test_a_forked_worker_holds_no_lock(nursery, path, close):
    """A worker forked while a vault was open does not keep it locked when its writer closed it or died."""
    child = nursery.start("fork", path=str(path), close=close)
    assert child.wait_for("worker")
    (worker,) = child.numbers("worker")
    try:
        held = any(line == "held" for line in child.said) or child.wait_for("held")
        nursery.kill(child)
        assert held
        os.kill(worker, 0)  # it lives
        with Vault.open(path, mode="a") as vault:
            assert compare(vault, HISTORY) == 3 + close
    finally:
        os.kill(worker, signal.SIGKILL)


def test_of_many_makers_one_makes_the_vault(tmp_path):
    """Of threads that make the same vault at once, one succeeds and the others are told."""
    made, told, start = [], [], threading.Barrier(4)

    def make() -> None:
        start.wait()
        try:
            made.append(HISTORY.create(tmp_path / "one.vault"))
        except StrongbaxError as error:
            told.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(told)) == (1, 3), told
    with contextlib.closing(made[0]) as vault:
        HISTORY.write(vault, 0, wait=True)
        assert compare(vault, HISTORY) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.vault"]
