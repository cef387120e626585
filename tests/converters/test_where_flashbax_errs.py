"""Where Flashbax's Vault errs as a dataset we do not; `tests/flashbax` has it as a place to write."""

import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from strongbax.converters import convert
from strongbax.vault.vault import Vault
from test_flashbax import agents, save

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]  # JAX's own, of what Flashbax asks


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = pytest.importorskip("flashbax.vault", reason="needs flashbax, of the extra `test`")
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"):
        yield lambda name: peer.Vault(name, rel_dir="vaults", vault_uid="Good")


def test_numbers_of_64_bits_stay(tmp_path: Path, theirs: Any):
    """Flashbax reads int64 and float64 as 32 bits: a frame's number becomes another, a time is rounded."""
    made = agents()
    made["infos/frame"] = 2**40 + np.arange(10)[None]
    made["infos/time"] = 1e9 + np.arange(10)[None] * 1e-3
    path = save(tmp_path / "vaults" / "toy.vlt" / "Good", made)
    found = theirs("toy.vlt").read().experience["infos"]
    assert (found["frame"].dtype, found["time"].dtype) == (np.int32, np.float32)
    assert (np.asarray(found["frame"]) != made["infos/frame"]).all()
    assert len(np.unique(found["time"])) == 1
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        rows = vault.read_numpy(leaves=["infos/frame", "infos/time"])
    for name in ("infos/frame", "infos/time"):
        np.testing.assert_array_equal(rows[name], made[name], strict=True)


def test_an_empty_vault_is_not_full(tmp_path: Path, theirs: Any):
    """Flashbax reads a vault of no steps as a full buffer; here it is said that there is nothing."""
    path = save(tmp_path / "vaults" / "toy.vlt" / "Good", {"reward": np.zeros((1, 0))})
    assert bool(theirs("toy.vlt").read().is_full)
    with pytest.raises(ValueError, match="is empty"):
        convert(path, tmp_path / "v")
    assert not (tmp_path / "v").exists()
