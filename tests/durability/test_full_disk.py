"""A disk that is full, read-only, or somebody else's: one error that says so, nothing lost, on it goes."""

import logging
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from strongbax.vault import StorageError, Vault

STEP = {"x": np.int64(0), "data": np.zeros(1024, np.float32)}  # 4 KiB
BLOCK = 64  # 256 KiB
FULL = "No space left on device.*Free some space"


class SmallDisk:
    """A file system of a few MiB in memory."""

    def __init__(self, path: Path) -> None:
        self.path, self.vault = path, path / "one.vault"
        self.ballast = path / "ballast"

    def mount(self, options: str) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"this machine lets nobody mount: {done.stderr.decode().strip()}")

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)

    def fill(self, leave: int = 0) -> None:
        """Takes all the space but some KiB."""
        free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_bsize
        with self.ballast.open("ab") as file:
            file.write(bytes(free - leave * 1024))


@pytest.fixture
def disk(tmp_path):
    disk = SmallDisk(tmp_path / "disk")
    disk.path.mkdir()
    disk.mount("size=4m")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk.path)], check=True)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL, "strongbax")


class Counting:
    """Flushes steps that count up, and knows those whose flush returned."""

    def __init__(self) -> None:
        self.held = 0

    def flush(self, vault: Vault, steps: int) -> None:
        x = np.arange(self.held, self.held + steps)
        vault.extend({"x": x, "data": np.repeat(x[:, None], 1024, 1).astype(np.float32)})
        self.held += steps

    def flush_beside_sealing(self, vault: Vault, steps: int) -> None:
        """Flushes, again where the sealer has the last room for the moment that its attempt takes."""
        end = time.monotonic() + 20
        while True:
            try:
                return self.flush(vault, steps)
            except StorageError:
                assert time.monotonic() < end
                self.check(vault)

    def fill(self, vault: Vault, steps: int) -> None:
        """Flushes until the disk refuses."""
        with pytest.raises(StorageError, match=FULL):
            self._flush_forever(vault, steps)
        self.check(vault)

    def _flush_forever(self, vault: Vault, steps: int) -> None:
        while True:
            self.flush(vault, steps)

    def check(self, vault: Vault) -> None:
        """All that was flushed is there and nothing else, here and for a reader, and it verifies."""
        with Vault.open(vault.path) as reader:
            for one in (vault, reader) if not vault._closed else (reader,):
                held = one.read_numpy()
                assert held["x"].tolist() == [list(range(self.held))]
                assert (held["data"] == held["x"][..., None]).all()
            assert reader.verify().problems == []

    def go_on(self, vault: Vault) -> None:
        """Flushes small and large, seals, closes, and opens again."""
        for steps in (3, 40, 70, 5):
            self.flush(vault, steps)
        vault.seal()
        self.check(vault)
        vault.close()
        with Vault.open(vault.path, mode="a") as again:
            self.flush(again, 9)
            self.check(again)
        self.check(again)


@pytest.mark.parametrize("steps", [5, 64, 200], ids=["log", "shard", "shards"])
def test_a_disk_that_fills_up_keeps_what_was_flushed(disk, steps):
    """Flushing, to the log or straight to shards, until the disk is full loses nothing, and goes on after."""
    counting = Counting()
    vault = Vault.create(disk.vault, steps=STEP, block=BLOCK)
    counting.fill(vault, steps)
    assert counting.held
    counting.fill(vault, steps)
    disk.remount("size=32m")
    counting.go_on(vault)


def test_sealing_that_finds_no_room_is_tried_again(disk):
    """Where the log has room and shards have not, flushes are durable, and sealed when there is room."""
    counting = Counting()
    vault = Vault.create(disk.vault, steps=STEP, block=BLOCK)
    disk.fill(leave=400)
    for _ in range(8):
        counting.flush_beside_sealing(vault, 10)
    counting.check(vault)
    with pytest.raises(StorageError, match=FULL):
        vault.seal()
    counting.fill(vault, 10)
    disk.ballast.unlink()
    vault.seal()
    assert not list((disk.vault / "log").iterdir())
    counting.go_on(vault)


def test_a_vault_on_a_full_disk_is_not_made_and_leaves_nothing(disk):
    """Creating where there is no room says so, leaves no file, and works when there is room."""
    disk.fill()
    with pytest.raises(StorageError, match=FULL):
        Vault.create(disk.vault, steps=STEP, block=BLOCK)
    assert list(disk.path.iterdir()) == [disk.ballast]
    disk.ballast.unlink()
    Counting().go_on(Vault.create(disk.vault, steps=STEP, block=BLOCK))


def test_closing_on_a_full_disk_loses_nothing(disk):
    """A close that cannot seal says so and lets go of the vault; all is there, and is sealed by the next."""
    counting = Counting()
    vault = Vault.create(disk.vault, steps=STEP, block=BLOCK)
    for _ in range(5):
        counting.flush(vault, 10)
    disk.fill()
    with pytest.raises(StorageError, match=FULL):
        vault.close()
    counting.check(vault)
    vault.close()
    disk.ballast.unlink()
    with Vault.open(disk.vault, mode="a") as again:
        counting.check(again)
        counting.go_on(again)


def test_a_vault_on_a_full_disk_can_be_opened_for_writing(disk):
    """Opening needs no room; the first flush says that there is none."""
    counting = Counting()
    with Vault.create(disk.vault, steps=STEP, block=BLOCK) as vault:
        counting.flush(vault, 10)
    disk.fill()
    with Vault.open(disk.vault, mode="a") as again:
        counting.check(again)
        counting.fill(again, 10)
        disk.ballast.unlink()
        counting.go_on(again)


def test_a_read_only_disk_is_read_and_says_so_to_writers(disk):
    """What cannot be written can be read and verified; whoever would write is told."""
    counting = Counting()
    with Vault.create(disk.vault, steps=STEP, block=BLOCK) as vault:
        counting.flush(vault, 70)
    disk.remount("ro")
    counting.check(vault)
    with pytest.raises(StorageError, match=r"read-only; open with mode='r'"):
        Vault.open(disk.vault, mode="a")
    with pytest.raises(StorageError, match="read-only"):
        Vault.create(disk.path / "other.vault", steps=STEP)
    disk.remount("rw")
    counting.go_on(Vault.open(disk.vault, mode="a"))


@pytest.fixture
def strangers():
    """A folder of one user, and the other user to become, where this user may."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        before = os.geteuid()
        if before != 0:
            pytest.skip("only the superuser can become somebody else")
        yield Path(folder), lambda: os.seteuid(65534)
        os.seteuid(before)


def test_a_strangers_vault_is_read_and_says_so_to_writers(strangers):
    """Who may only read a vault reads and verifies it, and is told on trying to write."""
    folder, become = strangers
    counting = Counting()
    with Vault.create(folder / "one.vault", steps=STEP, block=BLOCK) as vault:
        counting.flush(vault, 10)
    become()
    counting.check(vault)
    with pytest.raises(StorageError, match=r"Permission denied.*mode='r'"):
        Vault.open(folder / "one.vault", mode="a")
    with pytest.raises(StorageError, match="Permission denied"):
        Vault.create(folder / "other.vault", steps=STEP)
