"""Several vaults become one, and episodes go out of a vault, with nothing else changed."""

import shutil

import numpy as np
import pytest
from strongbax.vault import (
    CorruptionError,
    Ends,
    Episode,
    LockedError,
    StorageError,
    Vault,
    repair,
    upgrade,
)
from strongbax.vault.attachments import attach, attached
from strongbax.vault.merging import delete, merge
from test_saving import same_episodes
from vault_damage import build, files, flip
from vault_death import Death, Killed, dying
from view_model import make

LENGTHS = (5, 9, 0, 1, 17, 3)


def test_merged_vaults_hold_all_episodes(tmp_path):
    """The episodes of all vaults, of whatever streams, are there in order, and what ran is cut."""
    one, _ = make(tmp_path / "a", LENGTHS, tail=4)
    three, _ = make(tmp_path / "b", LENGTHS, streams=3, seed=1)
    with Vault.open(one.path, mode="a") as writer:
        writer.write_card({"licence": "CC0-1.0", "author": "me"})
    path = merge([one.path, three, one.select([1])], tmp_path / "c")
    merged = Vault.open(path)
    assert merged.verify().problems == []
    assert merged.num_steps == one.num_steps + three.num_steps + 9
    count = len(LENGTHS) + 1
    same_episodes(merged.select(slice(0, count)), one.finished())
    same_episodes(merged.select(slice(count, len(merged) - 1)), three.finished())
    same_episodes(merged.select([-1]), one.select([1]))
    assert [part["episodes"] for part in merged.card["vaults"]] == [count, len(merged) - count - 1, 1]
    assert merged.card["vaults"][0]["card"] == {"licence": "CC0-1.0", "author": "me"}


def test_vaults_that_do_not_fit_are_refused(tmp_path):
    """The leaf in which vaults differ is named, and nothing is made."""
    one, _ = make(tmp_path / "a", (3,))
    build(tmp_path / "b", (3,), close=True)
    with pytest.raises(ValueError, match="`vaults` must hold the same leaves"):
        merge([one, tmp_path / "b"], tmp_path / "c")
    with pytest.raises(ValueError, match="at least one vault"):
        merge([], tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("streams", [1, 3])
def test_deleted_episodes_are_gone(tmp_path, streams):
    """What is deleted is in no file any more; every other episode, and what stands beside, is as it was."""
    vault, _ = make(tmp_path / "a", LENGTHS, streams=streams, tail=2)
    attach(vault.path, {"policy": np.arange(3.0)})
    (vault.path / "README.md").write_text("mine")
    whole = vault.finished()
    kept = [i for i in range(len(whole)) if i not in (1, len(vault) - 1)]
    assert delete(vault.path, [1, -1]) == vault.path
    left = Vault.open(vault.path)
    assert left.verify().problems == []
    before, _ = make(tmp_path / "b", LENGTHS, streams=streams, tail=2)
    same_episodes(left, before.finished().select(kept))
    assert attached(vault.path)["policy"].tolist() == [0, 1, 2]
    assert (vault.path / "README.md").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_what_is_not_deleted(tmp_path):
    """An episode that is not there, a vault that is written or damaged: nothing changes."""
    build(tmp_path / "a", (5, 9), close=True)
    before = files(tmp_path / "a")
    with pytest.raises(IndexError, match="names the episode 2"):
        delete(tmp_path / "a", [0, 2])
    delete(tmp_path / "a", [])
    assert files(tmp_path / "a") == before
    with Vault.open(tmp_path / "a", mode="a"), pytest.raises(LockedError):
        delete(tmp_path / "a", [0])
    flip(tmp_path / "a/steps/reward/c.0.1", 0)
    before = files(tmp_path / "a")
    with pytest.raises(CorruptionError, match="steps/reward"):
        delete(tmp_path / "a", [0])
    assert files(tmp_path / "a") == before


def test_vaults_on_object_stores(tmp_path):
    """What lies on an object store is packed and merged into folders; what changes a vault wants a folder."""
    one, _ = make(tmp_path / "a", (3, 5))
    with Vault.create("memory://kept/b.vault", steps=_step(one)) as made:
        made.append(Episode(one[1].steps))
    remote = Vault.open("memory://kept/b.vault")
    packed = Vault.open(remote.pack(tmp_path / "c"))
    assert packed.verify().problems == []
    assert packed.episodes["length"].tolist() == [5]
    merged = merge(["memory://kept/b.vault", packed], tmp_path / "d")
    assert Vault.open(merged).episodes["length"].tolist() == [5, 5]
    for refused in (
        lambda: one.pack("memory://kept/c.vault"),
        lambda: delete("memory://kept/b.vault", [0]),
        lambda: repair("memory://kept/b.vault"),
        lambda: upgrade("memory://kept/b.vault"),
    ):
        with pytest.raises(StorageError, match="must be of a folder"):
            refused()


def _step(vault):
    return {name: leaf[0] for name, leaf in vault[0].steps.items()}


def test_a_kill_while_deleting_leaves_the_old_or_the_new(tmp_path):
    """Killed at any change of the disk, the vault has all its episodes or those that are to be left."""
    build(tmp_path / "a", (5, 9, 2), close=True)
    deaths = 0
    for after in range(0, 400, 9):
        try:
            with dying(Death(after)):
                delete(tmp_path / "a", [1])
        except Killed:
            deaths += 1
        vault = Vault.open(tmp_path / "a")
        assert vault.verify().problems == []
        assert vault.episodes["length"].tolist() in ([5, 9, 2], [5, 2])
        if len(vault) == 2:
            break
    assert deaths > 10


def with_parts(path):
    """A vault of two episodes with two parts, in one of which an episode runs."""
    make(path, (5, 2))
    attach(path, {"policy": np.arange(3.0)})
    with Vault.open(path, mode="a") as writer:
        writer.write_card({"licence": "CC0-1.0"})
    for number, lengths in enumerate(((3, 4), (6,))):
        other, _ = make(path.parent / "other", lengths, seed=number + 1, tail=number)
        with Vault.open(path, mode="a", part=f"actor-{number}") as part:
            for episode in other:
                part.append(episode)
            if number:
                part.extend(
                    other.finished()[-1].steps, Ends(*(np.zeros(0, d) for d in (np.int64, bool, bool)))
                )
        shutil.rmtree(other.path)
    return Vault.open(path)


def test_parts_become_one(tmp_path):
    """A copy of a vault with parts has the episodes of all, what runs too, and the vault's own card."""
    vault = with_parts(tmp_path / "a")
    packed = Vault.open(vault.pack(tmp_path / "b"))
    assert packed.verify().problems == []
    assert packed.episodes["length"].tolist() == [5, 2, 3, 4, 6, 1]
    assert packed.card == {"licence": "CC0-1.0"}
    assert list(attached(packed.path)) == ["policy"]
    same_episodes(packed.select(slice(0, 5)), vault)
    some = Vault.open(vault.select([0, 3]).save(tmp_path / "c"))
    assert [part["name"] for part in some.card["vaults"]] == ["a"]


def test_episodes_of_parts_are_deleted(tmp_path):
    """An episode of a part is deleted by its id in the whole; the vault has no parts then."""
    vault = with_parts(tmp_path / "a")
    left = Vault.open(delete(vault.path, [1, 3]))
    assert left.verify().problems == []
    assert left.episodes["length"].tolist() == [5, 3, 6, 1]
    assert left.parts == {}
    assert left.card == {"licence": "CC0-1.0"}
