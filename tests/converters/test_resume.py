"""A conversion that was stopped goes on, and its vault is the one that an undisturbed one makes."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from resume_files import files, spoil, write
from strongbax.converters import commit, convert, pipeline, share
from strongbax.converters.order import work_of
from strongbax.vault import block
from strongbax.vault.errors import (
    AlreadyExistsError,
    ConflictError,
    CorruptionError,
    FormatError,
    LockedError,
    StorageError,
)
from strongbax.vault.files import Lock
from strongbax.vault.vault import Vault

SHARE = 8 << 10  # bytes: some 150 steps
WRITE = share._write


@pytest.fixture(autouse=True)
def small_vault_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of some 70 steps, so that small files have shards within shares and between them."""
    monkeypatch.setattr(block, "BLOCK_BYTES", 4096)


def same(one: Path, other: Path) -> bool:
    return files(one) == files(other)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def made(
    monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None, why: Any = KeyboardInterrupt
) -> list[int]:
    """Counts the shares that are written, and stops before one of them."""
    written: list[int] = []

    def counting(job: Any, number: int, *rest: Any) -> Any:
        if number == stop_at:
            raise why
        written.append(number)
        return WRITE(job, number, *rest)

    monkeypatch.setattr(share, "_write", counting)
    return written


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("source") / "file.hdf5")


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vault that one call makes."""
    path = tmp_path_factory.mktemp("undisturbed") / "v"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "BLOCK_BYTES", 4096)
        report = convert(source, path, share_bytes=SHARE)
    with Vault.open(path) as vault:
        assert vault.verify().ok
        assert (vault.num_steps, vault.num_episodes) == (report.num_steps, report.num_episodes) == (1500, 26)
    return path


def test_the_vault_does_not_depend_on_the_workers(source: Path, undisturbed: Path, tmp_path: Path):
    """Three processes make the vault that one makes, byte for byte, and all of them tell how far they are."""
    seen: list[tuple[int, int]] = []
    convert(source, tmp_path / "v", workers=3, share_bytes=SHARE, progress=lambda *done: seen.append(done))
    assert same(tmp_path / "v", undisturbed)
    assert names(tmp_path) == ["v"]
    done = [one for one, _ in seen]
    assert done == sorted(done)
    assert seen[-1] == (3000, 3000)


@pytest.mark.parametrize("why", [KeyboardInterrupt, StorageError("full")])
def test_what_is_whole_is_not_made_again(
    source: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: Any
):
    """Stopped before its fifth share, a conversion makes four shares; the next one makes the rest."""
    first = made(monkeypatch, stop_at=4, why=why)
    with pytest.raises(why if isinstance(why, type) else StorageError):
        convert(source, tmp_path / "v", share_bytes=SHARE)
    assert (first, names(tmp_path)) == ([0, 1, 2, 3], [".v.converting"])
    times = {path.name: path.stat().st_mtime_ns for path in work_of(tmp_path / "v").glob("*/*/steps/*/c.*")}
    rest = made(monkeypatch)
    seen: list[tuple[int, int]] = []
    convert(source, tmp_path / "v", share_bytes=SHARE, progress=lambda *done: seen.append(done))
    assert rest == list(range(4, len(rest) + 4))
    assert len(rest) >= 4
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "v").glob("steps/*/c.*")}
    assert times.items() <= after.items()
    assert seen[0][0] > 1200, "what was there counts as done"
    assert same(tmp_path / "v", undisturbed)
    assert names(tmp_path) == ["v"]


@pytest.mark.parametrize("moment", ["assemble", "attach", "sign", "_put_in_place"])
def test_a_conversion_stopped_at_its_very_end_only_ends(
    source: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
):
    """Whatever of the last step was done is done again, and no share is."""
    before = stopped(monkeypatch, commit, moment)
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "v", share_bytes=SHARE)
    monkeypatch.setattr(commit, moment, before)
    written = made(monkeypatch)
    convert(source, tmp_path / "v", share_bytes=SHARE)
    assert written == []
    assert same(tmp_path / "v", undisturbed)


def stopped(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> Callable[..., Any]:
    """Stops the program right after a function did its work."""
    original = getattr(where, name)

    def interrupted(*arguments: Any, **options: Any) -> None:
        if name != "_put_in_place":
            original(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(where, name, interrupted)
    return original


def test_a_vault_that_was_all_but_in_its_place_is_put_there(
    source: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Killed between the last two renames, the vault stands there with the next call; so does an old one."""
    before = stopped(monkeypatch, commit, "check_free")
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "v", share_bytes=SHARE)
    monkeypatch.setattr(commit, "check_free", before)
    (grown,) = work_of(tmp_path / "v").glob("*/vault")
    grown.rename(work_of(tmp_path / "v") / "ready")
    with pytest.raises(AlreadyExistsError):
        convert(source, tmp_path / "v", share_bytes=SHARE)
    assert same(tmp_path / "v", undisturbed)
    assert names(tmp_path) == ["v"]


def test_another_source_or_other_options_make_all_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """What was made of other bytes, or otherwise, is given up, and that is said."""
    path = write(tmp_path / "file.hdf5")
    for change in (lambda: write(path, seed=1), lambda: {"keep_next_observation": True}):
        made(monkeypatch, stop_at=2)
        with pytest.raises(KeyboardInterrupt):
            convert(path, tmp_path / "v", share_bytes=SHARE, overwrite=True)
        options = change()
        written = made(monkeypatch)
        with caplog.at_level(logging.WARNING):
            convert(
                path,
                tmp_path / "v",
                share_bytes=SHARE,
                overwrite=True,
                **(options if isinstance(options, dict) else {}),
            )
        assert written[:3] == [0, 1, 2]
        assert "is given up" in caplog.text
        caplog.clear()
    convert(path, tmp_path / "w", share_bytes=SHARE, keep_next_observation=True)
    assert same(tmp_path / "v", tmp_path / "w")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_source_that_is_to_be_read_otherwise_is(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
):
    """What a late share finds changes all; stopped then, a conversion still knows it."""
    path = write(tmp_path / "file.hdf5", odd=1400)
    report = convert(path, tmp_path / "v", share_bytes=SHARE, workers=workers)
    assert len(report.notes) == 1
    with Vault.open(tmp_path / "v") as vault:
        assert "next_observation" in vault.leaves
    if workers == 2:
        return
    count = len(made(monkeypatch))
    original = pipeline.open_job

    def second(order: Any, *rest: Any) -> Any:
        if order.notes:
            raise KeyboardInterrupt
        return original(order, *rest)

    monkeypatch.setattr(pipeline, "open_job", second)
    with pytest.raises(KeyboardInterrupt):
        convert(path, tmp_path / "w", share_bytes=SHARE)
    monkeypatch.setattr(pipeline, "open_job", original)
    convert(path, tmp_path / "w", share_bytes=SHARE)
    assert same(tmp_path / "v", tmp_path / "w")
    assert count == 0


def test_errors_of_the_source_leave_nothing(tmp_path: Path):
    """A file that turns out bad in a worker is named as ever, and nothing is kept."""
    path = spoil(write(tmp_path / "file.hdf5"), "rewards", 1300)
    for workers in (1, 2):
        with pytest.raises(FormatError, match=r"`rewards`.*cannot be read"):
            convert(path, tmp_path / "v", share_bytes=SHARE, workers=workers)
        assert names(tmp_path) == ["file.hdf5"]


def test_one_conversion_at_a_time(source: Path, tmp_path: Path):
    """A place that another process converts to is not touched."""
    work_of(tmp_path / "v").mkdir()
    lock = Lock(work_of(tmp_path / "v") / "lock")
    with pytest.raises(LockedError, match="Another process converts to"):
        convert(source, tmp_path / "v")
    lock.release()
    with pytest.raises(ValueError, match="`workers` must be at least 1: got 0"):
        convert(source, tmp_path / "v", workers=0)


def test_a_source_that_changes_meanwhile_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that is another one by the end fails the conversion, even where all that was read agrees."""
    path = write(tmp_path / "file.hdf5")
    original = pipeline.commit

    def later(*arguments: Any, **options: Any) -> Any:
        os.utime(path)
        return original(*arguments, **options)

    monkeypatch.setattr(pipeline, "commit", later)
    with pytest.raises(ConflictError, match="was changed since its conversion began"):
        convert(path, tmp_path / "v", share_bytes=SHARE)
    assert names(tmp_path) == ["file.hdf5"]


def test_shares_that_rot_are_noticed(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A bit that flips in a share while a conversion is stopped is not taken for what was compared."""
    made(monkeypatch, stop_at=4)
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "v", share_bytes=SHARE)
    monkeypatch.setattr(share, "_write", WRITE)
    record = next(work_of(tmp_path / "v").glob("*/share-0.json"))
    found = json.loads(record.read_text())
    found["share"]["crc32c"]["reward"] ^= 1
    record.write_text(json.dumps(found))
    with pytest.raises(CorruptionError, match="leaf `reward` of share 0 is no more"):
        convert(source, tmp_path / "v", share_bytes=SHARE)


CODE = """
import sys
from strongbax.converters import convert
from strongbax.vault import block
block.BLOCK_BYTES = 4096
convert(sys.argv[1], sys.argv[2], share_bytes=int(sys.argv[3]), workers=int(sys.argv[4]))
"""


def start(source: Path, target: Path, workers: int) -> "subprocess.Popen[bytes]":
    arguments = [str(source), str(target), str(SHARE), str(workers)]
    return subprocess.Popen([sys.executable, "-c", CODE, *arguments], stderr=subprocess.PIPE)


def records(target: Path) -> dict[str, int]:
    """The shares that are whole, and when they became so."""
    return {path.name: path.stat().st_mtime_ns for path in work_of(target).glob("*/share-*.json")}


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def wait_until(true: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}/exe").exists() for pid in pids)


@pytest.mark.parametrize(("how", "workers"), [(signal.SIGKILL, 1), (signal.SIGKILL, 2), (signal.SIGINT, 2)])
def test_a_killed_conversion_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: int, workers: int):
    """Killed or interrupted, it leaves no process behind; then what was whole is not made again."""
    path = write(tmp_path / "file.hdf5", steps=4000)
    convert(path, tmp_path / "undisturbed", share_bytes=SHARE)
    process = start(path, tmp_path / "v", workers)
    wait_until(lambda: len(records(tmp_path / "v")) >= 3)
    helpers = children(process.pid)
    assert len(helpers) == (workers if workers > 1 else 0)
    process.send_signal(how)
    process.communicate(timeout=60)
    wait_until(lambda: gone(helpers))
    assert process.returncode != 0
    whole = sorted(int(name.removeprefix("share-").removesuffix(".json")) for name in records(tmp_path / "v"))
    assert len(whole) >= 3
    written = made(monkeypatch)
    convert(path, tmp_path / "v", share_bytes=SHARE)
    assert not set(written) & set(whole)
    assert len(written) + len(whole) > 15
    assert same(tmp_path / "v", tmp_path / "undisturbed")
    assert names(tmp_path) == ["file.hdf5", "undisturbed", "v"]


def kill_later(path: Path, target: Path, workers: int, known: int, chance: random.Random) -> bool:
    """Kills a conversion a moment after it made one more share; says whether it did not come to its end."""
    process = start(path, target, workers)
    wait_until(lambda: process.poll() is not None or len(records(target)) > known or target.exists())
    time.sleep(chance.uniform(0, 0.3))
    helpers = children(process.pid)
    process.kill()
    process.communicate()
    wait_until(lambda: gone(helpers))
    return process.returncode != 0


@pytest.mark.heavy
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_again_and_again(tmp_path: Path, workers: int):
    """However often, at whatever moments, it is killed, a share is made once, and the vault is the same."""
    path = write(tmp_path / "file.hdf5", steps=5000)
    convert(path, tmp_path / "undisturbed", share_bytes=SHARE)
    chance, target, known = random.Random(workers), tmp_path / "v", dict[str, int]()
    kills = 0
    while not target.exists():
        kills += kill_later(path, target, workers, len(known), chance)
        if not target.exists():
            assert known.items() <= records(target).items(), "a share that was whole was made again"
            known = records(target)
    assert kills >= 5
    assert same(target, tmp_path / "undisturbed")
    with pytest.raises(AlreadyExistsError):
        convert(path, target)
