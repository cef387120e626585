"""D4RL files of many short episodes, and vaults as their files."""

from pathlib import Path

import h5py
import numpy as np


def write(path: Path, steps: int = 1500, odd: int | None = None, seed: int = 0) -> Path:
    """Writes a D4RL file of episodes of 1 to 80 steps; at row `odd` the next observation is another one."""
    rng = np.random.default_rng(seed)
    observation = rng.normal(size=(steps + 1, 4)).astype(np.float32)
    ends = np.zeros(steps, bool)
    ends[np.cumsum(rng.integers(1, 80, steps // 60))] = True
    following = observation[1:].copy()
    if odd is not None:
        following[odd] += 1
        ends[odd] = False
    with h5py.File(path, "w") as file:
        file["observations"], file["next_observations"] = observation[:-1], following
        file["actions"], file["rewards"] = rng.normal(size=(steps, 3)), rng.normal(size=steps)
        file["terminals"], file["timeouts"] = (
            ends & (np.arange(steps) % 2 == 0),
            ends & (np.arange(steps) % 2 == 1),
        )
    return path


def files(folder: Path) -> dict[str, bytes]:
    """All files of a vault with their bytes."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def spoil(path: Path, key: str, row: int) -> Path:
    """Packs a key by gzip, 10 rows a chunk, and flips bits of the chunk that holds a row."""
    with h5py.File(path, "a") as file:
        values = file[key][()]
        del file[key]
        file.create_dataset(key, data=values, compression="gzip", chunks=(10, *values.shape[1:]))
    with h5py.File(path) as file:
        found = file[key].id.get_chunk_info(row // 10)
    with path.open("r+b") as raw:
        raw.seek(found.byte_offset + found.size // 2)
        raw.write(bytes(8))
    return path
