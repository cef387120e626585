"""OGBench's own loader gives the same of what we write as of its files. Needs OGBench."""

from pathlib import Path

import numpy as np
import pytest
from strongbax.converters import convert, export
from strongbax.vault.vault import Vault

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # OGBench's own
]
utils = pytest.importorskip("ogbench.utils", reason="OGBench is the oracle here; it is no dependency")
ROWS = (2, 10_001, 1, 3)  # a step and its final state; ten thousand; a state alone; two


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("compact", [False, True])
def test_both_ways(tmp_path: Path, pixels: bool, compact: bool):
    """Every array of both datasets, regular and compact, is equal, dtype and all."""
    rng, count = np.random.default_rng(0), sum(ROWS)
    seen = rng.integers(0, 256, (count, 3, 2, 3), np.uint8) if pixels else rng.normal(size=(count, 4))
    made = {
        "observations": seen if pixels else seen.astype(np.float32),
        "actions": rng.integers(0, 5, (count, 2), np.int32) if pixels else np.float32(seen[:, :1]),
        "terminals": np.isin(np.arange(count), np.cumsum(ROWS) - 1),
        "qpos": rng.normal(size=(count, 1)).astype(np.float32),
        "qvel": rng.normal(size=(count, 3)).astype(np.float32),
        "button_states": rng.integers(-(2**63), 2**63 - 1, (count, 2)),
    }
    np.savez_compressed(tmp_path / "toy-v0.npz", **made)
    convert(tmp_path / "toy-v0.npz", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == [rows - 1 for rows in ROWS]
        export(vault, tmp_path / "out.npz", "ogbench")
    kinds = {"ob_dtype": made["observations"].dtype, "action_dtype": made["actions"].dtype}
    one, other = (
        utils.load_dataset(str(tmp_path / name), compact_dataset=compact, add_info=True, **kinds)
        for name in ("toy-v0.npz", "out.npz")
    )
    assert one.keys() == other.keys()
    for key, values in one.items():
        np.testing.assert_array_equal(values, other[key], strict=True)
