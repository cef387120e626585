"""The worker: jobs in order, in one thread; who waits gets what came of them."""

import subprocess
import sys
import threading

import pytest
from strongbax.vault import Vault
from strongbax.vault.worker import Worker


@pytest.fixture
def worker():
    """A worker that is stopped at the end."""
    worker = Worker("test-worker")
    yield worker
    worker.stop()


def test_jobs_are_done_in_order_in_one_other_thread(worker):
    """Jobs run one after the other, in the order they were given, none of them in the caller's thread."""
    done = []

    def work(number):
        done.append((number, threading.get_ident()))
        return number * 2

    jobs = [worker.submit(work, number) for number in range(50)]
    assert [job.result() for job in jobs] == [number * 2 for number in range(50)]
    assert [number for number, _ in done] == list(range(50))
    assert len({thread for _, thread in done} | {threading.get_ident()}) == 2


def test_an_error_is_raised_where_the_job_is_waited_for(worker):
    """A job's error reaches everyone who asks, and the jobs after it are done all the same."""
    failed, after = worker.submit(int, "x"), worker.submit(int, "7")
    assert after.result() == 7
    assert isinstance(failed.exception(), ValueError)
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            failed.result()


def test_waiting_ends_after_the_timeout(worker):
    """A job that goes on is waited for no longer than asked, and can be waited for again."""
    gate = threading.Event()
    job = worker.submit(gate.wait)
    with pytest.raises(TimeoutError, match=r"0\.01 seconds"):
        job.result(0.01)
    assert not job.done()
    gate.set()
    assert job.result(10)
    assert job.done()


def test_a_worker_that_was_stopped_takes_no_job():
    """What was given before the stop is done, what comes after is refused."""
    worker = Worker("test-worker")
    job = worker.submit(sum, [1, 2])
    worker.stop()
    worker.stop()
    assert job.done()
    with pytest.raises(RuntimeError, match="was stopped"):
        worker.submit(sum, [1, 2])


def test_what_was_given_is_done_before_the_interpreter_ends(tmp_path):
    """A flush that nobody waited for, of a vault that nobody closed, is durable when the process ends."""
    script = f"""
import types, numpy as np
from strongbax.vault import Vault
vault = Vault.create({str(tmp_path / "v")!r}, steps={{"reward": np.float32(0)}})
for count in range(1, 9):
    state = types.SimpleNamespace(
        experience={{"reward": np.arange(16, dtype=np.float32)[None]}},
        current_index=np.int32(count), is_full=np.bool_(False), laps=np.int32(0),
    )
    vault.write(state, wait=False)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    with Vault.open(tmp_path / "v") as vault:
        assert vault.read_numpy()["reward"].tolist() == [list(range(8))]
