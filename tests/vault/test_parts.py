"""Many writers, each its own part: nothing is lost, nothing is shared, and readers see the union."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from strongbax.buffer import make_trajectory_buffer
from strongbax.vault import LockedError, NotFoundError, Vault, concat

CHILD = Path(__file__).with_name("parts_child.py")
spec = importlib.util.spec_from_file_location("parts_child", CHILD)
child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(child)

STEP = {"observation": np.zeros(2, np.float32), "reward": np.float32(0), "terminated": np.bool_(0)}


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.vault"
    Vault.create(path, steps=STEP).close()
    return path


def write(path, part, numbers):
    with Vault.open(path, mode="a", part=f"actor-{part}") as vault:
        vault.append([child.episode(part, number) for number in numbers])


def held(vault):
    """Part and number of every episode, each step of it checked."""
    found = []
    for one in vault:
        tag = int(one.steps["observation"][0, 0])
        wanted = child.episode(tag // 1000, tag % 1000).steps
        for name, values in wanted.items():
            np.testing.assert_array_equal(one.steps[name], values)
        found.append(divmod(tag, 1000))
    return found


def actor(path, part, count):
    process = subprocess.Popen(
        [sys.executable, CHILD, str(path), str(part), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def test_a_vault_is_the_union_of_its_parts(base):
    """Episodes come from the vault itself first, then from the parts by name, whoever wrote first."""
    with Vault.open(base, mode="a") as vault:
        vault.append(child.episode(9, 0))
    write(base, 2, range(3))
    write(base, 1, range(2))
    with Vault.open(base) as vault:
        assert held(vault) == [(9, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
        assert (vault.num_episodes, vault.num_steps) == (6, 3 + 3 + 4 + 3 + 4 + 5)
        assert list(vault.parts) == ["actor-1", "actor-2"]
        assert held(vault.parts["actor-2"]) == [(2, 0), (2, 1), (2, 2)]
        assert vault.verify().ok
        assert vault.verify().checked["episodes"] == 6


def test_the_union_reads_as_one_vault(base):
    """Buffers, slices, views and joins of a vault with parts are those of its episodes end to end."""
    write(base, 1, range(4))
    write(base, 2, range(4))
    vault, buffer = Vault.open(base), make_trajectory_buffer(1, 2, 2, 1, 2, max_length_time_axis=8)
    tags = [1000 * part + number for part in (1, 2) for number in range(4) for _ in range(3 + number % 5)]
    np.testing.assert_array_equal(vault.read_numpy()["observation"][0, :, 0], tags)
    state = vault.load(buffer)
    np.testing.assert_array_equal(state.experience["observation"][0, :, 0], tags)
    assert jax.jit(buffer.sample)(state, jax.random.key(0)).experience["reward"].shape == (2, 2)
    assert held(vault.select([5, 0])) == [(2, 1), (1, 0)]
    assert held(concat([vault, vault.select([0])])) == [*held(vault), (1, 0)]


def test_a_reader_sees_new_parts_when_it_refreshes(base):
    """What is read is one moment of every part, until the next refresh."""
    write(base, 1, range(2))
    vault = Vault.open(base)
    write(base, 1, range(2, 3))
    write(base, 3, range(1))
    assert held(vault) == [(1, 0), (1, 1)]
    vault.refresh()
    assert held(vault) == [(1, 0), (1, 1), (1, 2), (3, 0)]


def test_a_part_has_one_writer(base):
    """The second to claim a part is refused, in this process and in another; other parts are free."""
    with Vault.open(base, mode="a", part="actor-1"):
        with pytest.raises(LockedError):
            Vault.open(base, mode="a", part="actor-1")
        process, said = actor(base, 1, 1)
        process.communicate()
        assert said == "locked"
        with Vault.open(base, mode="a", part="actor-2") as other, Vault.open(base, mode="a") as own:
            other.append(child.episode(2, 0))
            own.append(child.episode(0, 0))
    assert held(Vault.open(base)) == [(0, 0), (2, 0)]


def test_actors_write_at_once_and_one_is_killed(base):
    """Of an actor that is killed all commits that returned stay, the others go on, and it may come again."""
    actors = [actor(base, part, 12)[0] for part in range(3)]
    for process in actors:
        process.stdin.write("\n")
        process.stdin.flush()
    for _ in range(4):
        actors[0].stdout.readline()
    actors[0].kill()
    said = actors[0].communicate()[0].split("\n")
    committed = max([4, *(int(line[5:]) for line in said if line.startswith("done ") and line[5:].isdigit())])
    for process in actors[1:]:
        assert "closed" in process.communicate()[0]
    vault = Vault.open(base)
    count = vault.parts["actor-0"].num_episodes
    assert committed <= count <= 12
    rest = [(part, number) for part in (1, 2) for number in range(12)]
    assert held(vault) == [*((0, number) for number in range(count)), *rest]
    assert vault.verify().ok
    again, _ = actor(base, 0, 12)
    assert "closed" in again.communicate("\n")[0]
    vault.refresh()
    assert held(vault) == [(part, number) for part in range(3) for number in range(12)]


def test_two_that_make_the_same_part_at_once(base):
    """Of processes that make a part at the same moment one has it, and the part is whole."""
    many = [subprocess.Popen([sys.executable, CHILD, str(base), "7", "2"], stdin=-1, stdout=-1) for _ in "ab"]
    said = sorted(process.communicate(b"\n")[0].split()[-1] for process in many)
    assert said in ([b"closed", b"locked"], [b"closed", b"closed"])  # the second may come when one is done
    assert held(Vault.open(base)) == [(7, 0), (7, 1)]


def test_a_part_may_have_streams_of_its_own(base):
    """An actor with more environments flushes its buffer to a part with as many streams."""
    buffer = make_trajectory_buffer(3, 1, 2, 1, 2, max_length_time_axis=8)
    state = buffer.init(STEP)
    batch = {name: np.broadcast_to(leaf, (3, 4, *leaf.shape)) for name, leaf in STEP.items()}
    batch["terminated"] = np.broadcast_to(np.arange(4) == 3, (3, 4))
    state = buffer.add(state, batch)
    with Vault.open(base, mode="a", part="wide", streams=3) as part:
        assert part.write(state) == 4
        assert part.streams == 3
    with Vault.open(base) as vault:
        assert (vault.num_episodes, vault.streams) == (3, 1)
    with pytest.raises(ValueError, match="`streams` must be 3"):
        Vault.open(base, mode="a", part="wide", streams=2)
    Vault.open(base, mode="a", part="wide").close()  # the refusal left no lock


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "-x"])
def test_a_name_that_is_none_is_refused(base, name):
    """A part's name cannot lead out of the vault."""
    with pytest.raises(ValueError, match="`part` must be a name"):
        Vault.open(base, mode="a", part=name)


def test_streams_are_for_parts(base):
    """`streams` without a part is a mistake."""
    with pytest.raises(ValueError, match="`streams` is for a part"):
        Vault.open(base, streams=2)


def test_there_is_no_part_without_a_vault(tmp_path):
    """A part of nothing is refused, and nothing is made."""
    with pytest.raises(NotFoundError):
        Vault.open(tmp_path / "none.vault", mode="a", part="actor-1")
    assert not list(tmp_path.iterdir())


def test_damage_in_a_part_is_named(base):
    """`verify` looks at every part, and says in which the damage is."""
    write(base, 1, range(3))
    shard = next((base / "parts/actor-1/steps/observation").glob("c.*"))
    data = bytearray(shard.read_bytes())
    data[0] ^= 1
    shard.write_bytes(data)
    report = Vault.open(base).verify()
    assert [problem for problem in report.problems if problem.startswith("In the part 'actor-1'")]
    assert not report.ok


def test_parts_on_an_object_store():
    """Parts are made, claimed and read on object stores as in folders."""
    path = "memory://parts/base.vault"
    Vault.create(path, steps=STEP).close()
    write(path, 1, range(2))
    write(path, 2, range(1))
    with Vault.open(path) as vault:
        assert held(vault) == [(1, 0), (1, 1), (2, 0)]
        assert list(vault.parts) == ["actor-1", "actor-2"]
