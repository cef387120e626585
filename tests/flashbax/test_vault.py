"""Flashbax's Vault and ours, called alike: the same where it is right, no loss where it loses."""

import contextlib
import importlib
import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongbax.buffer.trajectory_buffer import TrajectoryBufferState
from strongbax.vault import ClosedError, ConflictError, CorruptionError, FormatError, GapError, NotFoundError
from strongbax.vault.flashbax_files import open_flashbax
from strongbax.vault.flashbax_vault import Vault

CAPACITY = 8
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
SAMPLE = Path(__file__).parents[2] / "../shared/samples/flashbax/pendulum.vlt"


class Observation(NamedTuple):
    x: Any
    pixels: Any


@pytest.fixture
def theirs():
    """Flashbax's own Vault, and JAX as its users have it."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.numpy_rank_promotion("allow"))
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        pytest.importorskip("flashbax", reason="needs flashbax, of the extra `test`")
        yield importlib.import_module("flashbax.vault").Vault


class Ring:
    """A NumPy ring of numbered steps, and states of it as anybody may build them."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity, self.count = capacity, 0
        self.slots = {
            "id": np.zeros((2, capacity), np.int32),
            "info": {"x": np.zeros((2, capacity, 3), "f4")},
        }

    def add(self, steps: int) -> "Ring":
        for number in range(self.count, self.count + steps):
            slot = number % self.capacity
            self.slots["id"][:, slot] = number, -number
            self.slots["info"]["x"][:, slot] = number / 3
        self.count += steps
        return self

    def state(self) -> Any:
        experience = jax.tree.map(np.copy, self.slots)
        index, full = self.count % self.capacity, self.count >= self.capacity
        return TrajectoryBufferState(
            experience=experience, current_index=np.int32(index), is_full=np.bool_(full)
        )


def ids(vault: Any) -> list[int]:
    return np.asarray(vault.read().experience["id"])[0].tolist()


def same(one: Any, other: Any) -> None:
    """Both are of the same containers, types and bytes."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert (type(a), a.dtype, a.shape) == (type(b), b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def both(theirs: Any, folder: Path, name: str = "v") -> list[Any]:
    """A new vault of each kind, and a ring for each."""
    return [
        (kind(name, Ring().slots, rel_dir=str(folder / where), vault_uid="1"), Ring())
        for kind, where in ((theirs, "theirs"), (Vault, "ours"))
    ]


READS: list[dict[str, Any]] = [
    {},
    {"timesteps": 5},
    {"timesteps": 0},
    {"percentiles": (0, 90)},
    {"percentiles": (29, 57.5)},
]


@pytest.mark.parametrize("how", READS)
def test_it_reads_as_flashbax_does(tmp_path, theirs, how):
    """Written as Flashbax wants it, both give the same counts, indices and states."""
    (their_vault, their_ring), (vault, ring) = both(theirs, tmp_path)
    for steps in (3, 4, 1, 7, 5):
        written = their_vault.write(their_ring.add(steps).state()), vault.write(ring.add(steps).state())
        assert written == (steps, steps)
        assert their_vault.vault_index == vault.vault_index
    same(vault.read(**how).experience, their_vault.read(**how).experience)
    assert bool(vault.read().is_full)
    assert int(vault.read().current_index) == 0


def old_experience() -> Any:
    random = np.random.default_rng(0)
    return {
        "observation": Observation(
            jnp.asarray(random.normal(size=(2, 20, 3)), jnp.bfloat16),
            jnp.asarray(random.integers(0, 256, (2, 20, 4, 4, 1)), jnp.uint8),
        ),
        "done": jnp.asarray(random.integers(0, 2, (2, 20)), bool),
        "half": jnp.asarray(random.normal(size=(2, 20)), jnp.float16),
        "deep": {"er": {"action": jnp.arange(40).reshape(2, 20)}},
    }


def test_what_flashbax_wrote_is_read_bit_for_bit(tmp_path, theirs):
    """Every dtype and container, whole, in part, and hung in other containers, comes as Flashbax reads it."""
    experience = old_experience()
    theirs(
        "old", experience, str(tmp_path), "1", {"id": "zstd", "level": 3}, {"env": "toy", "lr": 0.5}
    ).write(
        TrajectoryBufferState(
            experience=experience, current_index=jnp.asarray(17), is_full=jnp.asarray(False)
        )
    )
    part = {"observation": experience["observation"], "half": 0}
    for structure in (None, experience, part):
        mine, genuine = (kind("old", structure, str(tmp_path), "1") for kind in (Vault, theirs))
        assert mine.vault_index == genuine.vault_index == 17
        for how in READS:
            same(mine.read(**how).experience, genuine.read(**how).experience)
        assert mine._metadata == genuine._metadata
    assert open_flashbax(tmp_path / "old/1").facts == {"env": "toy", "lr": 0.5}


@pytest.mark.skipif(not SAMPLE.exists(), reason="needs the sample vault, which is not in the repository")
def test_the_sample_is_read_bit_for_bit(theirs):
    """A vault of another day, with episodes of Pendulum, comes as Flashbax reads it."""
    mine, genuine = (kind(SAMPLE.name, None, str(SAMPLE.parent), "Random") for kind in (Vault, theirs))
    same(mine.read().experience, genuine.read().experience)
    assert mine.vault_index == 200


def test_what_flashbax_wrote_is_copied_not_changed(tmp_path, theirs):
    """Writing to it is an error with the mend in it, and the mend works."""
    (old, ring), _ = both(theirs, tmp_path)
    old.write(ring.add(7).state())
    old = Vault("v", None, str(tmp_path / "theirs"), "1")
    with pytest.raises(ClosedError, match=r"can be read only\. Copy it"):
        old.write(ring.state())
    new = Vault("new", old.read().experience, str(tmp_path), "1")
    assert new.write(old.read()) == 7
    same(new.read().experience, old.read().experience)
    old.close()


def test_damage_to_what_flashbax_wrote_is_named(tmp_path, theirs):
    """A folder without its database, of another version, or with broken metadata says which."""
    (old, ring), _ = both(theirs, tmp_path)
    old.write(ring.add(3).state())
    folder = tmp_path / "theirs/v/1"
    metadata = json.loads((folder / "metadata.json").read_text())

    def opened(**changes: Any) -> Any:
        (folder / "metadata.json").write_text(json.dumps({**metadata, **changes}))
        return open_flashbax(folder)

    with pytest.raises(FormatError, match=r"version 2.0: versions 1.x"):
        opened(version=2.0)
    with pytest.raises(CorruptionError, match="not what Flashbax writes"):
        opened(version="one")
    with pytest.raises(CorruptionError, match="describes no leaves"):
        opened(structure_shape={"id": "many", "info": {"x": "(2, 8, 3)"}})
    opened()
    shutil.rmtree(folder / "d")
    with pytest.raises(CorruptionError, match="has no readable"):
        open_flashbax(folder)
    with pytest.raises(NotFoundError, match="innermost folder is meant"):
        open_flashbax(folder.parent)


def after_a_lap(vault: Any, ring: Ring) -> int:
    vault.write(ring.add(3).state())
    return vault.write(ring.add(CAPACITY + 2).state())


def test_a_ring_that_came_round_unseen_is_an_error(tmp_path, theirs):
    """Flashbax writes the two newest steps of ten without a word."""
    (their_vault, their_ring), (vault, ring) = both(theirs, tmp_path)
    assert after_a_lap(their_vault, their_ring) == 2
    ring.state = with_laps(ring)
    with pytest.raises(GapError, match="2 steps of each of 2 streams were overwritten"):
        after_a_lap(vault, ring)
    assert vault.write(ring.state(), on_gap="record") == CAPACITY


def with_laps(ring: Ring) -> Any:
    """States that count, as our buffers make them."""
    plain = ring.state
    return lambda: plain().replace(laps=np.int32(ring.count // ring.capacity))


@pytest.mark.parametrize("steps", [CAPACITY, CAPACITY + 3])
def test_a_full_ring_is_written_whole(tmp_path, theirs, steps):
    """Flashbax writes what lies before the cursor: nothing, or a part."""
    (their_vault, their_ring), (vault, ring) = both(theirs, tmp_path)
    assert their_vault.write(their_ring.add(steps).state()) == steps % CAPACITY
    assert vault.write(ring.add(steps).state()) == CAPACITY
    assert ids(vault) == list(range(steps - CAPACITY, steps))


def test_nothing_is_doubled_by_another_process(tmp_path, theirs):
    """Flashbax forgets the cursor: opened again it writes what it wrote before."""
    counts = []
    for kind, where in ((theirs, "theirs"), (Vault, "ours")):
        ring, options = Ring().add(4), {"rel_dir": str(tmp_path / where), "vault_uid": "1"}
        kind("v", ring.slots, **options).write(ring.state())
        counts.append(kind("v", ring.slots, **options).write(ring.state()))
        ring.add(6)
        counts.append(kind("v", ring.slots, **options).write(ring.state()))
    assert counts == [4, 2, 0, 6]


def test_an_interval_marks_no_more_than_itself_as_written(tmp_path, theirs):
    """Flashbax takes everything up to the cursor for written, and loses it."""
    (their_vault, their_ring), (vault, ring) = both(theirs, tmp_path)
    counts = [
        (one.write(its.add(6).state(), (0, 2)), one.write(its.state()))
        for one, its in ((their_vault, their_ring), (vault, ring))
    ]
    assert counts == [(2, 0), (2, 4)]
    assert ids(vault) == list(range(6))


@pytest.mark.parametrize("intervals", [[(3, 8), (0, 3)], [(3, 3), (3, 2), (2, 3)], [(0, 8)]])
def test_a_full_ring_written_by_intervals_is_written_once(tmp_path, intervals):
    """However slots are written by hand, a plain write afterwards brings none again."""
    vault, ring = Vault("v", Ring().slots, str(tmp_path)), Ring().add(11)
    assert sum(vault.write(ring.state(), interval) for interval in intervals) == CAPACITY
    assert vault.write(ring.state()) == 0
    in_time = intervals[0] != (0, 8)
    assert ids(vault) == ([*range(3, 11)] if in_time else [8, 9, 10, 3, 4, 5, 6, 7])
    assert [gap.time for gap in vault.vault.gaps] == ([] if in_time else [3])
    assert vault.write(ring.add(2).state()) == 2


MOVES = st.lists(
    st.tuples(st.sampled_from(["write", "part", "wait", "reopen"]), st.integers(0, 5)), max_size=20
)


@given(moves=MOVES, counts=st.booleans())
def test_nothing_is_lost_or_doubled(moves, counts):
    """However a run adds, writes all or a part, waits and opens again, each step is there once, in order."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        vault, ring, written = Vault("v", Ring().slots, folder, "1"), Ring(), 0
        if counts:
            ring.state = with_laps(ring)
        for move, number in moves:
            ring.add(min(number, CAPACITY - 1 - (ring.count - written)))
            if move == "write":
                assert vault.write(ring.state()) == ring.count - written
                written = ring.count
            if move == "part":
                stop = min(written + number // 2, ring.count)
                part = (written % CAPACITY, stop % CAPACITY)
                assert vault.write(ring.state(), part) == stop - written or part == (0, 0)
                written = vault.vault_index
            if move == "reopen":
                vault.close()
                vault = Vault("v", None, folder, "1")
            assert vault.vault_index == written
        assert ids(vault) == list(range(written))
        assert vault.vault.gaps == ()


def test_blocks_built_by_hand_are_put_end_to_end(tmp_path):
    """States that are mere carriers of steps follow one another without a gap, whatever their cursors say."""
    vault = Vault("v", Ring().slots, str(tmp_path))
    wanted: list[int] = []
    for steps, full in ((5, True), (10, True), (3, False), (5, True)):
        block = {"id": np.arange(2 * steps, dtype=np.int32).reshape(2, steps), "info": {}}
        block["info"] = {"x": np.zeros((2, steps, 3), np.float32)}
        state = TrajectoryBufferState(experience=block, current_index=np.int32(steps), is_full=np.bool_(full))
        assert vault.write(state, source_interval=(0, steps)) == steps
        wanted += range(steps)
    assert ids(vault) == wanted
    assert vault.vault.gaps == ()


def test_where_steps_go_is_not_chosen(tmp_path):
    """`dest_start` may say the end; anywhere else is an error, and so is an interval outside of the ring."""
    vault, ring = Vault("v", Ring().slots, str(tmp_path)), Ring().add(4)
    assert vault.write(ring.state(), (0, 2), dest_start=0) == 2
    with pytest.raises(ValueError, match="`dest_start` must be the vault's end, 2: got 0"):
        vault.write(ring.state(), (2, 4), dest_start=0)
    with pytest.raises(ValueError, match=r"`source_interval` must lie within the 8 slots"):
        vault.write(ring.state(), (2, 9))
    for how in ({"timesteps": 3}, {"percentiles": (60, 40)}, {"percentiles": (0, 101)}):
        with pytest.raises(ValueError, match=r"timesteps|percentiles"):
            vault.read(**how)


def test_what_flashbax_cannot_hold_is_held(tmp_path):
    """Tuples, PRNG keys, 64 bits and facts that would overwrite the vault's own."""
    experience = ({"a.b": np.zeros((1, 4), np.int64)}, jax.random.split(jax.random.key(0), (1, 4)))
    state = TrajectoryBufferState(experience=experience, current_index=np.int32(2), is_full=np.bool_(False))
    facts = {"version": 7, "net": {"sizes": (64, 64), "of": jnp.ones(1)}, "loss": float("nan")}
    vault = Vault("v", experience, str(tmp_path), "1", {"id": "zstd"}, facts)
    vault.write(state)
    kept = {"version": 7, "net": {"sizes": [64, 64], "of": "[1.]"}, "loss": "nan"}
    assert vault.vault.attributes == kept
    assert vault._metadata["version"] == 1.2
    assert {leaf.codec for leaf in vault.vault.schema.leaves} == {"zstd"}
    assert jax.random.key_data(
        Vault("v", None, str(tmp_path), "1").vault.read(leaves=["1"]).experience["1"]
    ).shape


def test_one_writes_while_others_read(tmp_path):
    """A vault is opened to read until it is written, and a reader sees what was written since."""
    writer, ring = Vault("a/b.vlt", Ring().slots, str(tmp_path), "1"), Ring()
    reader = Vault("a/b.vlt", None, str(tmp_path), "1", compression={"id": "gzip"})
    writer.write(ring.add(4).state())
    assert ids(reader) == [0, 1, 2, 3]
    with pytest.raises(BlockingIOError, match="writer"):
        reader.write(ring.state())
    with writer:
        pass
    assert reader.write(ring.add(2).state()) == 2
    part = Vault("a/b.vlt", {"info": {"x": 0}}, str(tmp_path), "1")
    assert list(part.read().experience) == ["info"]


def test_a_vault_without_a_name_of_its_own_is_a_new_one(tmp_path):
    """Two made in the same second are two, and what cannot be made or opened says why."""
    vaults = [Vault("v", Ring().slots, str(tmp_path)) for _ in range(3)]
    assert len({vault._base_path for vault in vaults}) == 3
    with pytest.raises(ValueError, match="no `experience_structure` was provided"):
        Vault("nowhere", rel_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"leaves \[B, T, ...\] of one B"):
        Vault("v", {"a": np.zeros(3)}, str(tmp_path))
    with pytest.raises(ValueError, match="`compression` must have one of the ids"):
        Vault("v", Ring().slots, str(tmp_path), compression={"id": "bz2"})
    with pytest.raises(ValueError, match="has \\['reward'\\] beside them"):
        Vault("v", {"reward": 0}, str(tmp_path), Path(vaults[0]._base_path).name).read()
    (tmp_path / "v/other").mkdir()
    (tmp_path / "v/other/file").write_text("")
    with pytest.raises(NotFoundError, match="is no vault"):
        Vault("v", Ring().slots, str(tmp_path), "other")


def test_a_ring_that_shares_nothing_is_asked_about(tmp_path):
    """Where nothing tells whether a ring goes on, it is said how to answer, and the answer is taken."""
    Vault("v", Ring().slots, str(tmp_path), "1").write(Ring().add(4).state())
    ring = Ring().add(2 * CAPACITY)
    ring.state = with_laps(ring)
    vault = Vault("v", Ring().slots, str(tmp_path), "1")
    with pytest.raises(ConflictError, match="continues=True"):
        vault.write(ring.state())
    assert vault.write(ring.state(), continues=False) == CAPACITY
