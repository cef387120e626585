"""Every call to the operating system may fail: one error that says so, nothing lost, and it goes on after."""

import errno
import logging
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from durable_faults import Faults
from strongbax.vault import StorageError, Vault

BLOCK = 8
STEP = {"x": np.int64(0), "reward": np.float32(0), "terminated": np.bool_(0)}
# Flushes in steps, and what is done between them: small ones, straight to shards, sealed, across a reopening.
PLAN = [3, 4, 3, "seal", 2, 21, 1, "close", 5, 8, "close", 30, 2, "seal", 6, "close"]
ERRORS = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES]


@pytest.fixture
def folder():
    """A folder for a vault: in memory where that can be."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        yield Path(place)


@pytest.fixture
def faults(folder, monkeypatch):
    """The folder's calls, which can be made to fail."""
    faults = Faults(folder)
    faults.install(monkeypatch)
    return faults


class Run:
    """A plan carried out on a vault, with steps that count up and are never used twice.

    A flush that fails is given up: what is flushed next are other steps. Where the disk could not undo it,
    the vault itself says that it is there.
    """

    def __init__(self, folder: Path, faults: Faults) -> None:
        self.path, self.faults = folder / "one.vault", faults
        self.counter, self.errors = 0, list[str]()
        self.acknowledged, self.given_up = list[int](), list[int]()
        self.vault = self._until_it_works(self._create)

    def go(self) -> None:
        for item in PLAN:
            if item == "seal":
                self._until_it_works(self.vault.seal)
            elif item == "close":
                self._close()
            else:
                self._until_it_works(lambda steps=item: self._flush(steps))
        self.vault.close()

    def _create(self) -> Vault:
        if self.path.exists():  # the disk did not let a vault go whose creation failed: it is whole
            return Vault.open(self.path, mode="a")
        return Vault.create(self.path, steps=STEP, block=BLOCK)

    def _flush(self, steps: int) -> None:
        x = np.arange(self.counter, self.counter + steps)
        self.counter += steps
        self.given_up = x.tolist()
        self.vault.extend({"x": x, "reward": (x / 4).astype(np.float32), "terminated": x % 5 == 0})
        self.acknowledged += self.given_up
        self.given_up = []

    def _close(self) -> None:
        try:
            self.vault.close()
        except StorageError as error:
            self._note(error)
        self.vault = self._until_it_works(lambda: Vault.open(self.path, mode="a"))
        self.check(self.vault)

    def _until_it_works(self, do):
        for _ in range(3):
            try:
                result = do()
            except StorageError as error:
                self._note(error)
            else:
                return result
        raise AssertionError(f"it fails again and again: {self.errors}")

    def _note(self, error: StorageError) -> None:
        """One error came: it says what the disk said, and nothing is lost, here and for a reader."""
        self.errors.append(str(error))
        assert os.strerror(self.faults.error) in str(error)
        assert self.faults.hit, error
        if self.faults.lasting:
            self.faults.mend()
        vault = getattr(self, "vault", None)
        if vault is None:
            return
        if not vault._closed and vault.length > len(self.acknowledged):
            self.acknowledged += self.given_up
        self.given_up = []
        if not vault._closed:
            self.check(vault)
        with Vault.open(self.path) as reader:
            self.check(reader)

    def check(self, vault: Vault) -> None:
        """Compares with what was acknowledged."""
        held = vault.read_numpy(leaves=["x", "reward"])
        x = held["x"][0].tolist()
        assert x == self.acknowledged, self.faults.hit
        assert held["reward"][0].tolist() == [number / 4 for number in x]
        ends = [place + 1 for place, number in enumerate(x) if number % 5 == 0]
        starts = [0, *ends[:-1]] if ends else []
        assert vault.episodes["start"].tolist() == starts
        sums = [sum(x[a:b]) / 4 for a, b in zip(starts, ends, strict=True)]
        assert vault.episodes["return"].tolist() == sums


def sweep(folder: Path, faults: Faults, error: int, *, lasting: bool, numbers) -> int:
    """Carries the plan out again and again, another call failing each time; gives how often one failed."""
    failed = 0
    for number in numbers:
        home = folder / f"{error}-{lasting}-{number}"
        home.mkdir()
        faults.arm(number, error, lasting=lasting)
        run = Run(home, faults)
        run.go()
        faults.mend()
        with Vault.open(run.path) as vault:
            run.check(vault)
            assert vault.verify().ok
        assert [entry.name for entry in home.iterdir()] == ["one.vault"], faults.hit
        if not faults.hit:
            break
        failed += 1
    return failed


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL, "strongbax")


@pytest.mark.parametrize("error", ERRORS[:2], ids=errno.errorcode.get)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_a_call_that_fails_loses_nothing(folder, faults, error, lasting):
    """Whichever call fails, in creating, flushing, sealing, closing, opening: what was flushed stays."""
    assert sweep(folder, faults, error, lasting=lasting, numbers=range(error % 7, 10_000, 13)) > 5


@pytest.mark.heavy
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_every_call_may_fail_and_loses_nothing(folder, faults, error, lasting):
    """The same holds for every single call."""
    failed = sweep(folder, faults, error, lasting=lasting, numbers=range(10_000))
    print(errno.errorcode[error], lasting, failed, "calls failed")
    assert failed > 100


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_overwriting_that_fails_keeps_a_vault(folder, faults, lasting):
    """Whichever call fails while a vault is overwritten, the old one stands there whole afterwards.

    Or the new one, where the disk does not let the old one back.
    """
    for number in range(0, 1000, 3):
        path = folder / str(number) / "one.vault"
        with Vault.create(path, steps=STEP, block=BLOCK) as vault:
            vault.extend({name: np.zeros(9, np.asarray(leaf).dtype) for name, leaf in STEP.items()})
        faults.arm(number, errno.EIO, lasting=lasting)
        try:
            Vault.create(path, steps=STEP, block=BLOCK, overwrite=True).close()
        except StorageError:
            kept = [9, 0] if lasting else [9]
        else:
            kept = [0]
        faults.mend()
        with Vault.open(path, mode="a") as vault:
            assert vault.length in kept, faults.hit
            assert vault.verify().ok
        if not lasting:
            assert list(path.parent.iterdir()) == [path], faults.hit
        if not faults.hit:
            break
    assert number > 30
