"""A state of any buffer comes back onto the devices that it lay on, as replicas or parted by streams."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from resume_run import bits
from strongbax.vault import Vault

STEP = {"id": jnp.zeros((), jnp.int32), "terminated": jnp.zeros((), bool)}
SIZES: dict[str, Any] = {
    "add_batch_size": 2,
    "sample_batch_size": 2,
    "sample_sequence_length": 2,
    "max_length_time_axis": 4,
}
KINDS = {
    "prioritised": lambda: strongbax.make_prioritised_trajectory_buffer(
        **SIZES, period=1, min_length_time_axis=2
    ),
    "episode": lambda: strongbax.make_episode_buffer(**SIZES),
    "queue": lambda: strongbax.make_trajectory_queue(4, 2, 1, 2),
}
MESH = Mesh(np.array(jax.devices()[:2]), ("device",))
PARTED, WHOLE = (NamedSharding(MESH, PartitionSpec(*axes)) for axes in (["device"], []))


@functools.cache
def functions(kind: str, *, replicated: bool) -> Any:
    """The buffer, and `init` and `add` under jit, over two replicas or one state."""
    buffer = KINDS[kind]()
    over = jax.vmap if replicated else (lambda function: function)

    def init() -> Any:
        return over(lambda _: buffer.init(STEP))(jnp.arange(2))

    return buffer, jax.jit(init), jax.jit(over(buffer.add))


def steps(first: int, *, replicated: bool) -> Any:
    """Two steps for each stream, no two alike."""
    streams = 4 if replicated else 2
    ids = first + np.add.outer(100 * np.arange(streams), np.arange(2)).astype(np.int32)
    ids = ids.reshape(2, 2, 2) if replicated else ids
    return {"id": ids, "terminated": ids % 3 == 0}


@pytest.mark.parametrize("replicated", [True, False], ids=["replicas", "streams"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_state_on_two_devices_comes_back_onto_them(tmp_path, kind, replicated):
    """Bits, shardings and what the buffer does next are those of the state that was checkpointed."""
    buffer, init, add = functions(kind, replicated=replicated)
    state = init()
    shardings = jax.tree.map(lambda leaf: PARTED if replicated or leaf.shape[:2] == (2, 4) else WHOLE, state)
    state = jax.device_put(state, shardings)
    with Vault.create(tmp_path / "a.vault", steps=STEP, streams=4 if replicated else 2, block=4) as vault:
        for first in (0, 2, 4):
            state = jax.device_put(add(state, steps(first, replicated=replicated)), shardings)
            vault.checkpoint(state)
        vault.close()
    with Vault.open(tmp_path / "a.vault", mode="a") as vault:
        back, _ = vault.restore(buffer, device=shardings)
        assert bits(back) == bits(state)
        assert jax.tree.map(lambda leaf: leaf.sharding, back) == shardings
        after, wanted = (add(one, steps(6, replicated=replicated)) for one in (back, state))
        assert bits(after) == bits(wanted)
        if kind != "queue":
            assert vault.write(after) == 2
            assert vault.gaps == ()
