"""Files damaged at random: a vault is refused, or holds what a commit held, or `verify` says what is wrong.

Nothing crashes, nothing hangs, and no error comes out but ours.
"""

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from strongbax.vault import Episode, StrongbaxError, Vault
from vault_damage import STEP, Contents, build, build_long_log, copy
from vault_folder import make_folder

VAULTS = ("closed", "log", "long", "both")
HANG_SECONDS = 60


@pytest.fixture(scope="module")
def made():
    folder = make_folder()
    yield {
        "closed": (folder / "closed", build(folder / "closed", (5, 1, 0, 9, 4), close=True)),
        "log": (folder / "log", build(folder / "log", (3, 2, 2), close=False)),
        "long": (folder / "long", build_long_log(folder / "long", (5, 5, 5, 5, 5, 5, 5))),
        "both": (folder / "both", build(folder / "both", (5, 6, 2, 3), close=False)),
    }
    shutil.rmtree(folder)


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


def run(made: dict[str, tuple[Path, Contents]], seed: int, folder: Path) -> None:
    random = np.random.default_rng(seed)
    source, contents = made[VAULTS[seed % len(VAULTS)]]
    path, failed = copy(source, folder / str(seed)), []
    said = damage(path, random)

    def body() -> None:
        try:
            check(path, contents)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(HANG_SECONDS)
    assert not thread.is_alive(), f"seed {seed}: {said} makes it hang"
    if failed:
        raise AssertionError(f"seed {seed}: damaged {said}") from failed[0]
    shutil.rmtree(path)


@pytest.mark.parametrize("part", range(10))
def test_random_damage(made, tmp_path, part):
    """Whatever bytes are flipped, zeroed, cut off, added or lost, wrong data is never read as right."""
    for seed in range(16 * part, 16 * (part + 1)):
        run(made, seed, tmp_path)


@pytest.mark.heavy
@pytest.mark.parametrize("part", range(40))
def test_more_random_damage(made, tmp_path, part):
    """The same, thousands of times."""
    size = int(os.environ.get("STRONGBAX_FUZZ", "4000")) // 40
    for seed in range(1000 + size * part, 1000 + size * (part + 1)):
        run(made, seed, tmp_path)
