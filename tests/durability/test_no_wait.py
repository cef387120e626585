"""`write(wait=False)`: the steps are the vault's own when it returns, the disk follows, in order."""

import asyncio
import errno
import os
import threading
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from durable_compare import compare
from durable_history import RecordingHistory, RingHistory
from strongbax.vault import ConflictError, StorageError, Vault

STREAMS, CAPACITY, ADDED = 2, 16, 4


class Ring(NamedTuple):
    """A ring of JAX arrays, as buffers have it."""

    experience: dict[str, jax.Array]
    current_index: jax.Array
    is_full: jax.Array


def empty():
    leaves = {"observation": jnp.zeros((STREAMS, CAPACITY, 3)), "reward": jnp.zeros((STREAMS, CAPACITY))}
    return Ring(leaves, jnp.int32(0), jnp.bool_(False))


def _add(ring: Ring, first: jax.Array) -> Ring:
    """Adds the steps `[first, first + ADDED)`, in the memory of the ring that is given."""
    times = (first + jnp.arange(ADDED)).astype(jnp.float32)
    batch = {
        "observation": jnp.broadcast_to(times[None, :, None], (STREAMS, ADDED, 3)),
        "reward": jnp.broadcast_to(times[None], (STREAMS, ADDED)),
    }

    def put(leaf, new):
        return jax.lax.dynamic_update_slice_in_dim(leaf, new, ring.current_index, 1)

    index = ring.current_index + ADDED
    experience = jax.tree.map(put, ring.experience, batch)
    return Ring(experience, index % CAPACITY, ring.is_full | (index >= CAPACITY))


add = jax.jit(_add, donate_argnums=0)


class SlowDisk:
    """A disk that syncs a file when it is told to, or fails."""

    def __init__(self, monkeypatch) -> None:
        self.go, self.failing = threading.Semaphore(0), set[int]()
        self.count, self._real = 0, os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, descriptor: int) -> None:
        assert self.go.acquire(timeout=30)
        self.count += 1
        if self.count in self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._real(descriptor)


@pytest.fixture
def slow(monkeypatch):
    return SlowDisk(monkeypatch)


def test_a_donated_state_is_flushed_as_it_was(tmp_path):
    """What a jitted update does to a donated state right after the write does not get into the vault."""
    ring = empty()
    with Vault.create(tmp_path / "one.vault", like=ring, block=64) as vault:
        handles = []
        for turn in range(40):
            donated = ring
            ring = add(ring, turn * ADDED)
            assert turn == 0 or donated.experience["reward"].is_deleted()
            handles.append(vault.write(ring, wait=False))
        assert [handle.result() for handle in handles] == [ADDED] * 40
        wanted = np.arange(40 * ADDED, dtype=np.float32)
        held = vault.read_numpy()
        assert (held["reward"] == wanted).all()
        assert (held["observation"] == wanted[:, None]).all()


def test_the_write_does_not_wait_for_the_disk(tmp_path, slow):
    """It returns while the disk has not synced, its handle is not done then, and is done after."""
    history = RingHistory()
    vault = history.create(tmp_path / "one.vault", block=1024)
    handles = [history.write(vault, number, wait=False) for number in range(5)]
    assert not any(handle.done() for handle in handles)
    with pytest.raises(TimeoutError):
        handles[0].result(timeout=0.01)
    with Vault.open(vault.path) as reader:
        assert history.held(reader.length) <= 1
    slow.go.release(5)
    assert [handle.result() for handle in handles] == [
        history.moment(number + 1).length - history.moment(number).length for number in range(5)
    ]
    assert compare(vault, history) == 5
    slow.go.release(100)
    vault.close()


def test_the_ring_may_be_overwritten_at_once(tmp_path, slow):
    """A NumPy ring that is changed in place right after the write was flushed as it was."""
    ring = SimpleNamespace(
        experience={"x": np.zeros((1, 4), np.int64)}, current_index=np.int32(0), is_full=np.bool_(0)
    )
    vault = Vault.create(tmp_path / "one.vault", like=ring, block=1024)
    for time in range(12):
        ring.experience["x"][0, time % 4] = time
        ring.current_index, ring.is_full = np.int32((time + 1) % 4), np.bool_(time >= 3)
        vault.write(ring, wait=False)
    slow.go.release(100)
    vault.close()
    with Vault.open(vault.path) as reader:
        assert reader.read_numpy()["x"].tolist() == [list(range(12))]


def test_reading_waits_for_what_was_written(tmp_path, slow):
    """What was given to `write` is in what is read next, waited for or not."""
    history = RingHistory()
    vault = history.create(tmp_path / "one.vault", block=1024)
    for number in range(3):
        history.write(vault, number, wait=False)
    threading.Timer(0.05, slow.go.release, [100]).start()
    assert compare(vault, history) == 3
    vault.close()


def test_a_failure_reaches_its_handle_and_nothing_after_it_is_committed(tmp_path, slow):
    """A flush that failed says why, those queued behind it are not committed, the next write raises it."""
    history = RingHistory()
    vault = history.create(tmp_path / "one.vault", block=1024)
    slow.failing = {2}
    handles = [history.write(vault, number, wait=False) for number in range(3)]
    slow.go.release(100)
    handles[0].result()
    with pytest.raises(StorageError, match="Input/output error"):
        handles[1].result()
    with pytest.raises(ConflictError, match="one before it failed"):
        handles[2].result()
    with Vault.open(vault.path) as reader:
        assert compare(reader, history) == 1
    with pytest.raises(StorageError, match="Input/output error"):
        history.write(vault, 3, wait=False)
    assert history.write(vault, 3, wait=False).result() == history.moment(4).length - history.moment(1).length
    for number in range(4, 7):
        history.write(vault, number, wait=False)
    assert compare(vault, history) == 7
    vault.close()
    with Vault.open(vault.path) as reader:
        assert compare(reader, history) == 7


@pytest.mark.parametrize("last", ["close", "seal", "length", "extend"])
def test_a_failure_that_nobody_asked_for_is_raised_by_the_next_call(tmp_path, slow, last):
    """Whatever is called next on the vault raises the failure, and a close lets go of the vault."""
    ring = SimpleNamespace(
        experience={"x": np.arange(4)[None]}, current_index=np.int32(0), is_full=np.bool_(1)
    )
    vault = Vault.create(tmp_path / "one.vault", like=ring, block=1024)
    slow.failing = {1}
    handle = vault.write(ring, wait=False)
    slow.go.release(100)
    calls = {"close": vault.close, "seal": vault.seal, "extend": lambda: vault.extend({"x": np.arange(2)})}
    with pytest.raises(StorageError, match="Input/output error"):
        calls.get(last, lambda: vault.length)()
    assert handle.done()
    vault.close()
    with Vault.open(vault.path, mode="a") as again:
        assert again.length == 0
        assert again.write(ring) == 4


def test_a_running_event_loop_changes_nothing(tmp_path):
    """Inside `asyncio.run`, as in a notebook, a vault is made, written, read and closed as elsewhere."""
    ring, recording = RingHistory(), RecordingHistory()

    async def main():
        for history in (ring, recording):
            with history.create(tmp_path / f"{history.streams}.vault") as vault:
                for number in range(12):
                    history.write(vault, number, wait=number % 2 == 0)
                    await asyncio.sleep(0)
                assert compare(vault, history) == 12
            with Vault.open(vault.path, mode="a") as again:
                history.write(again, 12, wait=True)
                again.seal()
                assert compare(again, history) == 13
        return True

    assert asyncio.run(main())
