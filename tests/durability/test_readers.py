"""Readers beside a writer at full speed: every look is one moment of its history, none goes back."""

import json
import subprocess
import sys

import pytest
import zarr
from durable_compare import COLUMNS
from durable_history import HISTORIES, History, named, steps
from durable_nursery import CHILD

LAST = 100  # steps and episodes that are compared at each look with zarr


def start_reader(tmp_path, number, path, kind, seconds):
    """A reader in a process of its own, and the file that it speaks to."""
    events = tmp_path / f"reader-{number}"
    task = {"task": "read", "path": str(path), "kind": kind, "events": str(events), "seconds": seconds}
    command = [sys.executable, str(CHILD), json.dumps(task)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True), events


def look_with_zarr(path, history: History) -> int:
    """Reads with zarr-python alone; gives the steps that it sees."""
    group = zarr.open_group(str(path), mode="r")
    wanted = named(steps(history.streams, 0, 1))
    lengths = {group[f"steps/{name}"].shape[1] for name in wanted}
    assert len(lengths) == 1, f"the leaves have different lengths: {lengths}"
    (length,) = lengths
    first = max(0, length - LAST)
    wanted = named(steps(history.streams, first, length))
    for name, leaf in wanted.items():
        assert (group[f"steps/{name}"][:, first:] == leaf).all(), f"the steps of {name} differ"
    counts = {group[f"episodes/{name}"].shape[0] for name in COLUMNS}
    assert len(counts) == 1, f"the columns have different lengths: {counts}"
    (count,) = counts
    while history.moments[-1].episodes < count:
        history.moment(len(history.moments))
    ended = [row for row in history.rows if row["start"] + row["length"] <= length]
    # One that the next write cut may come with that write.
    assert all(row["start"] + row["length"] == length for row in ended[count:]), "an episode is missing"
    for name in COLUMNS:
        held = group[f"episodes/{name}"][max(0, count - LAST) :].tolist()
        assert held == [row[name] for row in history.rows[max(0, count - LAST) : count]], name
    return length


def read_while_writing(nursery, tmp_path, kind, seconds) -> dict[str, int]:
    """Lets two readers and zarr look at a vault that is being written; gives how often they looked."""
    path, history = tmp_path / "one.vault", HISTORIES[kind]()
    history.create(path, block=8).close()
    readers = [start_reader(tmp_path, number, path, kind, seconds) for number in range(2)]
    writer = nursery.start("write", path=str(path), kind=kind, seed=0, until=1 << 40)
    looks = {"zarr": 0, "flushes": 0}
    longest = 0
    while any(reader.poll() is None for reader, _ in readers):
        length = look_with_zarr(path, history)
        assert length >= longest, "what zarr saw is gone"
        longest, looks["zarr"] = length, looks["zarr"] + 1
        writer.listen_for(0.05)
    writer.listen_for(0.1)
    nursery.kill(writer)
    for number, (reader, events) in enumerate(readers):
        _, said = reader.communicate()
        assert reader.returncode == 0, said
        looks[f"reader {number}"] = int(events.read_text().split()[-1])
    looks["flushes"] = max(writer.numbers("done"))
    assert longest > 0
    return looks


@pytest.mark.parametrize("kind", HISTORIES)
def test_readers_see_moments_of_the_history(nursery, tmp_path, kind):
    """What readers, ours and zarr's, see beside a writer is whole, right, and never less than before."""
    looks = read_while_writing(nursery, tmp_path, kind, seconds=2)
    assert min(looks.values()) > 2, looks


@pytest.mark.heavy
@pytest.mark.parametrize("kind", HISTORIES)
def test_readers_see_moments_of_a_long_history(nursery, tmp_path, kind):
    """The same holds for 20 seconds."""
    print(kind, read_while_writing(nursery, tmp_path, kind, seconds=20))
