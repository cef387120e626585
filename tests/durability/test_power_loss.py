"""Power loss at any moment: whatever the disk kept of what was not synced, no flush that returned is lost."""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from durable_disk import lay_out
from durable_resume import KINDS
from durable_search import Place
from durable_trace import STRACE

pytestmark = pytest.mark.skipif(STRACE is None, reason="strace, which records the system calls, is not here")


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A folder for states: in memory where that can be."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_flushed_survives_power_loss(tmp_path, shelf, kind):
    """No state of the disk, at some moments of a run, lacks a flush or a checkpoint that returned."""
    found = Place(tmp_path, shelf, kind).search(seed=1, writes=12, looks=25, random_states=2)
    assert found.tally["states"] > 30
    assert not found.problems, found.problems


def test_what_was_flushed_survives_power_loss_after_a_kill(tmp_path, shelf):
    """The same holds while another process goes on with what a killed one left and nothing has synced."""
    found = Place(tmp_path, shelf, "recording").search(
        seed=3, writes=8, looks=25, random_states=2, killed=0.8
    )
    assert found.tally["states"] > 30
    assert not found.problems, found.problems


@pytest.mark.parametrize("without", ["fdatasync", "directories", "files"])
def test_the_search_finds_a_writer_that_does_not_sync(tmp_path, shelf, without):
    """A writer without one kind of sync leaves bad states, and the search finds one."""
    place = Place(tmp_path, shelf, "ring")
    assert place.search(seed=1, writes=6, looks=40, without=without, enough=1).problems


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2, 6))
def test_what_was_flushed_survives_power_loss_at_many_moments(tmp_path, shelf, kind, seed):
    """The same holds at many moments of longer runs, from creation and after power loss."""
    first = Place(tmp_path / "made", shelf, kind).search(seed=seed, writes=25, looks=250)
    lay_out(first.image, tmp_path / "lost" / "disk")
    second = Place(tmp_path / "lost", shelf, kind).search(seed=seed, writes=6, looks=80)
    for name, found in {"from creation": first, "after power loss": second}.items():
        print(kind, seed, name, dict(found.tally), dict(found.problems))
        assert not found.problems, name


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_what_was_flushed_survives_power_loss_after_kills_at_many_moments(tmp_path, shelf, kind, seed):
    """The same holds after a kill at any share of a run, in creation too."""
    place = Place(tmp_path, shelf, kind)
    killed = random.Random(seed).random() ** 0.5
    found = place.search(seed=seed + 50, writes=10, looks=40, random_states=4, killed=killed)
    print(kind, seed, killed, dict(found.tally), dict(found.problems))
    assert not found.problems
