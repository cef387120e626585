"""Vaults with known contents, and ways to damage their files."""

import shutil
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from strongbax.vault import Episode, Vault
from vault_death import bury
from vault_rings import same

HEADER = struct.Struct("<4sIQQQQQII8x")
STEP = {
    "observation": np.zeros(2, np.float32),
    "frame": np.zeros(4, np.uint8),
    "reward": np.float32(0),
    "terminated": np.bool_(0),
}


@dataclass
class Contents:
    """What a vault holds after each of its commits."""

    steps: dict[str, np.ndarray]
    commits: list[tuple[int, int]]
    finals: np.ndarray
    table: dict[str, list[Any]] = field(default_factory=dict)

    def differs(self, vault: Vault) -> str | None:
        """Says what a vault holds that none of its commits held, reading all of it in every way."""
        length, episodes = vault.length, vault.num_episodes
        if (length, episodes) not in self.commits:
            return f"no commit had {length} steps and {episodes} episodes"
        steps, table = vault.read_numpy(), vault.episodes
        held = {f"leaf {n}": same(steps[n], v[:, :length]) for n, v in self.steps.items()}
        held["final rows"] = same(vault.finals("observation"), self.finals[:episodes])
        held |= {f"column {n}": table[n].tolist() == c[:episodes] for n, c in self.table.items()}
        for row in range(episodes):
            start, stop = table["start"][row], table["start"][row] + table["length"][row]
            held[f"attributes {row}"] = table.attributes(row) == {"row": row}
            held[f"episode {row}"] = same(vault[row].steps["frame"], self.steps["frame"][0, start:stop])
        return next((name for name, right in held.items() if not right), None)


def build(path: Path, lengths: tuple[int, ...], *, close: bool, seal_after: int | None = None) -> Contents:
    """Makes a vault of one commit an episode; unless closed, its log is as a dead writer's."""
    vault = Vault.create(path, steps=STEP, codec={"frame": "zstd"}, columns={"seed": np.int64}, block=8)
    return fill(vault, lengths, close=close, seal_after=seal_after)


def build_long_log(path: Path, lengths: tuple[int, ...]) -> Contents:
    """Makes a vault whose blocks could not be sealed: its log has a file a block."""
    vault = Vault.create(path, steps=STEP, codec={"frame": "zstd"}, columns={"seed": np.int64}, block=8)
    with mock.patch("os.rename", side_effect=OSError(28, "No space left on device")):
        return fill(vault, lengths, close=False)


def fill(vault: Vault, lengths: tuple[int, ...], *, close: bool, seal_after: int | None = None) -> Contents:
    """Appends an episode a commit, and ends the writer."""
    random, commits, steps, rows = np.random.default_rng(0), [(0, 0)], [], []
    for number, length in enumerate(lengths):
        block = {
            "observation": random.normal(size=(length, 2)).astype(np.float32),
            "frame": random.integers(0, 256, (length, 4), np.uint8),
            "reward": np.ones(length, np.float32),
            "terminated": np.arange(length) == length - 1,
        }
        rows.append(random.normal(size=2).astype(np.float32))
        vault.append(
            Episode(
                block,
                final={"observation": rows[-1]},
                columns={"seed": number},
                attributes={"row": number},
            )
        )
        steps.append(block)
        commits.append((vault.length, vault.num_episodes))
        if seal_after == number:
            vault.seal()
    whole = {name: np.concatenate([block[name] for block in steps])[None] for name in STEP}
    columns = ("start", "length", "return", "terminated", "truncated", "final_known", "seed")
    table = {name: vault.episodes[name].tolist() for name in columns}
    contents = Contents(whole, commits, np.stack(rows), table)
    if close:
        vault.close()
    else:
        vault._flusher._writer.wait()
        bury(vault)
    return contents


def records(path: Path) -> list[tuple[int, int]]:
    """Gives the (start, stop) of every record in a log file."""
    data, offset, found = path.read_bytes(), 0, []
    while offset < len(data):
        stop = offset + HEADER.size + HEADER.unpack_from(data, offset)[6]
        found.append((offset, stop))
        offset = stop
    return found


def flip(path: Path, at: int, mask: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= mask
    path.write_bytes(data)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def files(path: Path) -> dict[str, bytes]:
    """Every file of a vault with its bytes, the lock aside."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "writer.lock"
    }


def copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))
