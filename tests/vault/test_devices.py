"""Batches and states come to devices, and over meshes of them, by threads that end with the iteration."""

import gc
import socket
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest
import strongbax.buffer as fbx
from jax.sharding import NamedSharding, PartitionSpec
from strongbax.vault import CorruptionError
from strongbax.vault.placement import Box
from vault_rings import SHAPES, same
from view_model import make

LENGTHS = [3, 9, 1, 17, 4, 8, 2]


def over_devices(*axes):
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec(*axes))


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("strongbax-loader")]


def test_batches_are_laid_over_a_mesh(tmp_path):
    """By a sharding a batch is one array over all its devices, and the batch that one device would get."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS)
    sharding = over_devices("data")
    sharded = next(iter(vault.loader(8, 3, short="pad", device=sharding, next_observation=True)))
    whole = vault.loader(8, 3, short="pad", next_observation=True).batch(0)
    for leaf, other in zip(jax.tree.leaves(sharded), jax.tree.leaves(whole), strict=True):
        assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
        assert leaf.addressable_shards[0].data.shape[0] == 4
        assert same(leaf, other)


def test_batches_go_to_the_device_that_was_asked_for(tmp_path):
    """To `device`, or to the default that the iterating thread was told."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS)
    second = jax.devices()[1]
    assert next(iter(vault.loader(2, 3, device=second))).mask.devices() == {second}
    with jax.default_device(second):
        assert next(iter(vault.loader(2, 3))).mask.devices() == {second}


def test_processes_share_a_batch(tmp_path):
    """A process finds its part by its number; a process alone has all."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS)
    whole = vault.loader(4, 3).batch_numpy(2)
    alone = vault.loader(4, 3, shard="process").batch_numpy(2)
    assert all(map(same, jax.tree.leaves(whole), jax.tree.leaves(alone)))


def test_numpy_batches_come_without_a_device(tmp_path):
    """The NumPy iterator gives the batches of the other, and goes on where `step` says."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS)
    loader = vault.loader(4, 3, seed=1)
    loader.step = 5
    batch = next(loader.numpy())
    assert type(batch.experience["reward"]) is np.ndarray
    assert same(batch.indices, loader.batch_numpy(5).indices)
    assert loader.step == 6


@pytest.mark.parametrize("how", ["break", "close", "drop"])
def test_threads_end_with_the_iteration(tmp_path, how):
    """A loader that is left in the midst of things leaves no thread behind."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS)
    loader = vault.loader(4, 3, prefetch=3)
    batches = iter(loader)
    next(batches)
    assert threads()
    if how == "break":
        del batches
        for _ in loader:
            assert threads()
            break
    elif how == "close":
        batches.close()
    else:
        del batches
    gc.collect()
    assert not threads()


def test_what_fails_in_a_thread_is_raised_where_it_was_due(tmp_path):
    """The batches before it come; then its error, as if it had been asked for; then nothing runs on."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS)
    loader = vault.loader(1, 1, prefetch=2, seed=3)
    (tmp_path / "a.vault" / "steps" / "reward" / "c.0.1").unlink()
    with pytest.raises(CorruptionError, match=r"the shard c\.0\.1 is missing"):
        for _ in loader:
            pass
    with pytest.raises(CorruptionError):
        loader.batch(loader.step)
    for step in range(loader.step):
        loader.batch(step)
    assert not threads()


@pytest.mark.parametrize(
    ("axes", "make_buffer"),
    [
        (("data",), fbx.make_trajectory_buffer),
        ((None, "data"), fbx.make_trajectory_buffer),
        (("data",), fbx.make_episode_buffer),
    ],
)
def test_vault_is_loaded_over_a_mesh(tmp_path, axes, make_buffer):
    """By streams or by time, each device holds its part, and the state is the one of one device."""
    vault, _ = make(tmp_path / "a.vault", [20, 3, 30], streams=2, seed=2)
    sharding = over_devices(*axes)
    buffer = make_buffer(
        add_batch_size=2,
        sample_batch_size=8,
        sample_sequence_length=3,
        max_length_time_axis=60,
        min_length_time_axis=3,
        period=1,
    )
    state, other = vault.load(buffer, device=sharding), vault.load(buffer)
    for name in SHAPES:
        leaf = state.experience[name]
        assert make_buffer is fbx.make_episode_buffer or leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
        assert same(leaf, other.experience[name])
    assert same(state.current_index, other.current_index)
    assert len(state.current_index.sharding.device_set) == 2
    sample = jax.jit(buffer.sample)
    drawn = [jax.device_get(sample(one, jax.random.key(0))) for one in (state, other)]
    assert all(map(same, *map(jax.tree.leaves, drawn)))


def test_streams_that_do_not_divide_are_refused(tmp_path):
    """A view is one stream, which no two devices can share: the error comes before anything is read."""
    vault, _ = make(tmp_path / "a.vault", LENGTHS)
    buffer = fbx.make_flat_buffer(50, 1, sample_batch_size=4)
    with pytest.raises(ValueError, match="`device` must divide"):
        vault.load(buffer, device=over_devices("data"))


def test_box_finds_parts_of_a_global_array():
    """A part of the whole array, in what this process has of it."""
    box = Box((8, 6), (4, 8), (0, 6))
    assert not box.whole
    assert box.inside((slice(6, 8), slice(None), slice(1, 2))) == (slice(2, 4), slice(0, 6), slice(1, 2))
    assert box.inside((slice(4, None),)) == (slice(0, 4),)


@pytest.mark.heavy  # two processes that compile: 15 s
def test_two_processes_load_one_state(tmp_path):
    """Each reads its streams and its windows; together they are what one process has."""
    vault, _ = make(tmp_path / "a.vault", [20, 3, 30], streams=2, seed=2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script, out = Path(__file__).parent / "mesh_process.py", tmp_path / "out"
    running = [
        subprocess.Popen([sys.executable, script, str(port), str(n), tmp_path / "a.vault", f"{out}{n}.npz"])
        for n in range(2)
    ]
    assert [one.wait(timeout=300) for one in running] == [0, 0]
    parts = [dict(np.load(f"{out}{n}.npz")) for n in range(2)]
    buffer = fbx.make_trajectory_buffer(2, 8, 3, 1, 3, max_length_time_axis=60)
    state, batch = vault.load(buffer), vault.loader(8, 3, short="pad", seed=4).batch(3)
    for name in SHAPES:
        assert same(np.concatenate([part[f"state/{name}"] for part in parts]), state.experience[name])
        assert same(np.concatenate([part[f"batch/{name}"] for part in parts]), batch.experience[name])
    assert same(np.concatenate([part["indices"] for part in parts]), batch.indices)
    assert [part["read"].tolist() for part in parts] == [[0, 1], [1, 2]]
    assert [int(part["sum"]) for part in parts] == [int(batch.indices.sum())] * 2
