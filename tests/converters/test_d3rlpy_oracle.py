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
