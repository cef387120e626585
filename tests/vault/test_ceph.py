"""Vaults on a real object store: Ceph's gateway, started for these tests alone. `make ceph` runs them."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from object_servers import CREDENTIALS
from test_object_kills import kill_often, race
from test_object_machine import machine_on

START = Path(__file__).with_name("start_ceph.sh")
PROGRAMS = ("radosgw", "ceph-mon", "ceph-osd", "ceph", "monmaptool", "curl")

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def ceph(tmp_path_factory) -> Generator[tuple[str, dict[str, Any]]]:
    """The URL of a bucket on Ceph, and how to reach it."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"Ceph lacks {missing[0]}: apt-get install radosgw ceph-mon ceph-osd ceph-common")
    folder = tmp_path_factory.mktemp("ceph")
    os.environ.update(CREDENTIALS)
    port = _free_port()
    try:
        log = (folder / "start.txt").open("w")
        subprocess.run(["sh", START, folder, str(port)], check=True, stdout=log, stderr=log, timeout=120)
        storage = {"endpoint": f"http://127.0.0.1:{port}"}
        _make_bucket(storage["endpoint"])
        yield "s3://tests", storage
    finally:
        for file in (folder / "run").glob("*.pid"):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)
        log.close()


def _free_port() -> int:
    """A port that is free, with the one behind it: below those that the system gives to others."""
    for port in range(21_000, 32_000, 17):
        with socket.socket() as one, socket.socket() as two, suppress(OSError):
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("there is no free port")


def _make_bucket(endpoint: str) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="tests")
    client.close()


def test_ceph_holds_what_the_model_holds(ceph):
    """On Ceph a vault holds what a list holds after the same operations, and after kills."""
    url, storage = ceph
    machine = machine_on(f"{url}/machine", storage)
    run_state_machine_as_test(machine, settings=settings(max_examples=20, stateful_step_count=20))


def test_kills_on_ceph(ceph):
    """After kills at any moment a vault on Ceph holds what was committed, or the flush under way too."""
    url, storage = ceph
    kill_often(f"{url}/kills.vault", storage, times=20, seed=2)


def test_a_race_on_ceph(ceph):
    """Of four writers that take a vault from each other, every flush that returned is there once."""
    url, storage = ceph
    assert race(f"{url}/race.vault", storage, writers=4, limit=40) > 0
