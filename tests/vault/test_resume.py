"""A checkpoint gives back every kind of state as it was, with keys and whatever else a run needs."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import strongbax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from resume_run import bits
from strongbax.vault import ConflictError, Episode, GapError, NotFoundError, StorageError, Vault

STEP = {
    "key": jax.random.key(0),
    "observation": jnp.zeros(3, jnp.bfloat16),
    "reward": jnp.zeros(()),
    "terminated": jnp.zeros((), bool),
}
FLAT: dict[str, Any] = {"max_length": 16, "min_length": 2, "sample_batch_size": 2}
LONG: dict[str, Any] = {
    "add_batch_size": 2,
    "sample_batch_size": 2,
    "sample_sequence_length": 2,
    "max_length_time_axis": 8,
}
KINDS = {
    "trajectory": lambda: strongbax.make_trajectory_buffer(**LONG, period=1, min_length_time_axis=2),
    "flat": lambda: strongbax.make_flat_buffer(**FLAT, add_sequences=True, add_batch_size=2),
    "item": lambda: strongbax.make_item_buffer(**FLAT, add_sequences=True, add_batches=True),
    "prioritised trajectory": lambda: strongbax.make_prioritised_trajectory_buffer(
        **LONG, period=1, min_length_time_axis=2
    ),
    "prioritised flat": lambda: strongbax.make_prioritised_flat_buffer(
        **FLAT, add_sequences=True, add_batch_size=2
    ),
    "prioritised item": lambda: strongbax.make_prioritised_item_buffer(
        **FLAT, add_sequences=True, add_batches=True
    ),
    "queue": lambda: strongbax.make_trajectory_queue(8, 2, 3, 2),
    "episode": lambda: strongbax.make_episode_buffer(**LONG),
    "episode, prioritised": lambda: strongbax.make_episode_buffer(**LONG, short="pad", weights="priorities"),
}


def steps(count: int, seed: int, streams: int = 2) -> Any:
    """Random steps `[B, T, ...]`."""
    random = np.random.default_rng(seed)
    reward = random.normal(size=(streams, count)).astype(np.float32)
    leaves = {
        "observation": random.normal(size=(streams, count, 3)).astype(ml_dtypes.bfloat16),
        "reward": reward,
        "terminated": reward > 1,
    }
    keys = random.integers(0, 2**32, (streams, count, 2), np.uint32)
    return {"key": jax.random.wrap_key_data(keys), **jax.tree.map(jnp.asarray, leaves)}


def vault_for(path: Any, streams: int = 2) -> Vault:
    return Vault.create(path, steps=STEP, streams=streams, block=4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_state_comes_back_bit_for_bit(tmp_path, kind):
    """A state of any buffer, before and after its ring came round, is restored as it was."""
    buffer = KINDS[kind]()
    state, streams, add = buffer.init(STEP), 1 if "item" in kind else 2, jax.jit(buffer.add)
    with vault_for(tmp_path / "a.vault", streams) as vault:
        for count, seed in ((0, 0), (3, 1), (3, 2), (3, 3)):
            if count:
                state = add(state, steps(count, seed, streams))
            if kind == "queue" and seed == 2:
                state, _ = buffer.sample(state)
            vault.checkpoint(state)
            back, extra = vault.restore(buffer)
            assert bits(back) == bits(state)
            assert jax.tree.structure(back) == jax.tree.structure(state)
            assert extra == {}
        assert vault.length == (0 if kind == "queue" else 9)


def test_steps_are_not_written_twice(tmp_path):
    """A resume point has no more bytes than counters and priorities take, however large the ring is."""
    buffer = strongbax.make_trajectory_buffer(
        **{**LONG, "max_length_time_axis": 512}, period=1, min_length_time_axis=2
    )
    state = buffer.init(STEP)
    with vault_for(tmp_path / "a.vault") as vault:
        state = jax.jit(buffer.add)(state, steps(512, 0))
        vault.checkpoint(state)
        state = jax.jit(buffer.add)(state, steps(8, 0))
        vault.checkpoint(state)
        sizes = [file.stat().st_size for file in (tmp_path / "a.vault/resume").iterdir()]
        assert max(sizes) < 2048
        assert bits(vault.restore(buffer)[0]) == bits(state)


def test_replicated_states_come_back(tmp_path):
    """A state with leading axes, one replica a device say, is restored with them."""
    buffer = KINDS["prioritised trajectory"]()
    state = jax.vmap(lambda _: buffer.init(STEP))(jnp.arange(3))
    add = jax.jit(jax.vmap(buffer.add))
    for seed in range(4):
        block = steps(3, seed, streams=6)
        state = add(state, jax.tree.map(lambda leaf: leaf.reshape(3, 2, *leaf.shape[1:]), block))
    with vault_for(tmp_path / "a.vault", 6) as vault:
        vault.checkpoint(state)
        assert bits(vault.restore(buffer)[0]) == bits(state)


def test_sharded_states_come_back_sharded(tmp_path):
    """A state that is sharded by its streams is restored onto the same devices."""
    buffer = KINDS["trajectory"]()
    mesh = Mesh(np.array(jax.devices()[:2]), ("streams",))
    by_stream, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (["streams"], []))
    step = {name: leaf for name, leaf in STEP.items() if name != "key"}
    state = buffer.add(buffer.init(step), {name: leaf for name, leaf in steps(5, 0).items() if name != "key"})
    shardings = jax.tree.map(lambda leaf: by_stream if leaf.ndim else everywhere, state)
    state = jax.device_put(state, shardings)
    with Vault.create(tmp_path / "a.vault", like=state) as vault:
        vault.checkpoint(state)
        back, _ = vault.restore(buffer, device=shardings)
        assert bits(back) == bits(state)
        assert jax.tree.map(lambda leaf: leaf.sharding, back) == shardings
        assert vault.write(buffer.add(back, {n: v for n, v in steps(2, 1).items() if n != "key"})) == 2


def test_numpy_states_stay_numpy(tmp_path):
    """A state with NumPy leaves, and without a count of laps, comes back as one."""
    buffer = KINDS["trajectory"]()
    step = {"reward": np.float32(0)}
    state = buffer.init(step).replace(
        experience={"reward": np.arange(16, dtype=np.float32).reshape(2, 8)},
        current_index=np.int32(5),
        is_full=np.bool_(True),
        laps=None,
    )
    with Vault.create(tmp_path / "a.vault", like=state) as vault:
        vault.checkpoint(state)
        assert bits(vault.restore(buffer)[0]) == bits(state)


def test_slots_that_hold_something_unwritten_come_back(tmp_path):
    """What a program left in slots beyond the cursor is restored too, though no vault has it."""
    buffer = KINDS["trajectory"]()
    state = buffer.init({"reward": 0.0}).replace(
        experience={"reward": jnp.arange(16.0).reshape(2, 8)}, current_index=jnp.int32(3)
    )
    with Vault.create(tmp_path / "a.vault", like=state) as vault:
        assert vault.checkpoint(state) == 0
        assert vault.length == 3
        assert bits(vault.restore(buffer)[0]) == bits(state)


def test_steps_that_the_vault_has_elsewhere_come_back(tmp_path):
    """Rows of another origin between the ring's own, in this session or an earlier one, change nothing."""
    buffer = strongbax.make_item_buffer(**FLAT, add_sequences=True)
    state = buffer.init({"reward": 0.0})
    vault = Vault.create(tmp_path / "a.vault", like=state)
    for number in range(6):
        state = buffer.add(state, {"reward": jnp.arange(4.0) + 100 * number})
        vault.checkpoint(state)
        if number != 3:
            vault.append(Episode({"reward": np.full(2, -1.0, np.float32)}))
        if number == 1:
            vault.close()
            vault = Vault.open(tmp_path / "a.vault", mode="a")
    assert bits(vault.restore(buffer)[0]) == bits(state)
    assert vault.verify().ok
    vault.close()


def test_steps_that_were_never_flushed_are_refused_or_noted(tmp_path):
    """A checkpoint of a ring that overwrote unflushed steps is a gap, as in `write`."""
    buffer = KINDS["flat"]()
    state = buffer.add(buffer.init(STEP), steps(5, 0))
    with vault_for(tmp_path / "a.vault") as vault:
        vault.checkpoint(state)
        for seed in (1, 2):
            state = buffer.add(state, steps(7, seed))
        with pytest.raises(GapError):
            vault.checkpoint(state)
        assert vault.resume_points == (0,)
        vault.checkpoint(state, on_gap="record")
        assert bits(vault.restore(buffer)[0]) == bits(state)


def test_a_checkpoint_waits_for_flushes_that_are_on_their_way(tmp_path, monkeypatch):
    """A resume point is not made before the steps that it needs are durable, whoever flushed them."""
    buffer = KINDS["trajectory"]()
    state = buffer.add(buffer.init(STEP), steps(5, 0))
    with vault_for(tmp_path / "a.vault") as vault:
        commit, failing = vault._flusher._writer.commit, [True, False]

        def slow(flush: Any) -> None:
            time.sleep(0.2)
            if failing.pop(0):
                raise StorageError("the disk is full")
            commit(flush)

        monkeypatch.setattr(vault._flusher._writer, "commit", slow)
        vault.write(state, wait=False)
        with pytest.raises(StorageError):
            vault.checkpoint(state)
        assert vault.resume_points == ()
        handle = vault.write(state, wait=False)
        vault.checkpoint(state)
        assert handle.done()
        assert bits(vault.restore(buffer)[0]) == bits(state)


class Adam(NamedTuple):
    nu: Any
    mu: Any


EXTRA = {
    "params": {"w": jnp.ones((2, 3), jnp.bfloat16), "b": np.zeros(3, ml_dtypes.float8_e4m3fn)},
    "opt": Adam(nu=jnp.arange(3), mu=(np.float64(1 / 3), [np.int8(-1), None])),
    "numbers": [0, -(2**70), 0.1, float("inf"), True, "text é"],
    "times": np.array(["2020-01-01"], "datetime64[D]"),
    "names": np.array(["a", "bcd"]),
    "empty": [{}, (), np.zeros((0, 2), np.uint16)],
    "nothing": None,
    "integers": {7: "a", 3: "b"},
}


@pytest.mark.parametrize("typed", [True, False])
def test_keys_and_extra_come_back_as_they_were(tmp_path, typed):
    """Arrays with their dtypes, numbers with their bits, containers, typed and raw keys are restored."""
    key = jax.random.key(9, impl="rbg") if typed else jax.random.PRNGKey(9)
    keys = {"actor": key, "learner": jax.random.split(key, 3)}
    buffer = KINDS["trajectory"]()
    with vault_for(tmp_path / "a.vault") as vault:
        vault.checkpoint(buffer.init(STEP), keys, EXTRA)
    with Vault.open(tmp_path / "a.vault") as vault:
        plain = vault.restore(buffer)[1]
        _, extra = vault.restore(buffer, extra_like={**EXTRA, "key": keys})
    wanted = {**EXTRA, "key": keys}
    assert bits(plain) == bits({**wanted, "opt": EXTRA["opt"]._asdict()})
    assert bits(extra) == bits(wanted)
    assert jax.tree.structure(extra) == jax.tree.structure(wanted)
    if typed:
        assert extra["key"]["actor"].dtype == key.dtype


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"a": {"f": object()}}, "`extra/a/f` must be an array, a number"),
        ({"a": np.array([object()])}, "`extra/a` cannot be kept"),
        ({"a": {1.5: 0}}, "must be strings or integers: got 1.5"),
        ([1], "`extra={'params': params}`"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(tmp_path, extra, message):
    """An object that is no plain value is an error that names it, and nothing is written."""
    buffer = KINDS["trajectory"]()
    with vault_for(tmp_path / "a.vault") as vault:
        with pytest.raises(TypeError) as caught:
            vault.checkpoint(buffer.add(buffer.init(STEP), steps(3, 0)), extra=extra)
        assert message in str(caught.value)
        assert vault.length == 0
        assert vault.resume_points == ()


def test_another_buffer_is_refused(tmp_path):
    """A state is not forced into a buffer of other sizes, or of another kind."""
    buffer = KINDS["prioritised trajectory"]()
    larger = strongbax.make_prioritised_trajectory_buffer(
        **{**LONG, "max_length_time_axis": 16}, period=1, min_length_time_axis=2
    )
    with vault_for(tmp_path / "a.vault") as vault:
        vault.checkpoint(buffer.init(STEP))
        with pytest.raises(ValueError, match="`buffer` must have the sizes"):
            vault.restore(larger)
        with pytest.raises(ValueError, match=r"lacks .*running_index"):
            vault.restore(KINDS["trajectory"]())
        with pytest.raises(TypeError, match="`buffer` must be a buffer"):
            vault.restore(buffer.init(STEP))
        with pytest.raises(ValueError, match="no 'lr'"):
            vault.restore(buffer, extra_like={"lr": 0.0})


def test_arguments_are_checked(tmp_path):
    """Wrong arguments are told apart from a vault that is at fault."""
    buffer = KINDS["trajectory"]()
    with vault_for(tmp_path / "a.vault") as vault:
        with pytest.raises(ValueError, match="`keep` must be at least 1: got 0"):
            vault.checkpoint(buffer.init(STEP), keep=0)
        with pytest.raises(ValueError, match="`extra` must not have a 'key'"):
            vault.checkpoint(buffer.init(STEP), jax.random.key(0), {"key": 1})
        with pytest.raises(NotFoundError, match=r"has no resume point. Make one with `vault.checkpoint"):
            vault.restore(buffer)
        vault.checkpoint(buffer.init(STEP))
        with pytest.raises(NotFoundError, match=r"no resume point 4: there are \[0\]"):
            vault.restore(buffer, step=4)


def test_a_restored_ring_may_lap_before_it_is_flushed(tmp_path):
    """A restored ring is known, also when it shares no step with the vault any more: no question, a gap."""
    buffer = KINDS["trajectory"]()
    state = buffer.add(buffer.init(STEP), steps(5, 0))
    with vault_for(tmp_path / "a.vault") as vault:
        vault.checkpoint(state)
    with Vault.open(tmp_path / "a.vault", mode="a") as vault:
        state, _ = vault.restore(buffer)
        exactly = buffer.add(state, steps(8, 1))
        with pytest.raises(GapError):
            vault.write(buffer.add(exactly, steps(1, 2)))
        assert vault.write(exactly) == 8
        assert vault.gaps == ()


def test_another_ring_after_restoring_is_another_history(tmp_path):
    """A restored state that is not used binds nobody: another ring is compared as ever."""
    buffer = KINDS["trajectory"]()
    state = buffer.add(buffer.init(STEP), steps(5, 0))
    with vault_for(tmp_path / "a.vault") as vault:
        vault.checkpoint(state)
        vault.restore(buffer)
        assert vault.write(buffer.add(buffer.init(STEP), steps(6, 9))) == 6
        assert [(gap.time, gap.lost) for gap in vault.gaps] == [(5, 0)]
        vault.restore(buffer)
        assert vault.write(buffer.add(state, steps(2, 3)), continues=False) == 7
    with Vault.open(tmp_path / "a.vault", mode="a") as vault, pytest.raises(ConflictError):
        vault.write(buffer.add(buffer.add(state, steps(8, 1)), steps(8, 4)))
