"""A ring and a vault agree on what is new: nothing is lost, doubled or joined silently."""

from typing import Any

import numpy as np
import pytest
from strongbax.vault import ConflictError, GapError, Vault
from vault_model import Model
from vault_rings import SHAPES, Ring, Source, one_step, same, split

CAPACITY = 6


class World:
    """A vault, its model, and a ring that is written to both."""

    def __init__(self, path: Any, *, laps: bool = True, streams: int = 2, ends: float = 0.0) -> None:
        self.path = path
        self.vault = Vault.create(path, steps=one_step(), streams=streams, columns={"score": float}, block=8)
        self.source, self.model = Source(streams, ends), Model(streams)
        self.ring = Ring(streams, CAPACITY, laps=laps)

    def add(self, count: int) -> None:
        self.ring.add(self.source.steps(count))

    def write(self, first: int, *, lost: int = 0, fresh: bool = False, **arguments: Any) -> None:
        """Writes, and expects the ring's steps from `first` on to be new."""
        written = self.vault.write(self.ring.state(), **arguments)
        assert written == self.model.flush(self.ring, first, lost=lost, fresh=fresh)
        self.model.check(self.vault)

    def refuse(self, error: type[Exception], **arguments: Any) -> str:
        """Writes, and expects an error and nothing written."""
        with pytest.raises(error) as caught:
            self.vault.write(self.ring.state(), **arguments)
        self.model.check(self.vault)
        return str(caught.value)

    def reopen(self) -> None:
        self.vault.close()
        self.vault = Vault.open(self.path, mode="a")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "a.vault")


def test_adds_between_writes_are_written_once(world):
    """Writes at any place of the ring bring what was added since, and a second one brings nothing."""
    for count in (1, 5, 6, 0, 4, 6, 3):
        first = world.ring.count
        world.add(count)
        world.write(first)
        world.write(world.ring.count)


def test_exactly_a_lap_is_not_taken_for_nothing(world):
    """T adds between writes bring T steps: the cursor stands where it stood, the count does not."""
    world.add(4)
    world.write(0)
    world.add(CAPACITY)
    world.write(4)


@pytest.mark.parametrize("more", [CAPACITY + 1, CAPACITY + 4, 2 * CAPACITY, 3 * CAPACITY + 1])
def test_overwritten_steps_are_refused(world, more):
    """A lapped ring raises GapError, says how many steps are gone, and nothing is written."""
    world.add(4)
    world.write(0)
    world.add(more)
    message = world.refuse(GapError)
    assert f"{more - CAPACITY} steps of each of 2 streams were overwritten" in message
    assert f"Flush at least every {CAPACITY} steps, or pass on_gap='record'" in message


@pytest.mark.parametrize("more", [CAPACITY + 1, 2 * CAPACITY])
def test_a_recorded_gap_parts_episodes(world, more):
    """With on_gap="record" the gap is noted, running episodes are cut, and none spans it."""
    world.add(4)
    world.write(0)
    world.add(more)
    world.write(4 + more - CAPACITY, lost=more - CAPACITY, on_gap="record")
    assert [(gap.time, gap.lost) for gap in world.vault.gaps] == [(4, more - CAPACITY)]
    table = world.vault.episodes
    assert table["length"].tolist() == [4, 4]
    assert not table["terminated"].any()
    assert not table["truncated"].any()
    assert world.vault.open_episodes["start"].tolist() == [4, 4]
    world.reopen()
    world.model.check(world.vault)


def test_a_gap_survives_the_log(world):
    """A gap that only the log holds is seen by a reader that opens beside the writer."""
    world.add(1)
    world.write(0)
    world.add(CAPACITY + 1)
    world.write(2, lost=1, on_gap="record")
    world.model.check(Vault.open(world.path))


@pytest.mark.parametrize("added", [CAPACITY, CAPACITY + 2, 2 * CAPACITY])
@pytest.mark.parametrize("laps", [True, False])
def test_a_full_ring_is_first_written_whole(tmp_path, added, laps):
    """The first write brings all that the ring holds, in the order of time, wherever its cursor stands."""
    world = World(tmp_path / "a.vault", laps=laps)
    world.add(added)
    world.write(added - CAPACITY)
    assert world.vault.gaps == ()


@pytest.mark.parametrize("laps", [True, False])
@pytest.mark.parametrize("count", [4, 9])
def test_reopening_neither_doubles_nor_skips(tmp_path, laps, count):
    """The same ring goes on after reopening: only what it added since is new."""
    world = World(tmp_path / "a.vault", laps=laps, ends=0.3)
    world.add(count)
    world.write(max(0, count - CAPACITY))
    world.reopen()
    world.write(count)
    world.add(3)
    world.write(count)
    world.reopen()
    world.add(2)
    world.write(count + 3)
    assert world.vault.gaps == ()


def test_another_ring_after_reopening_is_all_new(world):
    """A ring with other steps, or fewer, begins another history: a gap of 0 lost steps, episodes cut."""
    world.add(9)
    world.write(3)
    for count in (4, CAPACITY, 5, 7):
        world.reopen()
        before = world.vault.length
        world.ring = Ring(2, CAPACITY)
        world.add(count)
        world.write(max(0, count - CAPACITY), fresh=True)
        gap = world.vault.gaps[-1]
        assert (gap.time, gap.lost) == (before, 0)


def test_another_ring_in_one_session_is_all_new(world):
    """A buffer that was made anew while the vault stayed open is not taken for the old one."""
    world.add(5)
    world.write(0)
    world.ring = Ring(2, CAPACITY)
    world.add(5)
    world.write(0, fresh=True)
    world.ring = Ring(2, CAPACITY, laps=False)
    world.add(8)
    world.write(2, fresh=True)


def test_an_empty_ring_brings_nothing(world):
    """A buffer that was just made writes no step and no gap."""
    world.write(0)
    world.add(3)
    world.write(0)
    world.ring = Ring(2, CAPACITY)
    world.write(0)
    assert world.vault.gaps == ()


def test_nothing_shared_is_not_guessed(world):
    """Where ring and vault share no step the write is refused until the user says what it is."""
    world.add(4)
    world.write(0)
    world.reopen()
    world.add(CAPACITY)
    message = world.refuse(ConflictError)
    assert "The ring holds steps 4 to 10 of a stream" in message
    assert "the vault ends at step 4: they share no step" in message
    assert "`write(state, continues=True)`" in message
    world.write(4, continues=True)
    assert world.vault.gaps == ()


def test_nothing_shared_may_be_another_ring(world):
    """With continues=False the ring is another one: all new, and episodes do not run on."""
    world.add(4)
    world.write(0)
    world.reopen()
    world.add(CAPACITY)
    world.write(4, fresh=True, continues=False)


def test_a_ring_that_went_on_too_far_after_reopening_is_a_gap(world):
    """With continues=True the steps that were overwritten meanwhile are a gap like any other."""
    world.add(4)
    world.write(0)
    world.reopen()
    world.add(CAPACITY + 2)
    assert "2 steps of each" in world.refuse(GapError, continues=True)
    world.write(6, lost=2, continues=True, on_gap="record")


def test_nothing_shared_is_not_guessed_where_the_vault_holds_more(world):
    """A vault whose end is not the ring's count asks as well: what cannot be compared decides nothing."""
    world.add(5)
    world.write(0)
    world.ring = Ring(2, CAPACITY)
    world.add(2)
    world.write(0, fresh=True)  # the vault holds 7 steps, the ring counts 2
    world.reopen()
    world.add(CAPACITY + 2)
    world.refuse(ConflictError)


def test_continues_cannot_be_true_of_a_younger_ring(world):
    """A ring that counts fewer steps than were flushed of it cannot go on with them."""
    world.add(5)
    world.write(0)
    world.reopen()
    world.ring = Ring(2, CAPACITY)
    world.add(2)
    assert "Say `continues=False`" in world.refuse(ConflictError, continues=True)


@pytest.mark.parametrize("reopened", [True, False])
def test_steps_from_elsewhere_do_not_double_the_ring(tmp_path, reopened):
    """A ring that goes on behind steps from elsewhere brings what is new, apart from those steps."""
    world = World(tmp_path / "a.vault", streams=1)
    world.add(5)
    world.write(0)
    block = world.source.steps(3)
    world.vault.extend({name: values[0] for name, values in block.items()})
    world.model.commit(split(block))
    if reopened:
        world.reopen()
    world.add(1)
    world.write(5)
    assert [(gap.time, gap.lost) for gap in world.vault.gaps] == [(8, 0)]


@pytest.mark.parametrize("laps", [True, False])
@pytest.mark.parametrize("written", [4, 5])
def test_an_uncounted_lap_shows_by_its_content(tmp_path, laps, written):
    """A state without laps that went round unseen is written whole: doubled or lost silently is nothing."""
    world = World(tmp_path / "a.vault", laps=laps)
    world.add(written)
    world.write(0)
    world.add(CAPACITY)
    if laps:
        world.write(written)
    else:
        world.write(written, fresh=True)
        assert world.vault.gaps[0].time == written


def test_equal_steps_of_two_rings_are_one_history(tmp_path):
    """Rings that hold the same bytes cannot be told apart: the second goes on where the first stood."""
    world = World(tmp_path / "a.vault")
    world.add(4)
    world.write(0)
    world.reopen()
    twin = Ring(2, CAPACITY)
    for step in world.ring.history:
        twin.add({name: values[:, None] for name, values in step.items()})
    assert world.vault.write(twin.state()) == 0


def test_nan_is_equal_to_itself(tmp_path):
    """A ring with NaN in it goes on after reopening."""
    vault = Vault.create(tmp_path / "a.vault", steps=one_step(), streams=2, block=8)
    ring, source = Ring(2, CAPACITY), Source(2)
    steps = source.steps(3)
    steps["observation"][...] = np.nan
    ring.add(steps)
    assert vault.write(ring.state()) == 3
    vault.close()
    with Vault.open(tmp_path / "a.vault", mode="a") as vault:
        assert vault.write(ring.state()) == 0


def test_copies_of_a_vault_are_whole(tmp_path):
    """What `Vault.read` gives, written to another vault, is the whole vault."""
    world = World(tmp_path / "a.vault", ends=0.3)
    world.add(5)
    world.write(0)
    for _ in range(3):
        world.add(4)
        world.write(world.ring.count - 4)
    state = world.vault.read()
    with Vault.create(tmp_path / "b.vault", like=state, block=8) as copy:
        assert copy.write(state) == world.vault.length
        assert copy.write(state) == 0
        for name in SHAPES:
            assert same(copy.read_numpy(leaves=[name])[name], world.model.leaf(name))
        assert copy.gaps == ()
        assert copy.episodes["start"].tolist() == world.vault.episodes["start"].tolist()


def test_a_read_state_written_back_brings_nothing(world):
    """Writing a vault's own steps to it doubles none."""
    world.add(5)
    world.write(0)
    assert world.vault.write(world.vault.read()) == 0
    world.reopen()
    assert world.vault.write(world.vault.read()) == 0
    world.model.check(world.vault)
