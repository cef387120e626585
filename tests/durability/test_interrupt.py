"""Ctrl-C at any moment: an interrupted flush is there or not, and the flushes after it are not lost."""

import os
import random
import shutil
import signal

import pytest
import tensorstore  # noqa: F401 - an interrupt while it is first imported is not ours to bear
from durable_compare import compare
from durable_history import RecordingHistory
from strongbax.vault import StrongbaxError, Vault


@pytest.fixture
def interrupt():
    """Lets an alarm interrupt as Ctrl-C does."""

    def raise_it(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, raise_it)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def check_copy(path, history, acknowledged, copy):
    """Another process finds every flush that returned, at most one more."""
    shutil.copytree(path, copy)
    with Vault.open(copy, mode="a") as vault:
        assert acknowledged <= compare(vault, history) <= acknowledged + 1
    shutil.rmtree(copy)


@pytest.mark.parametrize("call", ["writev", "fdatasync"])
def test_an_interrupt_within_a_flush_loses_no_later_one(tmp_path, monkeypatch, call):
    """An interrupt that comes while the disk works leaves the vault so that what is flushed next stays."""
    history, path = RecordingHistory(), tmp_path / "one.vault"
    vault = history.create(path, block=1024)
    history.write(vault, 0, wait=True)
    real = getattr(os, call)

    def interrupted(*arguments):
        monkeypatch.undo()
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(KeyboardInterrupt):
        history.write(vault, 1, wait=True)
    number = history.held(vault.length)
    assert number in (1, 2)
    for later in range(number, 6):
        history.write(vault, later, wait=True)
    check_copy(path, history, 6, tmp_path / "copy.vault")
    vault.close()
    check_copy(path, history, 6, tmp_path / "copy.vault")


def interrupt_often(tmp_path, interrupt, rounds, seed):
    """Interrupts flushes, seals and closes at random moments."""
    history, path, rng = RecordingHistory(), tmp_path / "one.vault", random.Random(seed)
    vault = history.create(path)
    interrupted = acknowledged = 0
    for turn in range(rounds):
        history.moment(acknowledged + 100)  # the history itself is not to be interrupted
        try:
            interrupt(rng.uniform(1e-5, 0.02))
            for number in range(acknowledged, acknowledged + 99):  # a collector's callback may swallow one
                history.write(vault, number, wait=True)
                acknowledged = number + 1
                if rng.random() < 0.1:
                    vault.seal()
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            interrupt(0)
        try:
            number = history.held(vault.length)
        except StrongbaxError:  # it may refuse to go on, but not lose what it has
            vault = Vault.open(path, mode="a")
            number = history.held(vault.length)
        assert acknowledged <= number <= acknowledged + 1
        acknowledged = number
        if turn % 5 == 0:
            with Vault.open(path) as reader:
                assert compare(reader, history) == acknowledged
    vault.close()
    with Vault.open(path) as vault:
        assert compare(vault, history) == acknowledged
    return interrupted


def test_interrupts_at_any_moment_lose_nothing(tmp_path, interrupt):
    """Whatever an interrupt hits, every flush that returned is there, in this process and in another."""
    assert interrupt_often(tmp_path, interrupt, 15, seed=0)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(1, 6))
def test_many_interrupts_at_any_moment_lose_nothing(tmp_path, interrupt, seed):
    """The same holds for 500 interrupts."""
    assert interrupt_often(tmp_path, interrupt, 100, seed) > 50
