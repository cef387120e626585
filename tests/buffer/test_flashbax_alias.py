"""Under the alias Flashbax's import paths lead to our modules, and nowhere else."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from strongbax.buffer import flashbax_sum_tree, flashbax_utils

PATHS = """
import strongbax, sys
strongbax.flashbax_alias.install()
strongbax.flashbax_alias.install()
import flashbax as fbx
import flashbax.buffers.sum_tree
import flashbax.utils
from flashbax.buffers import mixer, trajectory_queue
from flashbax.buffers.flat_buffer import ExperiencePair, TrajectoryBuffer, TrajectoryBufferState
from flashbax.buffers.item_buffer import make_item_buffer
from flashbax.buffers.mixer import make_mixer
from flashbax.buffers.prioritised_flat_buffer import PrioritisedTransitionSample
from flashbax.buffers.prioritised_item_buffer import make_prioritised_item_buffer
from flashbax.buffers.prioritised_trajectory_buffer import set_priorities
from flashbax.buffers.trajectory_buffer import BufferState
from flashbax.vault import Vault
import flashbax.vault.vault
assert Vault is flashbax.vault.vault.Vault is fbx.vault.Vault
assert Vault.__module__ == "strongbax.vault.flashbax_vault"
assert fbx.make_flat_buffer is strongbax.make_flat_buffer
assert fbx.flat_buffer is strongbax.buffer.flat_buffer is sys.modules["flashbax.buffers.flat_buffer"]
assert fbx.buffers.sum_tree is strongbax.buffer.flashbax_sum_tree
genuine = [n for n, m in sys.modules.items() if n.startswith("flashbax") and "site-packages" in str(m)]
assert not genuine, genuine
for name in ("flashbax.version", "flashbax.vault.nothing", "flashbax.buffers.nothing"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        assert "is not served" in str(error), error
    else:
        raise AssertionError(name)
"""


def test_every_path_leads_to_ours():
    """All modules seen in use are there, installing twice is once, and what is not ours is refused."""
    done = subprocess.run([sys.executable, "-c", PATHS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_genuine_package_is_not_replaced(monkeypatch):
    """Where it was imported before, code already holds its functions: installing is an error."""
    monkeypatch.setitem(sys.modules, "flashbax", sys)
    with pytest.raises(ImportError, match="must come before the first import of `flashbax`"):
        fbx.flashbax_alias.install()


def test_axes_are_added_to_the_arguments_that_were_meant():
    """Positional or by name, the batch gets its axis and the state does not; named keys get it too."""

    def shapes(state, batch, other=None):
        return [None if x is None else x.shape for x in (state, batch, other)]

    array = jnp.zeros(3)
    wrapped = flashbax_utils.add_dim_to_args(shapes, axis=0, ending_arg_index=2)
    assert wrapped(array, array) == wrapped(state=array, batch=array) == [(3,), (1, 3), None]
    named = flashbax_utils.add_dim_to_args(shapes, axis=1, kwargs_on_device_keys=["other"])
    assert named(array, batch=array, other=array) == [(3,), (3,), (3, 1)]


def test_counts_of_states():
    """Steps held over all streams, and the capacity, of states with or without a count of laps."""
    buffer = fbx.make_trajectory_buffer(2, 1, 1, 1, 1, max_length_time_axis=4)
    state = buffer.init(0).replace(current_index=np.int32(3), laps=None)
    assert int(flashbax_utils.get_timestep_count(state)) == 6
    assert int(flashbax_utils.get_timestep_count(state.replace(is_full=np.bool_(True)))) == 8
    assert flashbax_utils.get_max_index(state) == 4
    with pytest.raises(ValueError, match=r"got \[\(2,\), \(3,\)\]"):
        flashbax_utils.get_tree_shape_prefix((jnp.zeros(2), jnp.zeros(3)))


def test_a_tree_takes_no_other_dtype():
    """Float64 is what Flashbax's users take against drift; it is refused rather than passed over."""
    assert flashbax_sum_tree.init(8, jnp.float32).capacity == 8
    with pytest.raises(ValueError, match=r"`dtype` must be float32: got float64\. Leave it out"):
        flashbax_sum_tree.init(8, np.float64)
    with pytest.raises(ValueError, match="Either the `rng_key` or the `query_value`"):
        flashbax_sum_tree.sample(flashbax_sum_tree.init(8))
