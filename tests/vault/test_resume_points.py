"""Resume points as files: kept, pruned, found damaged, and whole or absent however a checkpoint ends."""

import os
import struct
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import strongbax
import zarr
from resume_run import bits
from strongbax.vault import ClosedError, CorruptionError, FormatError, NotFoundError, StorageError, Vault
from vault_damage import cut, files, flip
from vault_death import Death, Killed, bury, dying

BUFFER = strongbax.make_item_buffer(max_length=8, min_length=1, sample_batch_size=2, add_sequences=True)


def state_at(count: int) -> Any:
    """The ring's state when it was given so many steps, the n-th of them n."""
    ring = np.zeros((1, 8), np.float32)
    ring[0, np.arange(max(0, count - 8), count) % 8] = np.arange(max(0, count - 8), count)
    return BUFFER.init({"reward": 0.0}).replace(
        experience={"reward": ring},
        current_index=np.int32(count % 8),
        is_full=np.bool_(count >= 8),
        laps=np.int32(count // 8),
    )


def make(path: Path, counts: range = range(2, 12, 3), **options: Any) -> Vault:
    vault = Vault.create(path, like=state_at(0), block=4)
    for number, count in enumerate(counts):
        assert vault.checkpoint(state_at(count), extra={"count": count}, **options) == number
    return vault


def point(path: Path, number: int) -> Path:
    return path / f"resume/{number:08d}.point"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.vault"


def test_a_ring_of_another_size_is_refused(path):
    """A state is not given back into a buffer that has room for more or fewer steps."""
    other = strongbax.make_item_buffer(max_length=16, min_length=1, sample_batch_size=2, add_sequences=True)
    with make(path) as vault, pytest.raises(ValueError, match=r"1 streams of 8 steps: it has 1 of 16"):
        vault.restore(other)


@pytest.mark.parametrize("keep", [1, 2, 3, 9])
def test_the_newest_points_stay(path, keep):
    """As many resume points stay as asked for, each restorable by its number; nothing else is there."""
    with make(path, keep=keep) as vault:
        there = tuple(range(max(0, 4 - keep), 4))
        assert vault.resume_points == there
        assert {file.name for file in (path / "resume").iterdir()} == {f"{n:08d}.point" for n in there}
        for number in there:
            state, extra = vault.restore(BUFFER, step=number)
            assert extra == {"count": 2 + 3 * number}
            assert bits(state) == bits(state_at(2 + 3 * number))
        assert vault.restore(BUFFER)[1] == {"count": 11}


def test_numbers_go_on_after_an_earlier_point_was_restored(path):
    """A checkpoint after restoring an earlier one is the newest; those between stay as long as any."""
    with make(path, keep=9) as vault:
        vault.restore(BUFFER, step=1)
        assert vault.checkpoint(state_at(6), extra={"count": 6}, keep=9) == 4
        assert vault.resume_points == (0, 1, 2, 3, 4)
        assert vault.length == 11
        assert vault.restore(BUFFER)[1] == {"count": 6}


@pytest.mark.parametrize("what", ["a bit", "the end", "the beginning", "everything"])
def test_a_damaged_point_is_named_and_earlier_ones_stand(path, what):
    """A flipped, lost or foreign byte is an error with the file's name; the point before it is restored."""
    make(path).close()
    file = point(path, 3)
    if what == "a bit":
        for at in range(0, file.stat().st_size, 7):
            flip(file, at, 16)
            with pytest.raises(CorruptionError, match=r"00000003\.point"):
                Vault.open(path).restore(BUFFER)
            flip(file, at, 16)
        flip(file, 100)
    elif what == "the end":
        cut(file, file.stat().st_size - 1)
    elif what == "the beginning":
        file.write_bytes(file.read_bytes()[8:])
    else:
        file.write_bytes(b"")
    with Vault.open(path) as vault:
        with pytest.raises(
            CorruptionError, match=r"00000003.point' is damaged: .*an earlier one with `step=`"
        ):
            vault.restore(BUFFER)
        assert vault.restore(BUFFER, step=2)[1] == {"count": 8}
        (problem,) = vault.verify().problems
        assert "00000003.point" in problem
        assert vault.verify().checked["resume points"] == 3


def test_a_newer_format_is_refused(path):
    """A resume point of another format says which, and is not taken for damaged."""
    make(path).close()
    data = bytearray(point(path, 3).read_bytes())
    struct.pack_into("<I", data, 8, 2)
    struct.pack_into("<I", data, 4, google_crc32c.value(bytes(data[8:])))
    point(path, 3).write_bytes(data)
    with Vault.open(path) as vault, pytest.raises(FormatError, match="is of format 2, this version reads"):
        vault.restore(BUFFER)


def test_a_vault_without_its_steps_is_no_place_to_resume(path, tmp_path):
    """A resume point beside a vault that lost steps is an error, also in verification."""
    make(path).close()
    with make(tmp_path / "short.vault", range(1, 3)) as vault:
        point(tmp_path / "short.vault", 1).write_bytes(point(path, 3).read_bytes())
        with pytest.raises(CorruptionError, match=r"needs 11 steps of each stream, the vault .* holds 2"):
            vault.restore(BUFFER)
        assert vault.restore(BUFFER, step=0)[1] == {"count": 1}
        (problem,) = vault.verify().problems
        assert "00000001.point needs 11 steps" in problem


def test_an_older_vault_has_no_points(path):
    """A vault that was made before there were resume points opens, is whole, and says how to make one."""
    with Vault.create(path, like=state_at(0)) as vault:
        vault.write(state_at(3))
    assert not (path / "resume").exists()
    with Vault.open(path) as vault:
        assert vault.resume_points == ()
        assert vault.verify().ok
        with pytest.raises(NotFoundError, match=r"`vault.checkpoint\(state, key=key\)`"):
            vault.restore(BUFFER)
    with Vault.open(path, mode="a") as vault:
        assert vault.checkpoint(state_at(5)) == 0


def test_readers_restore_without_changing_anything(path):
    """A vault that is open for reading gives states back, but takes no checkpoint; no file changes."""
    make(path).close()
    before = files(path)
    with Vault.open(path) as vault:
        assert bits(vault.restore(BUFFER)[0]) == bits(state_at(11))
        with pytest.raises(ClosedError, match="mode='a'"):
            vault.checkpoint(state_at(12))
    assert files(path) == before


def test_a_reader_that_is_behind_is_told_to_refresh(path):
    """A resume point newer than what a reader looks at asks for a newer look."""
    with make(path) as vault, Vault.open(path) as reader:
        vault.checkpoint(state_at(14))
        with pytest.raises(CorruptionError, match=r"`refresh\(\)`"):
            reader.restore(BUFFER)
        reader.refresh()
        assert bits(reader.restore(BUFFER)[0]) == bits(state_at(14))


def test_other_readers_see_the_steps_only(path):
    """Resume points are no part of the Zarr group."""
    make(path).close()
    group: Any = zarr.open_group(path, mode="r")
    assert sorted(group.group_keys()) == ["episodes", "final", "steps"]
    assert group["steps/reward"][0].tolist() == list(range(11))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("after", range(14))
def test_killed_in_a_checkpoint_a_point_is_whole_or_absent(path, after, share):
    """A kill at any change of the disk leaves the point before, or the new one, restorable."""
    vault, death = make(path, keep=1), Death(after, share)
    try:
        with dying(death):
            vault.checkpoint(state_at(14), extra={"count": 14}, keep=1)
    except Killed:
        pass
    with dying(Death(0)):
        bury(vault)
    with Vault.open(path, mode="a") as vault:
        assert vault.verify().ok
        state, extra = vault.restore(BUFFER)
        assert extra["count"] in ((11, 14) if death.came else (14,))
        assert bits(state) == bits(state_at(extra["count"]))
        vault.checkpoint(state_at(17), extra={"count": 17}, keep=1)
        assert len(list((path / "resume").iterdir())) == 1
        assert vault.read_numpy()["reward"][0].tolist() == list(range(17))
        assert vault.gaps == ()


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_what_the_disk_refuses_leaves_the_points_before(path, monkeypatch, call):
    """A checkpoint that the disk refuses is an error; the points before it stay, and the next succeeds."""
    vault = make(path)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    vault.write(state_at(14))
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageError, match="Could not write a resume point of"):
            vault.checkpoint(state_at(14))
    assert vault.resume_points == (1, 2, 3)
    assert vault.checkpoint(state_at(14)) == 4
    assert len(list((path / "resume").iterdir())) == 3
    vault.close()
