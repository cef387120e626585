"""Buffers in host memory: the state stays on the host's device, samples go where they are wanted.

Another CPU device stands for the accelerator.
"""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from strongbax import Vault

HOST = jax.local_devices(backend="cpu")[0]
ACCELERATOR = jax.devices()[3]
STEP = {"id": jnp.zeros((), jnp.int32), "done": jnp.zeros((), bool)}
KEY = jax.random.key(3)


@functools.cache
def plain():
    return fbx.make_prioritised_flat_buffer(16, 4, 4, add_sequences=True, add_batch_size=2)


@functools.cache
def case():
    """A buffer in host memory that feeds the accelerator."""
    return fbx.in_host_memory(plain(), device=ACCELERATOR)


def steps(first):
    ids = jnp.arange(first, first + 6, dtype=jnp.int32).reshape(2, 3)
    return {"id": ids, "done": ids % 4 == 0}


def devices_of(tree):
    return {device for leaf in jax.tree.leaves(tree) for device in leaf.devices()}


def test_the_state_stays_and_samples_go():
    """Wherever batches and keys come from, the state is the host's and the sample the accelerator's."""
    buffer = case()
    state = buffer.init(STEP)
    assert devices_of(state) == {HOST}
    state = buffer.add(state, jax.device_put(steps(0), ACCELERATOR))
    assert bool(buffer.can_sample(state))
    sample = buffer.sample(state, jax.device_put(KEY, ACCELERATOR))
    assert devices_of(sample) == {ACCELERATOR}
    state = buffer.set_priorities(state, sample.indices, 1.0 + sample.probabilities)
    assert devices_of(state) == {HOST}


def test_it_does_what_the_buffer_does():
    """States and samples are those of the buffer itself, bit for bit, sampled before adding or after."""
    ours, theirs = case(), plain()
    one, other = ours.init(STEP), theirs.init(STEP)
    one, other = ours.add(one, steps(0)), jax.jit(theirs.add)(other, steps(0))
    (one, drawn), expected = fbx.sample_and_add(ours, one, KEY, steps(6)), theirs.sample(other, KEY)
    other = jax.jit(theirs.add)(other, steps(6))
    jax.tree.map(np.testing.assert_array_equal, (one, drawn), (other, expected))


def test_adding_is_in_place():
    """`add` writes where the state lies, and the state it was given is gone."""
    buffer = case()
    state = buffer.init(STEP)
    before = state.experience["id"].unsafe_buffer_pointer()
    after = buffer.add(state, steps(0))
    assert state.experience["id"].is_deleted()
    assert after.experience["id"].unsafe_buffer_pointer() == before


def test_a_mesh_is_fed():
    """Given a sharding, samples are laid out over its devices."""
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    buffer = fbx.in_host_memory(plain(), device=sharding)
    state = buffer.add(buffer.init(STEP), steps(0))
    assert buffer.sample(state, KEY).indices.sharding == sharding


def test_a_vault_takes_and_gives_it(tmp_path):
    """A state in host memory is flushed, kept and restored to the host, and adding to it goes on in place."""
    buffer = case()
    state = buffer.add(buffer.init(STEP), steps(0))
    with Vault.create(tmp_path / "a.vault", like=state) as vault:
        vault.checkpoint(state)
        back, _ = vault.restore(buffer, device=HOST)
        assert devices_of(back) == {HOST}
        jax.tree.map(np.testing.assert_array_equal, back, state)
        assert vault.write(buffer.add(back, steps(6))) == 3


def test_inside_a_program_it_is_refused():
    """The error says that the host runs it by itself, and where to call it."""
    buffer = case()
    state = buffer.init(STEP)
    with pytest.raises(
        TypeError, match=r"`sample` of a buffer in host memory must be called outside `jax.jit`"
    ):
        jax.jit(buffer.sample)(state, KEY)


@pytest.mark.parametrize("kind", ["queue", "sharded"])
def test_what_has_no_state_of_one_device_is_refused(kind):
    """Queues and sharded buffers are no such buffers, and the error says what is."""
    mesh = Mesh(np.array(jax.devices()[:2]), ("streams",))
    buffer = fbx.make_trajectory_queue(4, 8, 2, 2) if kind == "queue" else fbx.shard(plain(), mesh)
    with pytest.raises(TypeError, match=r"`buffer` must be .* that is not sharded: got "):
        fbx.in_host_memory(buffer)


def test_without_a_cpu_device_the_error_says_how_to_get_one(monkeypatch):
    """What was wanted, what JAX was started with, and the setting that mends it."""
    known = jax.local_devices

    def local_devices(backend=None):
        if backend == "cpu":
            raise RuntimeError("Unknown backend cpu")
        return known()

    monkeypatch.setattr(jax, "local_devices", local_devices)
    with pytest.raises(RuntimeError, match=re.escape("`JAX_PLATFORMS=cpu,cpu`")):
        fbx.in_host_memory(plain())
