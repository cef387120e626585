"""Vaults to publish, and what is compared of them afterwards."""

from pathlib import Path
from typing import Any

import numpy as np
from strongbax.vault import Episode, Vault

CARD = {
    "dataset_id": "toy/walk-v0",
    "licence": "CC0-1.0",
    "citation": "Ada: A walk. 2026",
    "description": "A walk.",
    "env_spec": {"kind": "brax", "id": "ant"},
}
STEP = {
    "observation": {"pixels": np.zeros((8, 8), np.uint8), "speed": np.zeros(3, np.float32)},
    "action": np.zeros(2, np.float32),
    "reward": np.float32(0),
    "terminated": np.bool_(0),
    "truncated": np.bool_(0),
}
LENGTHS = (40, 7, 90, 33)


def make_vault(path: Path, *, seed: int = 0, lengths: Any = LENGTHS, card: Any = None) -> Path:
    """Makes a vault of episodes of random steps, with columns, attributes and final rows."""
    generator = np.random.default_rng(seed)
    with Vault.create(path, steps=STEP, columns={"level": np.int32(0)}) as vault:
        for number, length in enumerate(lengths):
            steps = {
                "observation": {
                    "pixels": generator.integers(0, 255, (length, 8, 8)).astype(np.uint8),
                    "speed": generator.normal(size=(length, 3)).astype(np.float32),
                },
                "action": generator.normal(size=(length, 2)).astype(np.float32),
                "reward": generator.normal(size=length).astype(np.float32),
                "terminated": np.arange(length) == (length - 1 if number % 2 == 0 else length),
                "truncated": np.arange(length) == (length - 1 if number % 2 else length),
            }
            final = {
                "observation": {
                    "pixels": steps["observation"]["pixels"][0],
                    "speed": np.ones(3, np.float32),
                }
            }
            vault.append(
                Episode(
                    steps,
                    final=final,
                    columns={"level": number},
                    attributes={"seed": seed + number, "task": f"walk {number}", "nested": {"a": 1}},
                )
            )
        vault.write_card(CARD if card is None else card)
    return path


def same_steps(one: Any, other: Any, leaves: Any = None) -> None:
    """Checks that two vaults hold the same steps and episodes."""
    with Vault.open(one) as a, Vault.open(other) as b:
        for name in leaves or a.leaves:
            left, right = (vault.finished().read_numpy(leaves=[name])[name] for vault in (a, b))
            np.testing.assert_array_equal(left, right)
        for name in ("return", "length", "terminated", "truncated", "level"):
            np.testing.assert_array_equal(a.episodes[name], b.episodes[name])
        assert a.episodes.texts() == b.episodes.texts()


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder, by path."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }
