"""A vault's steps are loaded into an episode buffer, whose windows keep to the vault's episodes."""

import jax
import jax.numpy as jnp
import numpy as np
import strongbax.buffer as fbx
from strongbax import Vault
from strongbax.vault import Ends

BUFFER = fbx.make_episode_buffer(2, 64, 3, 20, short="pad", weights="return")
STEP = {"time": jnp.zeros((), jnp.int32), "reward": jnp.zeros(()), "terminated": jnp.zeros((), bool)}


def steps(first, length):
    time = np.tile(np.arange(first, first + length, dtype=np.int32), (2, 1))
    return {"time": time, "reward": np.ones((2, length), np.float32), "terminated": time % 7 == 6}


def test_a_run_is_restored_and_loaded(tmp_path):
    """A run's state comes back bit for bit from a checkpoint, and its windows from the steps alone."""
    state, add = BUFFER.init(STEP), jax.jit(BUFFER.add)
    with Vault.create(tmp_path / "run.vault", like=state) as vault:
        for first in range(0, 50, 10):
            state = add(state, steps(first, 10))
            vault.write(state)
        vault.checkpoint(state)
    with Vault.open(tmp_path / "run.vault", mode="a") as vault:
        restored, _ = vault.restore(BUFFER)
        whole = vault.load(BUFFER)
        end = vault.load(BUFFER, start=30)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert whole.index.windows.counts.tolist() == [50, 50]
    assert end.index.windows.counts.tolist() == state.index.windows.counts.tolist() == [20, 20]
    jax.tree.map(np.testing.assert_array_equal, end.experience, state.experience)
    sample = jax.jit(BUFFER.sample)(whole, jax.random.key(0))
    assert (sample.step_in_episode == jnp.where(sample.mask, sample.experience["time"] % 7, 0)).all()


def test_windows_keep_to_episodes_that_no_leaf_ends(tmp_path):
    """An episode that was cut ends where the vault says, and no window reaches into the next."""
    with Vault.create(tmp_path / "cut.vault", steps=STEP, streams=1) as vault:
        for length in (5, 4, 8):
            rows = jax.tree.map(lambda leaf: leaf[0], steps(0, length))
            rows["terminated"] = np.zeros(length, bool)
            end = np.array([length])
            vault.extend(rows, Ends(end, terminated=end < 0, truncated=end < 0))
        state = vault.load(BUFFER)
    assert int(state.index.groups.counts[0]) == 3
    sample = jax.jit(BUFFER.sample)(state, jax.random.key(0))
    assert (sample.step_in_episode == sample.experience["time"]).all()
