"""Every array's own `zarr.json`, by which plain readers go."""

import json

import numpy as np
import pytest
from strongbax.vault import Vault


def _make(path):
    with Vault.create(path, steps={"x": np.zeros(2, np.float32)}, block=8) as vault:
        vault.extend({"x": np.ones((11, 2), np.float32)})
    return path / "steps/x/zarr.json"


def _flip(file):
    data = bytearray(file.read_bytes())
    data[data.index(b"float32")] ^= 1
    file.write_bytes(bytes(data))


def _claim_more(file):
    node = json.loads(file.read_text())
    file.write_text(json.dumps(node | {"shape": [1, 12, 2]}))


@pytest.mark.parametrize("damage", [_flip, _claim_more, lambda file: file.unlink()])
@pytest.mark.parametrize("deep", [True, False])
def test_a_wrong_document_is_named_and_mended(tmp_path, damage, deep):
    """`verify` names an array whose own document is wrong, and closing a writer writes it anew."""
    file = _make(tmp_path / "a.vault")
    damage(file)
    with Vault.open(tmp_path / "a.vault") as vault:
        (problem,) = vault.verify(deep=deep).problems
        assert "steps/x/zarr.json" in problem
        assert (vault.read_numpy()["x"] == 1).all()
    Vault.open(tmp_path / "a.vault", mode="a").close()
    with Vault.open(tmp_path / "a.vault") as vault:
        assert vault.verify(deep=deep).ok
