"""Files damaged at random: a vault is refused, or holds what a commit held, or `verify` says what is wrong.

Nothing crashes, nothing hangs, and no error comes out but ours. `repair` keeps whole episodes only, names
what it lost, and leaves the damaged vault as it is.
"""

import os
import shutil
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from unittest import mock

import jax.numpy as jnp
import numpy as np
import pytest
import strongbax
from strongbax.vault import Episode, StrongbaxError, Vault, repair, resume
from strongbax.vault.attachments import attach, attached_folders, read_attached
from vault_damage import STEP, Contents, build, build_long_log, copy, files
from vault_death import bury
from vault_folder import make_folder
from vault_rings import same

VAULTS = ("closed", "log", "long", "both", "packed", "training")
HANG_SECONDS = 60
ATTACHED = {"policy/bias": np.arange(6.0).reshape(2, 3), "count": np.arange(5)}
QUEUE = strongbax.make_trajectory_queue(8, 2, 3, 2)


@pytest.fixture(scope="module")
def made():
    folder = make_folder()
    yield {
        "packed": _packed(folder),
        "training": _training(folder),
        "closed": (folder / "closed", build(folder / "closed", (5, 1, 0, 9, 4), close=True)),
        "log": (folder / "log", build(folder / "log", (3, 2, 2), close=False)),
        "long": (folder / "long", build_long_log(folder / "long", (5, 5, 5, 5, 5, 5, 5))),
        "both": (folder / "both", build(folder / "both", (5, 6, 2, 3), close=False)),
    }
    shutil.rmtree(folder)


def _packed(folder: Path) -> tuple[Path, Contents]:
    """A packed vault, with a manifest and attached arrays. It never held fewer episodes than all."""
    contents = build(folder / "whole", (5, 1, 0, 9, 4), close=True)
    attach(folder / "whole", ATTACHED)
    path = Vault.open(folder / "whole").pack(folder / "packed")
    return path, replace(contents, commits=contents.commits[-1:])


def _training(folder: Path) -> tuple[Path, Contents]:
    """A vault with a log, attached arrays and resume points."""
    path = folder / "training"
    contents = build(path, (5, 6, 2, 3), close=False)
    attach(path, ATTACHED)
    with mock.patch.object(Vault, "close"), Vault.open(path, mode="a") as vault:
        for count in range(2):
            state = QUEUE.init({"reward": jnp.zeros(())})
            vault.checkpoint(state, extra={"count": count, "array": np.arange(count + 3)})
        bury(vault)
    return path, contents


def damage(path: Path, random: np.random.Generator) -> str:
    """Damages one or two files (the log and the root more often), and says how."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != "writer.lock")
    favoured = [file for file in files if file.suffix == ".log" or file == path / "zarr.json"]
    said = []
    for _ in range(random.integers(1, 3)):
        chosen = favoured if random.random() < 0.4 and favoured else files
        file = chosen[random.integers(len(chosen))]
        if file.exists():
            said.append(f"{_damage_file(file, random)} of {file.relative_to(path)}")
    return ", ".join(said)


def _damage_file(file: Path, random: np.random.Generator) -> str:
    data, how = bytearray(file.read_bytes()), random.integers(6)
    at = int(random.integers(len(data))) if data else 0
    if how == 0:
        file.unlink()
        return "deletion"
    if how == 1:
        file.write_bytes(data[:at])
        return f"all from byte {at}"
    if how == 2:
        file.write_bytes(data + random.bytes(int(random.integers(1, 200))))
        return "the end"
    if how == 3:
        stop = min(len(data), at + int(random.integers(1, 64)))
        data[at:stop] = bytes(stop - at)
        file.write_bytes(data)
        return f"zeros in bytes {at} to {stop}"
    if data:
        data[at] ^= 1 << random.integers(8)
    file.write_bytes(data)
    return f"a bit in byte {at}"


def check(path: Path, contents: Contents) -> None:
    """Reads everything, lets the next writer in, and reads again."""
    for mode in ("r", "a"):
        try:
            with Vault.open(path, mode=mode) as vault:
                _check_open(vault, contents)
                if mode == "a":
                    _write_on(vault, contents)
        except StrongbaxError:
            continue


def _check_open(vault: Vault, contents: Contents) -> None:
    vault.verify(deep=False)
    problems = vault.verify(deep=True).problems
    try:
        differs = contents.differs(vault)
    except StrongbaxError:
        assert problems, "verify finds nothing, but reading does"
        raise
    assert differs is None or problems, f"verify finds nothing, but wrong is {differs}"


def _write_on(vault: Vault, contents: Contents) -> None:
    length, whole = vault.length, contents.differs(vault) is None
    steps = {name: np.ones((9, *np.shape(leaf)), leaf.dtype) for name, leaf in STEP.items()}
    vault.append(Episode(steps))
    vault.close()
    with Vault.open(vault.path) as reader:
        assert reader.length == length + 9
        found = reader.read_numpy()
        for name in steps if whole else ():
            assert np.array_equal(found[name][0, length:], steps[name])
            assert np.array_equal(found[name][:, :length], contents.steps[name][:, :length])


def _check_beside(path: Path) -> None:
    """Attached arrays and resume points are refused, or what they were."""
    for name, folder in attached_folders(path):
        try:
            found = read_attached(folder)
        except StrongbaxError:
            continue
        assert name not in ATTACHED or same(found, ATTACHED[name])
    for number in resume.numbers(path):
        try:
            point = resume.load(path, number)
        except StrongbaxError:
            continue
        assert list(range(number + 3)) in [array.tolist() for array in point.arrays]


def check_repair(path: Path, contents: Contents, said: str) -> str:
    """Repairs, and compares what is left with what was there; says what became of the vault."""
    before = files(path)
    try:
        report = repair(path)
    except StrongbaxError:
        assert files(path) == before
        return "refused"
    with Vault.open(path) as vault:
        assert vault.verify().problems == []
        if report.damaged is None:
            assert files(path) == before
            assert contents.differs(vault) is None
            return "left alone"
        kept = _kept(vault, contents)
        if len(kept) < len(contents.table["length"]) and ".log" not in said:
            assert report.lost, f"{kept} are kept, and no loss is named"
    assert files(report.damaged) == before
    _check_beside(path)
    return "repaired" if len(kept) == len(contents.table["length"]) else "repaired in part"


def _kept(vault: Vault, contents: Contents) -> list[int]:
    """Gives the numbers of the episodes that a repaired vault has; each is exactly what it was."""
    kept, table = list[int](), vault.episodes
    everything = vault.finished()
    for place in range(len(everything)):
        cut = place >= len(table)
        found = everything[place]
        number = next(
            (n for n in range(len(contents.table["length"])) if _is(found, contents, n, cut=cut)), None
        )
        assert number is not None, f"episode {place} was never written"
        assert not kept or number > kept[-1]
        if not cut and not (found.terminated is False and len(found) < contents.table["length"][number]):
            kept.append(number)
    return kept


def _is(found: Episode, contents: Contents, number: int, *, cut: bool) -> bool:
    """Says whether an episode is the one of that number; one that was cut is its beginning."""
    table, steps = contents.table, len(found)
    start = table["start"][number]
    cut = cut or (not found.terminated and steps < table["length"][number])
    if steps != table["length"][number] and not (cut and 0 < steps < table["length"][number]):
        return False
    if any(not same(found.steps[n], leaf[0, start : start + steps]) for n, leaf in contents.steps.items()):
        return False
    if cut:
        return bool(found.return_ == steps)
    right = found.terminated == table["terminated"][number] and found.return_ == table["return"][number]
    right &= found.final is None or same(found.final["observation"], contents.finals[number])
    right &= found.columns.get("seed", number) == number
    return bool(right and found.attributes in ({}, {"row": number}))


def run(made: dict[str, tuple[Path, Contents]], seed: int, folder: Path) -> str:
    random = np.random.default_rng(seed)
    source, contents = made[VAULTS[seed % len(VAULTS)]]
    path, failed, ends = copy(source, folder / str(seed)), [], list[str]()
    said = damage(path, random)
    again = copy(path, folder / f"{seed}-again")

    def body() -> None:
        try:
            _check_beside(path)
            check(path, contents)
            ends.append(check_repair(again, contents, said))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(HANG_SECONDS)
    assert not thread.is_alive(), f"seed {seed}: {said} makes it hang"
    if failed:
        raise AssertionError(f"seed {seed}: damaged {said}") from failed[0]
    for left in folder.glob(f"*{seed}*"):
        shutil.rmtree(left)
    return ends[0]


@pytest.mark.parametrize("part", range(10))
def test_random_damage(made, tmp_path, part):
    """Whatever bytes are flipped, zeroed, cut off, added or lost, wrong data is never read as right."""
    ends = Counter(run(made, seed, tmp_path) for seed in range(8 * part, 8 * (part + 1)))
    assert ends["refused"] < 3


@pytest.mark.heavy
@pytest.mark.parametrize("part", range(40))
def test_more_random_damage(made, tmp_path, part):
    """The same, thousands of times."""
    size = int(os.environ.get("STRONGBAX_FUZZ", "4000")) // 40
    seeds = range(1000 + size * part, 1000 + size * (part + 1))
    ends = Counter(run(made, seed, tmp_path) for seed in seeds)
    print(part, dict(ends))
    assert ends["refused"] < size / 4
