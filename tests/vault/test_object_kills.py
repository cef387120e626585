"""Real processes on an S3 server: killed at any moment, and several at once."""

import json
import random
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from object_child import episode, main
from strongbax.vault import Vault

CHILD = Path(__file__).with_name("object_child.py")


class Writer:
    """A process that writes, and what it was told."""

    def __init__(self, url: str, storage: Any, block: int, limit: int, name: int) -> None:
        arguments = [url, json.dumps(storage), str(block), str(limit), str(name)]
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), *arguments], stdout=subprocess.PIPE, bufsize=0
        )
        self.said = b""

    def listen(self, seconds: float) -> None:
        """Takes what it says, for so long or until it ends."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.process.stdout], [], [], left)[0]:
                data = self.process.stdout.read(1 << 16)
                self.said += data
                if not data:
                    return

    def begin(self) -> None:
        """Waits until it has committed something."""
        deadline = time.monotonic() + 60
        while b"acked" not in self.said and self.process.poll() is None:
            assert time.monotonic() < deadline
            self.listen(0.05)

    def end(self, *, kill: bool) -> int:
        """Ends it; gives how many episodes it knows to be committed."""
        if kill:
            self.process.kill()
        assert self.process.stdout is not None
        self.listen(60)
        code = self.process.wait()
        self.process.stdout.close()
        assert kill or code == 0
        numbers = [int(line.split()[1]) for line in self.said.decode().splitlines() if "acked" in line]
        return max(numbers, default=0)


def check(url: str, storage: Any, writers: list[int], *, deep: bool = False) -> dict[int, int]:
    """Checks that every writer's episodes are there once, in order and whole; gives how many there are."""
    counts, expected = dict.fromkeys(writers, 0), list[Any]()
    with Vault.open(url, storage=storage) as vault:
        assert not deep or vault.verify().problems == []
        table = vault.episodes
        for place in range(len(table)):
            facts = table.attributes(place)
            assert facts["number"] == counts[facts["writer"]]
            counts[facts["writer"]] += 1
            expected.append(episode(facts["writer"], facts["number"]).steps)
        assert table["length"].tolist() == [len(steps["reward"]) for steps in expected]
        for leaf, values in vault.read_numpy().items():
            wanted = [steps[leaf] for steps in expected]
            np.testing.assert_array_equal(values[0], np.concatenate([values[0, :0], *wanted]))
    return counts


def kill_often(url: str, storage: Any, times: int, seed: int) -> int:
    """Kills a writer again and again; gives how many kills came while it wrote."""
    chance, amid = random.Random(seed), 0
    main(url, storage, 16, 0, -1)
    for _ in range(times):
        writer = Writer(url, storage, 16, 10_000, 0)
        writer.begin()
        writer.listen(chance.uniform(0, 0.4))
        acked = writer.end(kill=True)
        there = check(url, storage, [0])[0]
        assert there in (acked, acked + 1)
        amid += there == acked + 1
    with Vault.open(url, mode="a", storage=storage) as vault:
        vault.seal()
    assert check(url, storage, [0], deep=True)[0] in (acked, acked + 1)
    return amid


def race(url: str, storage: Any, writers: int, limit: int) -> int:
    """Lets several writers fight for a vault; gives how often one lost it."""
    main(url, storage, 1 << 14, 0, -1)
    running = [Writer(url, storage, 1 << 14, limit, name) for name in range(writers)]
    for writer in running:
        assert writer.end(kill=False) == limit
    assert check(url, storage, list(range(writers)), deep=True) == dict.fromkeys(range(writers), limit)
    return sum(writer.said.count(b"locked") for writer in running)


def test_a_killed_writer_loses_nothing(s3):
    """After kills at any moment the vault holds what was committed, or the flush that was under way too."""
    kill_often(*s3, times=2, seed=0)


def test_two_writers_at_once_lose_and_double_nothing(s3):
    """Of writers that take a vault from each other, every flush that returned is there once."""
    assert race(*s3, writers=2, limit=30) > 0


@pytest.mark.heavy
def test_many_kills(s3):
    """As above, many times; some kills come between the store's commit and the writer's hearing of it."""
    kill_often(*s3, times=25, seed=1)


@pytest.mark.heavy
def test_four_writers_at_once(s3):
    """As above, with four."""
    assert race(*s3, writers=4, limit=60) > 0
