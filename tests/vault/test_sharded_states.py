"""States over a mesh in a vault: flushed, resumed and loaded, back to the devices that they came from."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from strongbax import Vault

DEVICES, STREAMS = 4, 8
STEP = {"id": jnp.zeros((), jnp.int32), "done": jnp.zeros((), bool)}
KEY = jax.random.key(5)


def mesh():
    return jax.make_mesh((DEVICES,), ("streams",), axis_types=(jax.sharding.AxisType.Auto,))


@functools.cache
def buffer_of(kind):
    make = {
        "flat": lambda: fbx.make_flat_buffer(8 * STREAMS, 8, 8, True, STREAMS),
        "prioritised": lambda: fbx.make_prioritised_flat_buffer(8 * STREAMS, 8, 8, True, STREAMS),
        "episode": lambda: fbx.make_episode_buffer(STREAMS, 8, 2, 8, short="pad"),
    }[kind]
    return fbx.shard(make(), mesh())


def steps(time):
    ids = np.arange(STREAMS, dtype=np.int32)[:, None] * 100 + np.arange(time, time + 3, dtype=np.int32)
    return {"id": ids, "done": ids % 3 == 2}


@functools.cache
def add(kind):
    return jax.jit(buffer_of(kind).add)


def filled(kind, turns=4):
    state = buffer_of(kind).init(STEP)
    for turn in range(turns):
        state = add(kind)(state, steps(3 * turn))
    return state


def assert_alike(one, other):
    """The same values on the same devices."""
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert jax.tree.all(
        jax.tree.map(lambda a, b: a.sharding.is_equivalent_to(b.sharding, a.ndim), one, other)
    )


def test_flushes_take_what_is_new(tmp_path):
    """Each flush of a sharded state writes the steps of all streams that are new, and no other."""
    state = buffer_of("prioritised").init(STEP)
    with Vault.create(tmp_path / "a.vault", like=state) as vault:
        for turn in range(4):
            state = add("prioritised")(state, steps(3 * turn))
            assert vault.write(state) == 3
        expected = np.concatenate([steps(3 * turn)["id"] for turn in range(4)], axis=1)
        np.testing.assert_array_equal(vault.read_numpy()["id"], expected)


@pytest.mark.parametrize("kind", ["prioritised", pytest.param("episode", marks=pytest.mark.heavy)])
def test_resumed_states_are_on_their_devices(tmp_path, kind):
    """A checkpoint is restored bit for bit to the same devices, draws the same, and is flushed on."""
    buffer, state = buffer_of(kind), filled(kind, 2)
    where = fbx.state_shardings(jax.eval_shape(buffer.init, STEP), mesh())
    with Vault.create(tmp_path / "a.vault", like=state) as vault:
        if kind == "prioritised":
            state = buffer.set_priorities(state, buffer.sample(state, KEY).indices, jnp.arange(8.0))
        vault.checkpoint(state)
    with Vault.open(tmp_path / "a.vault", mode="a") as vault:
        back, _ = vault.restore(buffer, device=where)
        assert_alike(back, state)
        assert_alike(buffer.sample(back, KEY), buffer.sample(state, KEY))
        assert vault.write(add(kind)(back, steps(6))) == 3


@pytest.mark.parametrize("kind", [pytest.param("flat", marks=pytest.mark.heavy), "episode"])
def test_loaded_states_are_on_the_devices(tmp_path, kind):
    """`load` with a sharding gives a state to sample from and add to, its steps laid over the mesh."""
    buffer, state = buffer_of(kind), filled(kind)
    with Vault.create(tmp_path / "a.vault", like=state) as vault:
        vault.write(filled(kind, 2))
        vault.write(state)
        by_stream = jax.sharding.NamedSharding(mesh(), jax.sharding.PartitionSpec("streams"))
        loaded = vault.load(buffer, device=by_stream)
    where = fbx.state_shardings(loaded, mesh())
    for leaf, sharding in zip(
        jax.tree.leaves(loaded.experience), jax.tree.leaves(where.experience), strict=True
    ):
        assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
    assert loaded.experience["id"].shape == (STREAMS, 12)
    later = jax.device_put(loaded, where)
    drawn = buffer.sample(later, KEY)
    first = drawn.experience.first if kind == "flat" else jax.tree.map(lambda x: x[:, 0], drawn.experience)
    assert set(np.asarray(first["id"][:2]) // 100) <= {0, 1}
    assert np.isin(first["id"], np.concatenate([steps(t)["id"] for t in (0, 3, 6, 9)])).all()
    assert int(add(kind)(later, steps(12)).laps) == 1
