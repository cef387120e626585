"""One of two processes that load a vault, and batches of it, into arrays over the devices of both.

Arguments: port, number of this process, vault, file for what this process holds.
"""

import sys

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec


def held(leaf):
    """What this process has of a global array, in order."""
    shards = sorted(leaf.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])


def main(port, number, path, out):
    jax.config.update("jax_num_cpu_devices", 1)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(number))
    import strongbax.buffer as fbx
    from strongbax import Vault
    from strongbax.vault.reader import Snapshot

    spans, read_leaves = [], Snapshot.read_leaves

    def noted(self, names, start, stop, streams=slice(None), outs=None):
        spans.append((streams.start, streams.stop))
        return read_leaves(self, names, start, stop, streams, outs)

    Snapshot.read_leaves = noted
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    vault = Vault.open(path)
    buffer = fbx.make_trajectory_buffer(2, 8, 3, 1, 3, max_length_time_axis=60)
    state = vault.load(buffer, device=sharding)
    sampled = jax.jit(buffer.sample)(state, jax.random.key(0))
    assert sampled.experience["reward"].shape == (8, 3)
    (read,) = set(spans)
    loader = vault.loader(8, 3, short="pad", seed=4, device=sharding)
    loader.step = 3
    batches = iter(loader)
    batch = next(batches)
    batches.close()
    total = jax.jit(lambda sample: sample.indices.sum())(batch)
    leaves = {f"state/{name}": held(leaf) for name, leaf in state.experience.items()}
    leaves |= {f"batch/{name}": held(leaf) for name, leaf in batch.experience.items()}
    np.savez(out, read=read, sum=np.asarray(total), indices=held(batch.indices), **leaves)


if __name__ == "__main__":
    main(*sys.argv[1:])
