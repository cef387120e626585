"""What a crash left under a temporary name never gets into a shard.

TensorStore 0.1.70 to 0.1.86, with its own locks on, writes a shard into the `<shard>.__lock` that a crash
left there without cutting it first: a longer one lends its end to the shard. The vault keeps those locks off.
"""

import json

import pytest
from durable_compare import compare
from durable_history import RecordingHistory
from strongbax.vault import Vault

HISTORY = RecordingHistory()
JUNK = b"\xa5" * (1 << 16)  # longer than any shard here
WRITES = 12


def litter(path):
    """Leaves what a killed TensorStore leaves, for shards of every array that are there and for others."""
    left = []
    for document in path.rglob("zarr.json"):
        node = json.loads(document.read_text())
        for shard in range(8 if node["node_type"] == "array" else 0):
            place = [0] * len(node["shape"])
            place[1 if document.parent.is_relative_to(path / "steps") else 0] = shard
            name = ".".join(["c", *map(str, place)])
            left += [document.with_name(f"{name}{end}") for end in (".__lock", "_0123456789abcdef.__lock")]
    for file in left:
        file.write_bytes(JUNK)
    return left


def write(vault, first, stop):
    for number in range(first, stop):
        HISTORY.write(vault, number, wait=True)
        vault.seal()


def check(path, left):
    """The vault holds what was written, and a writer clears away what is left."""
    with Vault.open(path) as vault:
        assert compare(vault, HISTORY) == WRITES
    with Vault.open(path, mode="a"):
        assert not [file for file in left if file.exists()]


def test_a_stale_lock_is_cleared_away_when_a_writer_opens(tmp_path):
    """A writer removes what a crashed one left, and its own shards hold what it wrote."""
    path = tmp_path / "one.vault"
    with HISTORY.create(path) as vault:
        write(vault, 0, WRITES // 2)
    left = litter(path)
    with Vault.open(path, mode="a") as vault:
        assert not [file for file in left if file.exists()]
        write(vault, WRITES // 2, WRITES)
    check(path, left)


def test_a_stale_lock_lends_nothing_to_a_shorter_shard(tmp_path):
    """Where such a file lies while a shard is written, the shard holds what was written and no more."""
    path = tmp_path / "one.vault"
    with HISTORY.create(path) as vault:
        write(vault, 0, WRITES // 2)
        left = litter(path)
        write(vault, WRITES // 2, WRITES)
    assert all(len(file.read_bytes()) < len(JUNK) for file in path.rglob("c.*") if file not in left)
    check(path, left)


def test_a_killed_writers_temporary_files_are_cleared_away(nursery, tmp_path):
    """After real kills while sealing, the next writer leaves nothing but documents, shards and the lock."""
    path = tmp_path / "one.vault"
    for seed in range(3):
        child = nursery.start("write", path=str(path), kind="recording", seed=seed, until=1 << 40)
        child.wait_for("sealing", 10)
        nursery.kill(child)
    Vault.open(path, mode="a").close()
    files = [file for file in path.rglob("*") if file.is_file()]
    known = {"zarr.json", "writer.lock"}
    assert not [file for file in files if file.name not in known and not file.name.startswith("c.")]
    assert not list(path.rglob("*.__lock"))


def test_the_note_on_tensorstore_is_still_true(tmp_path):
    """A newer TensorStore than the note names leaves its locks uncut as well, or the note is out of date."""
    ts = pytest.importorskip("tensorstore")
    store = ts.KvStore.open({"driver": "file", "path": f"{tmp_path}/"}).result()
    (tmp_path / "key.__lock").write_bytes(JUNK)
    store.write("key", b"short").result()
    if (tmp_path / "key").read_bytes() == b"short":
        pytest.skip("this TensorStore cuts a stale lock: the precaution is not needed with it")
    assert (tmp_path / "key").read_bytes() == b"short" + JUNK[5:]
