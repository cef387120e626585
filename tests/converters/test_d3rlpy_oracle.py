"""d3rlpy itself reads what we write, and writes what we read. Needs d3rlpy and torch."""

from pathlib import Path

import numpy as np
import pytest
from strongbax.converters import convert, export
from strongbax.vault.vault import Vault

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # d3rlpy's and Gymnasium's own
]
dataset = pytest.importorskip("d3rlpy.dataset", reason="d3rlpy is the oracle here; it is no dependency")


def test_both_ways(tmp_path: Path):
    """Episodes dumped by d3rlpy, through a vault and out again, are loaded by d3rlpy as they were."""
    rng = np.random.default_rng(0)
    made = [
        dataset.Episode(
            rng.normal(size=(n, 3)).astype(np.float32),
            rng.normal(size=(n, 2)).astype(np.float32),
            rng.normal(size=(n, 1)).astype(np.float32),
            terminated=bool(n % 2),
        )
        for n in (5, 2, 7)
    ]
    with (tmp_path / "a.h5").open("w+b") as file:
        dataset.dump(made, file)
    convert(tmp_path / "a.h5", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "b.h5", "d3rlpy")
    with (tmp_path / "b.h5").open("rb") as file:
        again = dataset.ReplayBuffer.load(file, dataset.InfiniteBuffer())
    assert again.transition_count == sum(one.transition_count for one in made)
    for one, other in zip(again.episodes, made, strict=True):
        np.testing.assert_array_equal(one.observations, other.observations, strict=True)
        np.testing.assert_array_equal(one.actions, other.actions, strict=True)
        np.testing.assert_array_equal(one.rewards, other.rewards, strict=True)
        assert one.terminated == other.terminated
    assert again.sample_transition_batch(4).observations.shape == (4, 3)


@pytest.mark.parametrize("kind", ["tuple", "pixels", "discrete", "float64"])
def test_odd_shapes_both_ways(tmp_path: Path, kind: str):
    """Tuples, pixels, discrete actions and float64, in episodes of one step and of ten thousand."""
    rng = np.random.default_rng(0)
    made = []
    for n in (1, 10_000 if kind != "pixels" else 300, 2, 1):
        seen = {
            "tuple": [
                rng.normal(size=(n, 3)).astype(np.float32),
                rng.integers(0, 256, (n, 2, 4, 4), np.uint8),
            ],
            "pixels": rng.integers(0, 256, (n, 3, 8, 8), np.uint8),
        }.get(kind, rng.normal(size=(n, 1)))
        acted = rng.integers(0, 4, (n, 1)) if kind == "discrete" else rng.normal(size=(n, 2))
        rewards = rng.normal(size=(n, 1)).astype(np.float64 if kind == "float64" else np.float32)
        made.append(dataset.Episode(seen, acted, rewards, terminated=bool(n == 2)))
    with (tmp_path / "a.h5").open("w+b") as file:
        dataset.dump(made, file)
    convert(tmp_path / "a.h5", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "b.h5", "d3rlpy")
    with (tmp_path / "b.h5").open("rb") as file:
        again = dataset.load(dataset.Episode, file)
    for one, other in zip(again, made, strict=True):
        for what in ("actions", "rewards"):
            np.testing.assert_array_equal(getattr(one, what), getattr(other, what), strict=True)
        both = [
            e.observations if isinstance(e.observations, list | tuple) else [e.observations]
            for e in (one, other)
        ]
        for found, wanted in zip(*both, strict=True):
            np.testing.assert_array_equal(found, wanted, strict=True)
        assert one.terminated == other.terminated
