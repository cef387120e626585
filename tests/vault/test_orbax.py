"""A buffer's state in an Orbax checkpoint: what is new goes to the vault, each step comes back as it was."""

import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from orbax.checkpoint.args import Composite, StandardRestore, StandardSave
from resume_run import BUFFERS, STEP, Run, bits
from strongbax.vault import ConflictError, CorruptionError, GapError, NotFoundError, Vault
from strongbax.vault.orbax import VaultRestore, VaultSave

KIND = "prioritised"
BUFFER = BUFFERS[KIND]
PARAMS = {"w": jnp.zeros(3)}


def manager_of(folder: Any, **options: Any) -> Any:
    return ocp.CheckpointManager(folder / "checkpoints", options=ocp.CheckpointManagerOptions(**options))


def params_at(number: int) -> Any:
    return {"w": jnp.full(3, float(number))}


def save(manager: Any, number: int, vault: Vault, run: Run) -> None:
    replay = VaultSave(vault, run.state, key=run.key, extra={"number": number})
    manager.save(number, args=Composite(params=StandardSave(params_at(number)), replay=replay))


def restore(manager: Any, number: int | None = None, vault: Vault | None = None) -> Any:
    args = Composite(params=StandardRestore(PARAMS), replay=VaultRestore(BUFFER, vault))
    return manager.restore(number, args=args)


def check(restored: Any, number: int, run: Run) -> None:
    state, extra = restored.replay
    assert bits(restored.params) == bits(params_at(number))
    assert bits((state, extra["key"])) == bits((run.state, run.key))
    assert extra["number"] == number


@pytest.fixture
def saved(tmp_path):
    """A folder with four checkpoints, of a ring that came round in between, and the run at each."""
    runs, run = [], Run.begin(KIND)
    vault = Vault.create(tmp_path / "my.vault", steps=STEP, streams=2, block=4)
    with vault, manager_of(tmp_path) as manager:
        for number in range(4):
            run = run.play(3, 0)
            runs.append(run)
            save(manager, number, vault, run)
    return tmp_path, runs


def test_every_step_comes_back_bit_for_bit(saved):
    """Each checkpoint gives state, key and parameters of its own moment; the vault has each step once."""
    folder, runs = saved
    with Vault.open(folder / "my.vault") as vault, manager_of(folder) as manager:
        for number in (3, 0, 2):
            check(restore(manager, number, vault), number, runs[number])
            check(restore(manager, number), number, runs[number])
        check(restore(manager), 3, runs[3])
        assert vault.read_numpy()["id"][0].tolist() == runs[3].ids
        assert vault.resume_points == ()
        assert manager.item_metadata(3).replay["rows"] == vault.length


def test_the_run_goes_on_in_the_vault(saved):
    """What is restored into a vault open for writing is flushed on behind what it holds, nothing doubled."""
    folder, runs = saved
    with Vault.open(folder / "my.vault", mode="a") as vault, manager_of(folder) as manager:
        state, extra = restore(manager, 2, vault).replay
        run = Run(KIND, state, extra["key"], runs[2].turns).play(3, 0)
        assert bits(run.state) == bits(runs[3].state)
        vault.write(run.state)
        assert vault.length == len(runs[3].ids)
        save(manager, 4, vault, run.play(3, 0))
        manager.wait_until_finished()
        assert vault.length == len(runs[3].ids) + 3
        assert vault.gaps == ()


def test_an_item_is_small_and_goes_with_its_step(tmp_path):
    """Orbax removes old steps by its own rules, resume points with them; no step's item holds the ring."""
    vault = Vault.create(tmp_path / "my.vault", steps=STEP, streams=2)
    with vault, manager_of(tmp_path, max_to_keep=2, keep_period=4) as manager:
        run = Run.begin(KIND)
        for number in range(7):
            run = run.play(3, 0)
            save(manager, number, vault, run)
        manager.wait_until_finished()
        assert list(manager.all_steps()) == [0, 4, 5, 6]
        items = [tmp_path / f"checkpoints/{number}/replay" for number in manager.all_steps()]
        sizes = {file.name: file.stat().st_size for item in items for file in item.iterdir()}
        assert {name for name in sizes if name.startswith("process")} == {"process-0.json", "process-0.point"}
        assert max(sizes.values()) < 2048
        check(restore(manager, 6, vault), 6, run)


def test_the_state_may_be_donated_while_a_save_is_on_its_way(tmp_path):
    """A save takes all it needs before it returns: the next update may write over the state."""
    spoil = jax.jit(
        lambda state: jax.tree.map(lambda leaf: leaf | True if leaf.dtype == bool else leaf * 0 - 7, state),
        donate_argnums=0,
    )
    vault = Vault.create(tmp_path / "my.vault", steps=STEP, streams=2)
    with vault, manager_of(tmp_path) as manager:
        run = Run.begin(KIND).play(3, 0)
        wanted = bits(run.state)
        save(manager, 0, vault, run)
        spoilt = spoil(run.state)
        assert run.state.experience["id"].is_deleted()
        manager.wait_until_finished()
        assert bits(restore(manager, 0, vault).replay[0]) == wanted
        assert int(spoilt.current_index) == -7


def test_a_save_that_is_interrupted_leaves_the_one_before(saved, monkeypatch):
    """Where writing the item fails half way, the step is not there, and the step before is restored."""
    folder, runs = saved
    vault, manager = Vault.open(folder / "my.vault", mode="a"), manager_of(folder)

    def dying(directory: Any, files: Any) -> None:
        (directory / "process-0.point").write_bytes(files["process-0.point"][:9])
        raise OSError("the process died")

    monkeypatch.setattr("strongbax.vault.orbax._write", dying)
    save(manager, 4, vault, runs[3].play(3, 0))
    with pytest.raises(OSError, match="the process died"):
        manager.wait_until_finished()
    vault.close()
    left = [path.name for path in (folder / "checkpoints").iterdir() if path.name.startswith("4")]
    assert left != ["4"]
    with Vault.open(folder / "my.vault", mode="a") as vault, manager_of(folder) as manager:
        assert manager.latest_step() == 3
        check(restore(manager, vault=vault), 3, runs[3])
        assert vault.length == len(runs[3].ids) + 3


def test_a_moved_run_is_found(saved, tmp_path_factory):
    """A vault beside the checkpoints is found where both were moved to; one that is nowhere is asked for."""
    folder, runs = saved
    other = tmp_path_factory.mktemp("other") / "moved"
    shutil.move(folder, other)
    folder.mkdir()
    with manager_of(other) as manager:
        check(restore(manager, 1), 1, runs[1])
        (other / "my.vault").rename(other / "renamed.vault")
        with pytest.raises(NotFoundError, match=r"`VaultRestore\(buffer, vault\)`"):
            restore(manager, 1)
        check(restore(manager, 1, Vault.open(other / "renamed.vault")), 1, runs[1])


def test_wrong_vaults_and_damage_are_named(saved):
    """Another vault, a torn point, a missing item and another number of processes say what is wrong."""
    folder, _ = saved
    item = folder / "checkpoints/3/replay"
    with Vault.create(folder / "other.vault", steps=STEP, streams=2) as other, manager_of(folder) as manager:
        with pytest.raises(CorruptionError, match="needs 12 steps"):
            restore(manager, 3, other)
        run = Run.begin(KIND)
        for _ in range(5):
            run = run.play(3, 1)
            other.write(run.state)
        with pytest.raises(ConflictError, match="is not the one that was saved to"):
            restore(manager, 3, other)
        (item / "process-0.point").write_bytes(b"SBXP" + bytes(100))
        with pytest.raises(CorruptionError, match="its checksum is wrong"):
            restore(manager, 3)
        text = (item / "process-0.json").read_text()
        (item / "process-0.json").write_text(text.replace('"processes": 1', '"processes": 2'))
        with pytest.raises(ConflictError, match="is of 2 processes"):
            restore(manager, 3)
        (item / "process-0.json").write_text("{")
        with pytest.raises(CorruptionError, match="damaged"):
            restore(manager, 3)
        (item / "process-0.json").unlink()
        with pytest.raises(NotFoundError, match="no replay of process 0"):
            restore(manager, 3)


def test_a_part_of_a_vault_is_a_vault(tmp_path):
    """A process that writes a part saves to it, restores from it, and finds it again by itself."""
    with Vault.create(tmp_path / "my.vault", steps=STEP, streams=2):
        pass
    run = Run.begin(KIND).play(3, 0)
    part = Vault.open(tmp_path / "my.vault", mode="a", part="process-0", streams=2)
    with part, manager_of(tmp_path) as manager:
        save(manager, 0, part, run)
        save(manager, 1, part, run.play(3, 0))
        check(restore(manager, 0, part), 0, run)
        part.close()
        check(restore(manager, 0), 0, run)


def test_a_gap_stops_the_save(tmp_path):
    """Steps that were overwritten before they were flushed are an error, and no checkpoint is made."""
    vault = Vault.create(tmp_path / "my.vault", steps=STEP, streams=2)
    run = Run.begin(KIND).play(3, 0)
    with vault, manager_of(tmp_path) as manager:
        vault.write(run.state)
        run = run.play(3, 0).play(3, 0).play(3, 0)
        with pytest.raises(GapError):
            save(manager, 0, vault, run)
        manager.wait_until_finished()
        assert manager.latest_step() is None


def test_without_threads_and_by_hand(tmp_path):
    """A manager that saves before it returns, and a checkpointer without a manager, keep the item alike."""
    vault = Vault.create(tmp_path / "my.vault", steps=STEP, streams=2)
    run = Run.begin(KIND).play(3, 0)
    with vault, manager_of(tmp_path, enable_async_checkpointing=False) as manager:
        save(manager, 0, vault, run)
        check(restore(manager, 0, vault), 0, run)
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            checkpointer.save(tmp_path / "one", args=Composite(replay=VaultSave(vault, run.state)))
            back = checkpointer.restore(tmp_path / "one", args=Composite(replay=VaultRestore(BUFFER, vault)))
        assert bits(back.replay[0]) == bits(run.state)
    assert np.asarray(run.state.current_index) == 3
