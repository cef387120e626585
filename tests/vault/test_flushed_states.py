"""Every kind of state is flushed: JAX's and NumPy's, replicated, pmapped, vmapped, built by hand, donated."""

import asyncio
import dataclasses
import functools
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from strongbax.buffer.item_buffer import make_item_buffer
from strongbax.buffer.trajectory_buffer import TrajectoryBufferState, make_trajectory_buffer
from strongbax.vault import ConflictError, Vault
from vault_rings import SHAPES, Ring, Source, one_step, same

CAPACITY = 6
BUFFER = make_trajectory_buffer(
    add_batch_size=2,
    sample_batch_size=2,
    sample_sequence_length=2,
    period=1,
    min_length_time_axis=2,
    max_length_time_axis=CAPACITY,
)
add = jax.jit(BUFFER.add, donate_argnums=0)


def to_jax(state: Any) -> TrajectoryBufferState:
    return TrajectoryBufferState(**jax.tree.map(jnp.asarray, vars(state)))


def small(values: Any) -> Any:
    """Steps of two leaves, as the buffer's test step."""
    return {"observation": jnp.asarray(values, jnp.float32), "reward": jnp.asarray(values, jnp.float32)}


def numbers(start: int, stop: int) -> np.ndarray:
    """`[2, stop - start]`: the second stream counts down."""
    return np.stack([np.arange(start, stop), -np.arange(start, stop)]).astype(np.float32)


def test_a_training_loop_is_flushed(tmp_path):
    """What jitted, donated adds bring is in the vault, in order, once."""
    state = BUFFER.init(jax.tree.map(lambda x: x[0, 0], small(numbers(0, 1))))
    with Vault.create(tmp_path / "a.vault", like=state, block=8) as vault:
        for turn in range(8):
            state = add(state, small(numbers(3 * turn, 3 * turn + 3)))
            assert vault.write(state) == 3
        assert same(vault.read_numpy()["observation"], numbers(0, 24))


def test_a_state_may_be_donated_at_once(tmp_path):
    """After write(wait=False) returns, the state's memory may be overwritten: the vault has its copy."""
    state = BUFFER.init(jax.tree.map(lambda x: x[0, 0], small(numbers(0, 1))))
    with Vault.create(tmp_path / "a.vault", like=state, block=8) as vault:
        handles = []
        for turn in range(12):
            state = add(state, small(numbers(3 * turn, 3 * turn + 3)))
            handles.append(vault.write(state, wait=False))
        assert [handle.result() for handle in handles] == [3] * 12
        assert all(handle.done() for handle in handles)
        assert same(vault.read_numpy()["reward"], numbers(0, 36))


def test_numpy_leaves_may_be_overwritten_at_once(tmp_path):
    """A NumPy ring that is written in place after write(wait=False) returns does not change the vault."""
    ring = Ring(2, CAPACITY)
    with Vault.create(tmp_path / "a.vault", steps=one_step(), streams=2, block=4) as vault:
        source, given = Source(2), []
        for _ in range(6):
            given.append(source.steps(2))
            ring.add(given[-1])
            state = ring.state()
            vault.write(state, wait=False)
            for values in state.experience.values():
                values[...] = 1
        found = vault.read_numpy(leaves=["observation"])["observation"]
        assert same(found, np.concatenate([steps["observation"] for steps in given], axis=1))


@pytest.mark.parametrize("axes", [(), (1,), (2,), (2, 2)])
def test_leading_axes_are_streams(tmp_path, axes):
    """Replicated, vmapped or pmapped states are streams side by side, the outermost axis slowest."""
    copies = int(np.prod(axes, dtype=int))
    ring, source = Ring(2 * copies, CAPACITY), Source(2 * copies)
    ring.add(source.steps(8))
    plain = ring.state()

    def stacked(values: Any) -> np.ndarray:
        return np.broadcast_to(values, axes).copy()

    state = dataclasses.replace(
        plain,
        experience={name: x.reshape(*axes, 2, *x.shape[1:]) for name, x in plain.experience.items()},
        current_index=stacked(plain.current_index),
        is_full=stacked(plain.is_full),
        laps=stacked(plain.laps),
    )
    for number, given in enumerate((state, to_jax(state))):
        with Vault.create(tmp_path / f"{number}.vault", like=given, block=8) as vault:
            assert vault.streams == 2 * copies
            assert vault.write(given) == CAPACITY
            want = np.stack([step["observation"] for step in ring.history[2:]], axis=1)
            assert same(vault.read_numpy()["observation"], want)


def test_a_state_sharded_over_devices_is_flushed(tmp_path):
    """A pmapped state, one replica on each of two devices, is flushed whole."""
    ring, source = Ring(4, CAPACITY), Source(4)
    ring.add(source.steps(8))
    plain = ring.state()
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("d",))
    put = functools.partial(jax.device_put, device=jax.NamedSharding(mesh, jax.P("d")))
    state = TrajectoryBufferState(
        experience={name: put(x.reshape(2, 2, *x.shape[1:])) for name, x in plain.experience.items()},
        current_index=put(np.broadcast_to(plain.current_index, 2)),
        is_full=put(np.broadcast_to(plain.is_full, 2)),
        laps=put(np.broadcast_to(plain.laps, 2)),
    )
    with Vault.create(tmp_path / "a.vault", like=state, block=8) as vault:
        assert vault.write(state) == CAPACITY
        want = np.stack([step["pixels"] for step in ring.history[2:]], axis=1)
        assert same(vault.read_numpy()["pixels"], want)


def test_replicas_at_different_places_are_refused(tmp_path):
    """Replicas that were not added to alike cannot be streams of one vault, and the message says so."""
    ring = Ring(2, CAPACITY)
    ring.add(Source(2).steps(3))
    plain = ring.state()
    state = dataclasses.replace(
        plain,
        experience={name: x[:, None] for name, x in plain.experience.items()},
        current_index=np.array([3, 4]),
        is_full=np.array([False, False]),
        laps=np.array([0, 0]),
    )
    with Vault.create(tmp_path / "a.vault", like=state, block=8) as vault:
        with pytest.raises(ValueError, match=r"their current_index is \[3, 4\]") as caught:
            vault.write(state)
        assert "Write each to a vault of its own." in str(caught.value)
        assert vault.num_steps == 0


@pytest.mark.parametrize("build", [SimpleNamespace, dict])
def test_a_state_is_known_by_its_fields(tmp_path, build):
    """Anything with experience, current_index and is_full is a state; anything else is refused by name."""
    ring = Ring(2, CAPACITY)
    ring.add(Source(2).steps(4))
    fields = vars(ring.state()) | {"laps": None}
    state = build(**fields)
    with Vault.create(tmp_path / "a.vault", steps=one_step(), streams=2, block=8) as vault:
        if build is SimpleNamespace:
            del state.laps  # as in Flashbax's states
            assert vault.write(state) == 4
        else:
            with pytest.raises(TypeError, match="must be a buffer's state, with experience") as caught:
                vault.write(state)
            assert "got dict" in str(caught.value)


def test_a_loaded_state_goes_on_with_its_vault(tmp_path):
    """A vault loaded into a buffer, added to and written again, holds every step once."""
    state = BUFFER.init(jax.tree.map(lambda x: x[0, 0], small(numbers(0, 1))))
    with Vault.create(tmp_path / "a.vault", like=state, block=8) as vault:
        vault.write(add(state, small(numbers(0, 3))))
    for turn in range(1, 4):
        with Vault.open(tmp_path / "a.vault", mode="a") as vault:
            state = vault.load(BUFFER, start=max(0, vault.length - CAPACITY))
            assert vault.write(state) == 0
            state = add(state, small(numbers(3 * turn, 3 * turn + 3)))
            assert vault.write(state) == 3
            assert same(vault.read_numpy()["observation"], numbers(0, 3 * turn + 3))
            assert vault.gaps == ()


def test_a_vault_is_loaded_whole(tmp_path):
    """A vault larger than the buffer is loaded whole, and goes on as well."""
    with Vault.create(tmp_path / "a.vault", steps={"reward": np.float32(0)}, streams=2, block=8) as vault:
        ring = SimpleNamespace(
            experience={"reward": numbers(0, 20)}, current_index=np.int32(0), is_full=np.bool_(True)
        )
        vault.write(ring)
        state = vault.load(BUFFER)
        assert state.experience["reward"].shape == (2, 20)
        state = add(state, {"reward": jnp.asarray(numbers(20, 23))})
        assert vault.write(state) == 3
        assert same(vault.read_numpy()["reward"], numbers(0, 23))


def test_an_item_buffer_is_flushed(tmp_path):
    """The ring of an item buffer is one stream."""
    buffer = make_item_buffer(max_length=8, min_length=1, sample_batch_size=2, add_batches=True)
    state, jitted = buffer.init({"reward": jnp.float32(0)}), jax.jit(buffer.add)
    with Vault.create(tmp_path / "a.vault", like=state, block=4) as vault:
        for turn in range(5):
            state = jitted(state, {"reward": 3.0 * turn + jnp.arange(3, dtype=jnp.float32)})
            assert vault.write(state) == 3
        assert same(vault.read_numpy()["reward"], np.arange(15, dtype=np.float32)[None])


def test_of_a_lapped_loaded_state_nothing_is_guessed(tmp_path):
    """A loaded ring that went round before it was written shares nothing with the vault: it is asked for."""
    state = BUFFER.init(jax.tree.map(lambda x: x[0, 0], small(numbers(0, 1))))
    with Vault.create(tmp_path / "a.vault", like=state, block=8) as vault:
        vault.write(add(state, small(numbers(0, 3))))
    with Vault.open(tmp_path / "a.vault", mode="a") as vault:
        state = vault.load(BUFFER)
        for turn in range(1, 4):
            state = add(state, small(numbers(3 * turn, 3 * turn + 3)))
        with pytest.raises(ConflictError):
            vault.write(state)


def test_vaults_work_in_an_event_loop(tmp_path):
    """Everything works where an event loop runs already, as in a notebook."""
    ring = Ring(1, CAPACITY)
    ring.add(Source().steps(4))

    async def cell() -> int:
        with Vault.create(tmp_path / "a.vault", steps=one_step(), block=4) as vault:
            vault.write(ring.state(), wait=False)
            vault.read()
            return vault.write(ring.state())

    assert asyncio.run(cell()) == 0
    assert Vault.open(tmp_path / "a.vault").length == 4


def test_leaves_read_as_a_state_are_sampled(tmp_path):
    """What `read` and `load` give is a full state whose samples are the vault's steps."""
    ring = Ring(2, CAPACITY)
    ring.add(Source(2).steps(CAPACITY))
    with Vault.create(tmp_path / "a.vault", steps=one_step(), streams=2, block=4) as vault:
        vault.write(ring.state())
        state = vault.load(BUFFER, leaves=["action", "reward"])
    assert sorted(state.experience) == ["action", "reward"]
    assert bool(BUFFER.can_sample(state))
    sample = jax.jit(BUFFER.sample)(state, jax.random.key(0)).experience
    actions = {step["action"][stream] for step in ring.history for stream in range(2)}
    assert set(np.asarray(sample["action"]).ravel()) <= actions
    assert sample["action"].shape == (2, 2)
    assert SHAPES["action"][0] == sample["action"].dtype
