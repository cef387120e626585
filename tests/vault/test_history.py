"""A ring's new steps are written once: nothing is lost or doubled silently, however often it went round."""

import numpy as np
import pytest
from strongbax.vault import GapError, Vault
from vault_rings import SHAPES, Ring, Source, one_step, same
from vault_world import CAPACITY, World


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


def test_an_empty_ring_brings_nothing(world):
    """A buffer that was just made writes no step and no gap."""
    world.write(0)
    world.add(3)
    world.write(0)
    world.ring = Ring(2, CAPACITY)
    world.write(0)
    assert world.vault.gaps == ()


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
