"""Power loss at any moment: whatever the disk kept of what was not synced, no flush that returned is lost."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from durable_disk import lay_out
from durable_history import HISTORIES
from durable_search import VAULT, search
from durable_trace import STRACE

pytestmark = pytest.mark.skipif(STRACE is None, reason="strace, which records the system calls, is not here")


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A folder for states: in memory where that can be."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def killed(nursery, home: Path, kind: str, seed: int) -> None:
    """Leaves a vault whose writer was killed."""
    (home / VAULT).parent.mkdir(parents=True)
    child = nursery.start("write", path=str(home / VAULT), kind=kind, seed=seed, until=1 << 40)
    assert child.wait_for("begin")
    child.listen_for(0.02)
    nursery.kill(child)


@pytest.mark.parametrize("kind", HISTORIES)
def test_what_was_flushed_survives_power_loss(tmp_path, shelf, kind):
    """No state of the disk, at some moments of a run, lacks a flush that returned."""
    found = search(tmp_path, shelf, kind, seed=1, writes=12, share=0.03, random_states=2)
    assert found.tally["states"] > 50
    assert not found.problems, found.problems


def test_what_was_flushed_survives_power_loss_after_a_kill(nursery, tmp_path, shelf):
    """The same holds while another process recovers what a killed one left, and goes on."""
    killed(nursery, tmp_path / "disk", "recording", seed=3)
    found = search(tmp_path, shelf, "recording", seed=2, writes=5, share=0.03, random_states=2)
    assert found.tally["states"] > 50
    assert not found.problems, found.problems


@pytest.mark.parametrize("without", ["fdatasync", "directories", "files"])
def test_the_search_finds_a_writer_that_does_not_sync(tmp_path, shelf, without):
    """A writer without one kind of sync leaves bad states, and the search finds one."""
    assert search(tmp_path, shelf, "ring", seed=1, writes=6, share=0.1, without=without, enough=1).problems


@pytest.mark.heavy
@pytest.mark.parametrize("kind", HISTORIES)
@pytest.mark.parametrize("seed", range(2, 6))
def test_what_was_flushed_survives_power_loss_at_every_moment(nursery, tmp_path, shelf, kind, seed):
    """The same holds at every moment of longer runs, from creation, after a kill, and after power loss."""
    first = search(tmp_path, shelf, kind, seed=seed, writes=25, share=0.3)
    lay_out(first.image, tmp_path / "lost" / "disk")
    killed(nursery, tmp_path / "killed" / "disk", kind, seed)
    searches = {
        "from creation": first,
        "after power loss": search(tmp_path / "lost", shelf, kind, seed=seed, writes=6, share=0.5),
        "after a kill": search(tmp_path / "killed", shelf, kind, seed=seed, writes=6, share=0.5),
    }
    for name, found in searches.items():
        print(kind, seed, name, dict(found.tally), dict(found.problems))
    assert not any(found.problems for found in searches.values())
