"""Vaults that the page is tested with."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
from strongbax.buffer import make_trajectory_buffer
from strongbax.vault import Episode, Vault

LENGTHS = (40, 12, 75, 3, 33, 50)
CITATION = "@misc{toy,\n  title = {A toy},\n  author = {Ada},\n}"
CARD = {
    "dataset_id": "toy/rich-v0",
    "description": "A *toy* with a leaf of every kind: https://example.org/toy.",
    "licence": "CC-BY-4.0",
    "citation": CITATION,
    "author": ["Ada Lovelace", "<b>Bo</b>"],
    "env_spec": {"kind": "custom", "id": "Toy-v0"},
    "baselines": [{"name": "BC", "score": 88.5, "source": "arXiv:2004.07219"}],
    "provenance": {"file": "toy.hdf5", "sha256": "ab" * 32},
    "stats": {"reward": {"min": -9.0, "mean": 0.5, "max": 9.0, "count": 213}},
    "colour": "javascript:alert(1)",
}
STEP: dict[str, Any] = {
    "observation": np.zeros(11, np.float32),
    "wide": np.zeros(40, np.float32),
    "action": np.int32(0),
    "reward": np.float64(0),
    "terminated": np.bool_(0),
    "truncated": np.bool_(0),
    "pixels": np.zeros((24, 32, 3), np.uint8),
    "stack": np.zeros((4, 20, 20), np.uint8),
    "depth": np.zeros((10, 12), np.float32),
    "bfloat16": np.zeros(2, ml_dtypes.bfloat16),
    "float16": np.float16(0),
    "e4m3": np.zeros((), ml_dtypes.float8_e4m3fn),
    "e5m2": np.zeros((), ml_dtypes.float8_e5m2),
    "clock": np.int64(0),
    "unsigned": np.uint64(0),
    "complex": np.complex64(0),
    "wide complex": np.complex128(0),
    "say": np.array("", "<U16"),
    "when": np.datetime64(0, "ms"),
    "infos": {"café 100%": np.float64(0)},
}
# One leaf a codec that a vault may have, so that each is read by the page.
CODECS = {
    "observation": "blosc",
    "wide": "lz4",
    "reward": "gzip",
    "clock": "none",
    "unsigned": "blosc",
    "bfloat16": "blosc",
}


def episode_steps(length: int, seed: int) -> dict[str, Any]:
    """The steps of an episode; leaves `[T, ...]`."""
    draw = np.random.default_rng(seed)
    time = np.arange(length)
    bits = draw.integers(0, 256, (length, 24, 32, 3))
    last = time == length - 1
    return {
        "observation": draw.normal(size=(length, 11)).astype(np.float32),
        "wide": np.round(draw.normal(size=(length, 40)), 1).astype(np.float32),
        "action": draw.integers(0, 5, length).astype(np.int32),
        "reward": draw.normal(size=length),
        "terminated": last & (seed % 2 == 0),
        "truncated": last & (seed % 2 == 1),
        "pixels": bits.astype(np.uint8),
        "stack": draw.integers(0, 256, (length, 4, 20, 20)).astype(np.uint8),
        "depth": draw.normal(size=(length, 10, 12)).astype(np.float32),
        "bfloat16": draw.normal(size=(length, 2)).astype(ml_dtypes.bfloat16),
        "float16": draw.normal(size=length).astype(np.float16),
        "e4m3": draw.normal(size=length).astype(ml_dtypes.float8_e4m3fn),
        "e5m2": draw.normal(size=length).astype(ml_dtypes.float8_e5m2),
        "clock": -(2**53) + time * 3,
        "unsigned": (2**52 + time).astype(np.uint64),
        "complex": (draw.normal(size=length) + 1j * draw.normal(size=length)).astype(np.complex64),
        "wide complex": np.ones(length, np.complex128),
        "say": np.where(time < length // 2, "reach", "öffne <i>🚪</i>").astype("<U16"),
        "when": np.datetime64("2026-11-23T12:00:00.000", "ms") + time // 10,
        "infos": {"café 100%": np.cos(time / 3)},
    }


def rich_episodes() -> list[Episode]:
    """What `write_rich` writes."""
    episodes = []
    for seed, length in enumerate(LENGTHS):
        final = {
            "observation": np.full(11, seed, np.float32),
            "pixels": np.full((24, 32, 3), 10 * seed, np.uint8),
        }
        columns = {"task": ("push", "pull")[seed % 2], "success": seed > 2, "seed": 100 + seed}
        attributes = {"note": f"episode {seed}", "nested": {"a": [1, 2]}}
        steps = episode_steps(length, seed)
        episodes.append(Episode(steps, final=final, columns=columns, attributes=attributes))
    return episodes


def write_rich(path: Path) -> Path:
    dtypes = {"task": np.dtype("<U8"), "success": np.dtype(bool), "seed": np.dtype(np.int64)}
    growing = path.with_suffix(".growing")
    codec: Any = CODECS
    finals = ["observation", "pixels"]
    with Vault.create(growing, steps=STEP, columns=dtypes, finals=finals, codec=codec) as vault:
        for episode in rich_episodes():
            vault.append(episode)
        vault.write_card(CARD)
        vault.pack(path, codec={name: CODECS.get(name, "zstd") for name in vault.leaves})
    return path


def write_plain(path: Path) -> Path:
    buffer = make_trajectory_buffer(
        add_batch_size=3,
        sample_batch_size=1,
        sample_sequence_length=1,
        period=1,
        min_length_time_axis=1,
        max_length_time_axis=20,
    )
    step = {"observation": jnp.zeros(2), "reward": jnp.zeros(()), "terminated": jnp.zeros((), bool)}
    state = buffer.init(step)
    with Vault.create(path, like=state) as vault:
        time = np.arange(20, dtype=np.float32)
        place = time[None, :, None] + np.float32(100) * np.arange(3, dtype=np.float32)[:, None, None]
        steps = {
            "observation": np.repeat(place, 2, axis=2),
            "reward": np.ones((3, 20), np.float32),
            "terminated": time[None] == np.array([[4], [9], [19]]),
        }
        state = buffer.add(state, steps)
        vault.write(state)
    return path


def write_many(path: Path) -> Path:
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, 30, 100_000)
    steps = int(lengths.sum())
    ends = np.zeros(steps, np.bool_)
    ends[np.cumsum(lengths) - 1] = True
    step = {"observation": np.zeros(4, np.float32), "reward": np.float32(0), "terminated": np.bool_(0)}
    with Vault.create(path.with_suffix(".growing"), steps=step) as vault:
        vault.extend(
            {
                "observation": draw.normal(size=(steps, 4)).astype(np.float32),
                "reward": draw.normal(size=steps).astype(np.float32),
                "terminated": ends,
            }
        )
        vault.pack(path)
    return path
