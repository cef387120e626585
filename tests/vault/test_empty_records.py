"""Records without steps, behind a block that is sealed later: the log is whole all the same."""

import itertools
from typing import Any
from unittest import mock

import numpy as np
import pytest
from strongbax.vault import Ends, Vault
from strongbax.vault.writer import Writer

STEP = {"observation": np.zeros(2, np.float32), "reward": np.float32(0)}
_numbers = itertools.count()


def steps(count: int) -> Any:
    return {"observation": np.ones((count, 2), np.float32), "reward": np.ones(count, np.float32)}


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("where", ["disk", "bucket"])
def test_a_block_is_sealed_before_records_without_steps(tmp_path, where, ended):
    """A full block that a dead writer left is sealed by the next; what came between is not needed twice."""
    path = tmp_path / "a.vault" if where == "disk" else f"memory://empty/{next(_numbers)}.vault"
    with mock.patch.object(Writer, "_seal_in_background"):
        vault = Vault.create(path, steps=STEP, block=8)
        vault.extend(steps(8 - 3))
        vault.extend(steps(3))
        vault._flusher.abandon()
        if ended:  # an episode ends, without a further step, in a record and a log file of its own
            vault = Vault.open(path, mode="a")
            vault.extend(steps(0), Ends(np.array([0]), np.array([True]), np.array([False])))
            vault._flusher.abandon()
    vault = Vault.open(path, mode="a")
    vault.extend(steps(3))
    vault._flusher._writer.wait()
    assert vault._flusher._writer.root.length == 8
    vault._flusher.abandon()
    for _ in range(2):
        with Vault.open(path, mode="a") as vault:
            assert vault.verify().problems == []
            assert (vault.length, vault.num_episodes) == (11, int(ended))
            assert vault.open_episodes["start"].tolist() == [8 if ended else 0]
            assert vault.open_episodes["return"].tolist() == [3.0 if ended else 11.0]
