"""`kill -9` at any moment: what a process had flushed is there, whole, and the next one goes on."""

import random
from collections import Counter
from pathlib import Path

import pytest
from durable_compare import compare
from durable_history import History, RecordingHistory
from durable_nursery import Child, Nursery
from durable_resume import KINDS
from strongbax.vault import NotFoundError, Vault

# What the child is waited for, and the longest it then lives, in seconds: a kill while it opens or creates,
# while it recovers and goes on, while it seals, while it closes, and after a while of writing.
MOMENTS = [
    ("opening", 0.05),
    ("found", 0.01),
    ("begin", 0.3),
    ("sealing", 0.02),
    ("closing", 0.02),
    ("found", 1.0),
]
UNTIL = 3000  # steps a stream; then another vault is begun


def kills(nursery: Nursery, folder: Path, kind: str, count: int, seed: int) -> Counter[str]:
    """Kills writers, one after the other on the same vault, and looks after each what the vault holds."""
    rng, tally = random.Random(seed), Counter[str]()
    history, path = KINDS[kind](), folder / "0.vault"
    durable = 0
    for number in range(count):
        child = nursery.start("write", path=str(path), kind=kind, seed=rng.random(), until=UNTIL)
        event, longest = rng.choice(MOMENTS)
        if child.wait_for(event):
            child.listen_for(rng.uniform(0, longest))
        finished = nursery.kill(child) == 0
        durable = look(path, history, child, durable)
        tally[f"{event} {longest}"] += 1
        tally["finished"] += finished
        known = max([0, *child.numbers("found"), *child.numbers("done")])
        tally["in a flush"] += max(child.numbers("begin"), default=-1) >= known
        if finished:
            path, durable = folder / f"{number + 1}.vault", 0
    return tally


def look(path: Path, history: History, child: Child, before: int) -> int:
    """Checks a vault that a killed child wrote; gives the writes that it holds."""
    durable = max([before, *child.numbers("found"), *child.numbers("done")])
    begun = max([before, *(number + 1 for number in child.numbers("begin"))])
    try:
        vault = Vault.open(path)
    except NotFoundError:
        assert not child.numbers("found")
        assert not before
        assert not path.exists()
        return 0
    with vault:
        writes = compare(vault, history)
    assert durable <= writes <= begun, f"{writes} writes are there; {durable} were durable, {begun} begun"
    return writes


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_flushed_survives_the_kill(nursery, tmp_path, kind):
    """A killed writer's vault holds each flush and checkpoint that returned, no part of one, and goes on."""
    assert kills(nursery, tmp_path, kind, 10, seed=0).total() > 10


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(1, 5))
def test_what_was_flushed_survives_many_kills(nursery, tmp_path, kind, seed):
    """The same holds for 800 kills."""
    print(kind, seed, dict(kills(nursery, tmp_path, kind, 100, seed)))


def create_and_kill(nursery: Nursery, folder: Path, rounds: int) -> int:
    """Kills processes that make vaults; gives how many had begun one more."""
    rng, begun = random.Random(0), 0
    for number in range(rounds):
        home = folder / str(number)
        home.mkdir()
        child = nursery.start("create", folder=str(home), overwrite=False)
        child.wait_for("begin")
        child.listen_for(rng.uniform(0, 0.1))
        nursery.kill(child)
        done = max([0, *child.numbers("done")])
        for place in range(done):
            with Vault.open(home / "folder" / str(place)) as vault:
                assert vault.attributes == {"number": place}
                assert vault.verify().ok
        path = home / "folder" / str(done)
        if path.exists():
            with Vault.open(path, mode="a") as vault:
                assert vault.attributes == {"number": done}
        else:
            RecordingHistory().create(path).close()
        begun += max(child.numbers("begin")) == done
        kept = {str(place) for place in range(done + 1)}
        left = [entry for entry in path.parent.iterdir() if entry.name not in kept]
        assert not [entry for entry in left if any(entry.iterdir())], "a half-made vault was left behind"
    return begun


def test_killed_in_creation_a_vault_is_absent_or_whole(nursery, tmp_path):
    """A vault whose maker was killed is whole or not there, and the next maker leaves nothing of it."""
    assert create_and_kill(nursery, tmp_path, 5)


@pytest.mark.heavy
def test_killed_in_many_creations_a_vault_is_absent_or_whole(nursery, tmp_path):
    """The same holds for 200 kills."""
    assert create_and_kill(nursery, tmp_path, 200) > 100


def overwrite_and_kill(nursery: Nursery, folder: Path, rounds: int) -> None:
    """Kills processes that make the same vault again and again."""
    rng, history, path = random.Random(0), RecordingHistory(), folder / "one"
    before = -1
    for _ in range(rounds):
        child = nursery.start("create", folder=str(folder), overwrite=True)
        child.wait_for("done")
        child.listen_for(rng.uniform(0, 0.2))
        nursery.kill(child)
        done = max(child.numbers("done"), default=0)
        begun = max(child.numbers("begin"), default=0)
        if path.exists():
            with Vault.open(path) as vault:
                assert vault.attributes["number"] in (done - 1, begun)
                compare(vault, history)
        before = done
    assert before > 0
    history.create(path, overwrite=True).close()
    left = [entry for entry in folder.iterdir() if entry.name != "one"]
    # A folder without a lock may be somebody's who is about to take it; it goes when it is a minute old.
    assert not [entry for folder in left for entry in folder.iterdir()], "something half removed was left"


def test_killed_in_overwriting_a_vault_is_the_old_the_new_or_absent(nursery, tmp_path):
    """No kill leaves half of an overwritten vault, or something that cannot be overwritten again."""
    overwrite_and_kill(nursery, tmp_path, 10)


@pytest.mark.heavy
def test_killed_in_much_overwriting_a_vault_is_the_old_the_new_or_absent(nursery, tmp_path):
    """The same holds for 200 kills."""
    overwrite_and_kill(nursery, tmp_path, 200)
