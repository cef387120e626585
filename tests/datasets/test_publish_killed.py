"""Killed at any moment, neither side is half there, and what was done is not done again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_server import TOKEN, hub_server
from object_servers import CREDENTIALS
from publishing_vaults import files_of, make_vault
from strongbax.datasets.arrival import is_there
from strongbax.datasets.fetch import fetch, open_source
from strongbax.datasets.publish import publish
from strongbax.vault import Vault

CHILD = Path(__file__).with_name("publishing_child.py")
PLACES = ("folder", "s3", "hub")

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


class Worker:
    """Does one thing after the other in processes that it kills."""

    def __init__(self) -> None:
        environment = (
            os.environ | CREDENTIALS | {"HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1,localhost"}
        )
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self._process.stdout.readline() == "ready\n"

    def run(self, what, *arguments, kill_after=None, **options) -> bool:
        """Says whether it was done; killed after so many seconds it may not be."""
        self._process.stdin.write(json.dumps([what, [*map(str, arguments)], options]) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        assert status in ((0,) if kill_after is None else (0, -signal.SIGKILL))
        return status == 0

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@pytest.fixture(scope="module")
def worker():
    made = Worker()
    yield made
    made.close()


@pytest.fixture(params=PLACES)
def place(request, tmp_path, monkeypatch):
    """Where it is published, and how to reach it."""
    if request.param == "folder":
        yield str(tmp_path / "public/walk"), None
    elif request.param == "s3":
        yield "s3://tests/killed", {"endpoint": request.getfixturevalue("endpoint")}
    else:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        with hub_server() as hub:
            yield "hf://ada/walk", {"endpoint": hub.url, "token": TOKEN}


def seconds(call) -> float:
    start = time.monotonic()
    call()
    return time.monotonic() - start


def published_under_fire(worker, place, folder, kills: int, seed: int) -> set[str]:
    """Publishes two versions in turn, killed most times; gives the revisions that were seen."""
    url, storage = place
    draw = random.Random(seed)
    vaults = [make_vault(folder / f"{n}.vault", seed=n, lengths=(9 + n, 5)) for n in range(2)]
    known = {publish(vault, url, storage=storage, page=False).revision for vault in vaults}
    assert len(known) == 2
    whole = max(0.2, seconds(lambda: worker.run("publish", vaults[0], url, storage=storage, page=False)))
    seen = set()
    for number in range(kills):
        vault = vaults[1 - number % 2]
        worker.run(
            "publish", vault, url, storage=storage, page=False, kill_after=draw.uniform(0, 1.2 * whole)
        )
        path = fetch(url, folder / f"fetched-{number}", storage=storage)  # compares every byte
        source = open_source(url, storage)
        assert is_there(path, source.manifest)
        seen.add(source.manifest.revision)
    assert seen <= known
    if storage is None:
        for left in Path(url).parent.glob(".*"):
            os.utime(left, (0, 0))  # one that is young may be somebody's who is about to lock it
    for vault in vaults:
        worker.run("publish", vault, url, storage=storage, page=False)
        with (
            Vault.open(vault) as opened,
            Vault.open(fetch(url, folder / f"{vault.name}-back", storage=storage)) as back,
        ):
            assert back.num_steps == opened.num_steps
    assert sorted(one.name for one in folder.iterdir() if one.name.startswith(".")) == []
    if storage is None:
        assert [one.name for one in Path(url).parent.iterdir()] == [Path(url).name]
    return seen


def fetched_under_fire(worker, place, folder, kills: int, seed: int) -> int:
    """Fetches, killed again and again; gives how many kills it took until it was there."""
    url, storage = place
    draw = random.Random(seed)
    publish(make_vault(folder / "a.vault", lengths=(9, 5)), url, storage=storage)
    whole = max(0.2, seconds(lambda: worker.run("fetch", url, folder / "first", storage=storage)))
    wanted, hits = files_of(folder / "first"), 0
    for number in range(kills):
        target = folder / "target"
        done = worker.run("fetch", url, target, storage=storage, kill_after=draw.uniform(0, 0.7 * whole))
        hits += not done
        if target.exists():
            assert files_of(target) == wanted
            target.rename(folder / f"done-{number}")
    worker.run("fetch", url, folder / "target", storage=storage)
    assert files_of(folder / "target") == wanted
    assert sorted(one.name for one in folder.iterdir() if one.name.startswith(".")) == []
    return hits


def test_a_killed_publication(worker, place, tmp_path):
    """Whoever fetches after a kill gets the old or the new publication, every byte; then it is finished."""
    assert published_under_fire(worker, place, tmp_path, kills=2, seed=1)


def test_a_killed_fetch(worker, place, tmp_path):
    """After a kill what was to be fetched is there whole or not at all; then it is finished."""
    assert fetched_under_fire(worker, place, tmp_path, kills=2, seed=1) > 0


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(2))
def test_many_kills(worker, place, tmp_path, seed):
    """The same, over and over."""
    for name in ("publish", "fetch"):
        (tmp_path / name).mkdir()
    assert published_under_fire(worker, place, tmp_path / "publish", kills=40, seed=seed)
    assert fetched_under_fire(worker, place, tmp_path / "fetch", kills=40, seed=seed) > 0
