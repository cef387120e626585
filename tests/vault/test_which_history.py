"""Whether a ring goes on with a vault is found out by comparing, or asked for, and never guessed."""

import pytest
from strongbax.vault import ConflictError, GapError
from vault_rings import Ring, split
from vault_world import CAPACITY, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "a.vault")


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


@pytest.mark.parametrize(
    ("count", "first"), [(3, 0), (5, 0), (8, 2), (10, 4), (11, None), (15, None)], ids=str
)
def test_the_first_ring_of_a_vault_of_other_steps(tmp_path, count, first):
    """A ring that meets steps from elsewhere is another history, or asks where it shares none."""
    world = World(tmp_path / "a.vault", streams=1)
    block = world.source.steps(5)
    world.vault.extend({name: values[0] for name, values in block.items()})
    world.model.commit(split(block))
    world.add(count)
    if first is None:
        world.refuse(ConflictError)
        world.write(count - CAPACITY, fresh=True, continues=False)
    else:
        world.write(first, fresh=True)
    assert [(gap.time, gap.lost) for gap in world.vault.gaps] == [(5, 0)]
