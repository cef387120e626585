"""Makes the golden vaults of this version: `python tests/golden/make.py format1-0.1.0-packed`.

Run it once a version that writes something new, and commit what it makes; what was committed is never made
again. Beside each vault stands what it holds: `<name>.json` (dtypes, shapes, facts) and `<name>.npz` (bytes).
"""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
from strongbax.vault import Episode, Vault

FACTS = {"name": "golden", "unicode": "öß→開", "nested": {"a": [1, 2.5, None, True]}}
STEP: dict[str, Any] = {
    "observation": {
        "pixels": np.zeros((32, 32), np.uint8),  # a frame: zstd by default
        "position": np.zeros(3, np.float64),
        "a/b": np.zeros(2, ml_dtypes.bfloat16),
    },
    "action": (np.zeros(2, np.float32), np.zeros((), np.int16)),
    "key": np.zeros(2, np.uint32),
    "when": np.zeros((), "M8[ms]"),
    "text": np.zeros((), "U4"),
    "fp8": np.zeros((), ml_dtypes.float8_e4m3fn),
    "lz4": np.zeros(4, np.int64),
    "blosc": np.zeros(4, np.complex64),
    "gzip": np.zeros(4, np.uint16),
    "reward": np.zeros((), np.float32),
    "terminated": np.zeros((), np.bool_),
    "truncated": np.zeros((), np.bool_),
}
CODECS = {"lz4": "lz4", "blosc": "blosc", "gzip": "gzip"}


def steps(random: np.random.Generator, *lead: int) -> dict[str, Any]:
    """Random steps with leading axes; flags are false."""

    def values(leaf: Any) -> Any:
        if isinstance(leaf, dict):
            return {name: values(child) for name, child in leaf.items()}
        if isinstance(leaf, tuple):
            return tuple(values(child) for child in leaf)
        if leaf.dtype == np.bool_:
            return np.zeros((*lead, *leaf.shape), np.bool_)
        return random.integers(0, 100, (*lead, *leaf.shape)).astype(leaf.dtype)

    return values(STEP)


def make_episodes(path: Path) -> Vault:
    """A closed vault of whole episodes: final rows, columns, attributes, one episode of no steps."""
    random = np.random.default_rng(0)
    columns = {"seed": np.int64, "task": "U8", "score": np.float32}
    vault = Vault.create(path, steps=STEP, codec=CODECS, columns=columns, attributes=FACTS, block=8)
    for number, length in enumerate((5, 9, 0, 1, 17, 3)):
        block = steps(random, length)
        block["terminated" if number % 2 else "truncated"][-1:] = True
        final = {"observation": {name: leaf[0] for name, leaf in steps(random, 1)["observation"].items()}}
        attributes = {"number": number, "text": "é" * number, "nested": {"a": [number, None]}}
        episode = Episode(
            block,
            final if number != 3 else None,
            columns={"seed": number, "task": f"t→{number}", "score": number / 4},
            attributes=attributes if number != 4 else {},
        )
        vault.append(episode)
    vault.write_card({**FACTS, "licence": "Apache-2.0"})
    return vault


def make_streams(path: Path) -> Vault:
    """A vault of three streams as a killed writer leaves it: shards, a log, gaps, running episodes."""
    random, streams, capacity = np.random.default_rng(1), 3, 6
    vault = Vault.create(path, steps=STEP, streams=streams, codec=CODECS, block=8)
    ring, count = steps(random, streams, capacity), 0
    for added in (4, 5, 9, 3, 2, 8, 1):
        block = steps(random, streams, added)
        block["terminated"] = random.random((streams, added)) < 0.15
        block["truncated"] = ~block["terminated"] & (random.random((streams, added)) < 0.1)
        for time in range(added):
            _put(ring, block, count % capacity, time)
            count += 1
        vault.write(
            SimpleNamespace(
                experience=ring,
                current_index=np.int32(count % capacity),
                is_full=np.bool_(count >= capacity),
                laps=np.int32(count // capacity),
            ),
            on_gap="record",
        )
        vault._flusher._writer.wait()
    return vault


def _put(ring: Any, block: Any, slot: int, time: int) -> None:
    if isinstance(ring, np.ndarray):
        ring[:, slot] = block[:, time]
        return
    for key in ring if isinstance(ring, dict) else range(len(ring)):
        _put(ring[key], block[key], slot, time)


def describe(vault: Vault) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Gives the facts and the arrays that a vault holds."""
    table, runs = vault.episodes, vault.open_episodes
    arrays = {f"steps/{name}": vault.read_numpy(leaves=[name])[name] for name in vault.leaves}
    arrays |= {f"final/{name}": vault.finals(name) for name in vault.schema.finals}
    arrays |= {f"episodes/{name}": table[name] for name in table.columns}
    arrays |= {f"running/{name}": runs[name] for name in runs.columns}
    facts = {
        "arrays": {
            name: [a.dtype.name if a.dtype.kind == "V" else a.dtype.str, a.shape]
            for name, a in arrays.items()
        },
        "attributes": vault.attributes,
        "card": vault.card,
        "episode_attributes": [table.attributes(row) for row in range(len(table))],
        "gaps": [[gap.time, gap.lost] for gap in vault.gaps],
        "roles": vault.roles.to_dict(),
        "tree": json.loads(json.dumps(vault.schema.tree.to_dict())),
    }
    return facts, arrays


def keep(vault: Vault, name: str, folder: Path) -> None:
    """Copies a vault as it stands on the disk, and what it holds, into the repository."""
    facts, arrays = describe(vault)
    shutil.copytree(vault.path, folder / f"{name}.vault", ignore=shutil.ignore_patterns("writer.lock"))
    text = json.dumps(facts, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / f"{name}.json").write_text(text + "\n", "utf-8")
    raw = {key: np.frombuffer(array.tobytes(), np.uint8) for key, array in arrays.items()}
    np.savez_compressed(folder / f"{name}.npz", **raw)


def main(version: str) -> None:
    """Makes the vaults aside, keeps them, and removes what is aside."""
    folder = Path(__file__).parent / version
    folder.mkdir()
    aside = folder / "aside"
    episodes = make_episodes(aside / "episodes")
    episodes.close()
    keep(Vault.open(episodes.path), "episodes", folder)
    keep(Vault.open(Vault.open(episodes.path).pack(aside / "packed")), "packed", folder)
    streams = make_streams(aside / "streams")
    keep(streams, "streams", folder)
    streams.close()
    shutil.rmtree(aside)


if __name__ == "__main__":
    main(sys.argv[1])
