"""`kill -9` while a vault is written anew: the old one or the new one is there, and a rerun completes."""

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from durable_nursery import Nursery
from strongbax.vault import Episode, Vault

LENGTHS = (30_000, 20_000, 30_000)
VERBS = ("pack", "repair", "delete")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A vault of some MB."""
    path = tmp_path_factory.mktemp("rewrite") / "source"
    rng = np.random.default_rng(0)
    step = {"x": np.zeros(16, np.float32), "reward": np.float32(0), "terminated": np.bool_(0)}
    with Vault.create(path, steps=step) as vault:
        for length in LENGTHS:
            steps = {
                "x": rng.normal(size=(length, 16)).astype(np.float32),
                "reward": np.ones(length, np.float32),
                "terminated": np.arange(length) == length - 1,
            }
            vault.append(Episode(steps))
    return path


def prepare(source: Path, path: Path, verb: str) -> None:
    shutil.copytree(source, path)
    if verb == "repair":
        shard = min((path / "episodes/attributes").glob("c.*"))
        data = bytearray(shard.read_bytes())
        data[3] ^= 1
        shard.write_bytes(data)


def files(path: Path) -> dict[str, bytes]:
    names = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != "writer.lock"]
    return {str(file.relative_to(path)): file.read_bytes() for file in names}


def kills(nursery: Nursery, source: Path, folder: Path, verb: str, count: int) -> None:
    """Kills so many at random moments before they are done, each on a copy of its own."""
    rng, killed, longest = random.Random(verb), 0, 0.5
    for number in range(10 * count):
        path = folder / f"v{number}"
        prepare(source, path, verb)
        before = files(path)
        child = nursery.start("rewrite", path=str(path), verb=verb)
        child.wait_for("begin")
        child.listen_for(rng.uniform(0, longest))
        was_killed = nursery.kill(child) != 0
        killed += was_killed
        longest *= 1.1 if was_killed else 0.8  # about where it is done
        look(path, verb, before)
        finish(nursery, path, verb)
        if verb == "repair":
            assert before in [files(kept) for kept in folder.glob(f"{path.name}.damaged*")]
        for left in folder.iterdir():
            shutil.rmtree(left)
        if killed == count:
            return
    raise AssertionError(f"{killed} were killed before they were done")


def finish(nursery: Nursery, path: Path, verb: str) -> None:
    """Does again what was killed, and finds it done, with nothing left behind."""
    for left in path.parent.glob(".*"):
        os.utime(left, (0, 0))
    if verb != "delete" or len(Vault.open(path)) == len(LENGTHS):
        child = nursery.start("rewrite", path=str(path), verb=verb)
        assert child.wait_for("done")
        nursery.kill(child)
        assert list(path.parent.glob(".*")) == []
    done = Vault.open(path.with_name(f"{path.name}.packed") if verb == "pack" else path)
    assert done.verify().problems == []
    assert len(done) == (2 if verb == "delete" else 3)


def look(path: Path, verb: str, before: dict[str, bytes]) -> None:
    """Checks what stands there after a kill."""
    packed = path.with_name(f"{path.name}.packed")
    if verb == "pack":
        assert files(path) == before
        assert not packed.exists() or Vault.open(packed).verify().problems == []
    elif files(path) != before:
        vault = Vault.open(path)
        assert vault.verify().problems == []
        assert len(vault) == (2 if verb == "delete" else 3)


@pytest.mark.parametrize("verb", VERBS)
def test_a_kill_leaves_the_old_or_the_new(nursery, source, tmp_path, verb):
    """Killed at any moment, what stands under the name is whole, and nothing that was there is lost."""
    kills(nursery, source, tmp_path, verb, 3)


@pytest.mark.heavy
@pytest.mark.parametrize("verb", VERBS)
def test_many_kills_leave_the_old_or_the_new(nursery, source, tmp_path, verb):
    """The same, sixty times each."""
    kills(nursery, source, tmp_path, verb, 60)
