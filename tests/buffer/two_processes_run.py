"""One of two processes that share a sharded state: trains, and writes down what it has.

Arguments: the process's number, the port that process 0 listens on, a folder.
"""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import strongbax.buffer as fbx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from strongbax import Vault

STREAMS, TURNS = 4, 6
STEP = {"id": np.int32(0), "done": np.bool_(0)}  # not jnp: no device is to be touched before `initialize`
COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-", "reduce-scatter")


def steps(turn):
    """The steps of all streams."""
    ids = np.arange(STREAMS, dtype=np.int32)[:, None] * 100 + np.arange(
        3 * turn, 3 * turn + 3, dtype=np.int32
    )
    return {"id": ids, "done": ids % 5 == 4}


def turn(buffer, state, batch, key):
    """One turn of a training loop."""
    state = buffer.add(state, batch)
    sample = buffer.sample(state, key)
    priorities = sample.experience.first["id"].astype(jnp.float32) % 7
    return buffer.set_priorities(state, sample.indices, priorities), sample


def run(devices):
    """Trains over all devices; gives the buffer, and the last state and sample.

    Each process makes the steps of its own streams only.
    """
    mesh = Mesh(np.array(devices), ("streams",), axis_types=(AxisType.Auto,))
    by_stream = NamedSharding(mesh, PartitionSpec("streams"))
    buffer = fbx.shard(fbx.make_prioritised_flat_buffer(8 * STREAMS, 8, 16, True, STREAMS), mesh)
    state, sample = buffer.init(STEP), None
    program = jax.jit(functools.partial(turn, buffer), donate_argnums=0)

    def local(leaf):
        mine = leaf[by_stream.addressable_devices_indices_map(leaf.shape)[jax.local_devices()[0]]]
        rows = leaf if jax.process_count() == 1 else mine
        return jax.make_array_from_process_local_data(by_stream, rows, leaf.shape)

    for number in range(TURNS):
        key = jax.random.fold_in(jax.random.key(0), number)
        batch = jax.tree.map(local, steps(number))
        if not number:
            text = program.lower(state, batch, key).compile().as_text()
            assert not any(word in text for word in COLLECTIVES)
        state, sample = program(state, batch, key)
    return buffer, state, sample


def main():
    number, port, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=number)
    buffer, state, sample = run(jax.devices())
    ready = bool(buffer.can_sample(state))
    with Vault.open(folder / "a.vault", mode="a", part=f"process-{number}", streams=STREAMS // 2) as part:
        try:
            part.write(state)
        except ValueError as error:
            assert "`state` must lie on devices of this process" in str(error)  # noqa: PT017 - in no test
        else:
            raise AssertionError("the state of two processes was written by one")
        state, sample = jax.tree.map(lambda leaf: leaf.addressable_data(0), (state, sample))
        part.write(state)
    np.savez(folder / f"{number}.npz", np.array(ready), *jax.tree.leaves((state, sample)))
    jax.distributed.shutdown()


if __name__ == "__main__":
    main()
