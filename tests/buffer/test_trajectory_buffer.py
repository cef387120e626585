"""The trajectory buffer: its state, its count, and the transformations it lives under."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from strongbax.buffer.trajectory_buffer import TrajectoryBufferState, can_sample, sample

BUFFER = fbx.make_trajectory_buffer(
    add_batch_size=2,
    sample_batch_size=16,
    sample_sequence_length=3,
    period=1,
    min_length_time_axis=4,
    max_length_time_axis=5,
)
BUFFER = BUFFER.replace(add=jax.jit(BUFFER.add), sample=jax.jit(BUFFER.sample))


class Step(NamedTuple):
    obs: jax.Array
    rest: tuple[dict[str, jax.Array], ...]


STEP = Step(obs=jnp.zeros(2), rest=({"reward": jnp.zeros((), jnp.float16)},))


def steps(first, length, streams=2):
    """Steps that all hold `100 * stream + time`."""
    ids = 100 * np.arange(streams)[:, None] + np.arange(first, first + length)[None]
    obs = np.repeat(ids[..., None], 2, axis=-1).astype(np.float32)
    return Step(obs=obs, rest=({"reward": ids.astype(np.float16)},))


def assert_runs(windows, held):
    """Every window is three steps in a row, all of them among the times held."""
    reward = np.asarray(windows.rest[0]["reward"], np.int32)
    np.testing.assert_array_equal(np.diff(reward, axis=-1), 1)
    assert set((reward % 100).ravel().tolist()) <= set(held)
    np.testing.assert_array_equal(windows.obs, np.repeat(reward[..., None], 2, axis=-1))


def test_add_and_sample_take_keywords_and_keep_containers():
    """Windows come back in the containers of the step that `init` was given, in the order of adding."""
    state = BUFFER.init(STEP)
    state = BUFFER.add(state=state, batch=steps(0, 4))
    state = BUFFER.add(state, batch=steps(4, 3))
    drawn = BUFFER.sample(state=state, rng_key=jax.random.key(0)).experience
    assert drawn.obs.shape == (16, 3, 2)
    assert_runs(drawn, held=range(2, 7))


def test_an_empty_sequence_changes_nothing():
    """Adding no steps gives the state that was."""
    state = BUFFER.add(BUFFER.init(STEP), steps(0, 3))
    jax.tree.map(np.testing.assert_array_equal, BUFFER.add(state, steps(3, 0)), state)


def test_can_sample_turns_with_the_minimum():
    """It is false below the minimum, true from it on, and stays true when the index comes round."""
    state, seen = BUFFER.init(STEP), []
    for time in range(6):
        seen.append(bool(BUFFER.can_sample(state)))
        state = BUFFER.add(state, steps(time, 1))
    assert seen == [False] * 4 + [True] * 2
    assert bool(BUFFER.can_sample(state))


def test_num_added_grows_by_what_is_added():
    """The count is exact over laps, on the host or the device, and None for a state built without it."""
    state, total = BUFFER.init(STEP), 0
    for length in (3, 5, 1, 4):
        state, total = BUFFER.add(state, steps(total, length)), total + length
        assert fbx.num_added(state) == fbx.num_added(jax.device_get(state)) == total
    assert fbx.num_added(state.replace(laps=None)) is None


def test_num_added_of_a_replicated_state_is_refused():
    """A state with leading axes has many counts; the message says how to take one."""
    state = jax.tree.map(lambda x: np.stack([x, x]), jax.device_get(BUFFER.init(STEP)))
    with pytest.raises(ValueError, match=r"leading axes \(2,\). Take one replica first: `jax.tree.map"):
        fbx.num_added(state)


@pytest.mark.parametrize("kind", ["numpy", "jax"])
def test_a_state_built_by_hand_works(kind):
    """A state of three fields is sampled by its own sizes, not the buffer's, and added to without a count."""
    made = steps(0, 9, streams=3)
    state = TrajectoryBufferState(
        experience=made if kind == "numpy" else jax.tree.map(jnp.asarray, made),
        current_index=0 if kind == "numpy" else jnp.array(0),
        is_full=True if kind == "numpy" else jnp.array(True),
    )
    assert BUFFER.can_sample(state)
    assert_runs(BUFFER.sample(state, jax.random.key(0)).experience, held=range(9))
    state = BUFFER.add(state, steps(9, 2, streams=3))
    assert state.laps is None
    assert int(state.current_index) == 2
    assert_runs(BUFFER.sample(state, jax.random.key(0)).experience, held=range(2, 11))


def test_pmap_and_replicated_states():
    """A state per device is made, added to, asked and sampled; `can_sample` works elementwise on it."""
    examples = jax.tree.map(lambda x: jnp.stack([x, x]), STEP)
    state = jax.pmap(BUFFER.init)(examples)
    batch = jax.tree.map(lambda *x: jnp.stack(x), steps(0, 4), steps(20, 4))
    state = jax.pmap(BUFFER.add)(state, batch)
    assert BUFFER.can_sample(state).tolist() == [True, True]
    drawn = jax.pmap(BUFFER.sample)(state, jax.random.split(jax.random.key(0))).experience
    for device, first in enumerate((0, 20)):
        assert_runs(jax.tree.map(lambda x, d=device: x[d], drawn), held=range(first, first + 4))


def test_vmap_gives_what_single_calls_give():
    """States stacked under vmap go the way of each alone, at different cursors and for the same keys."""
    states = [BUFFER.add(BUFFER.init(STEP), steps(0, 5)), BUFFER.add(BUFFER.init(STEP), steps(0, 3))]
    keys = jax.random.split(jax.random.key(1))

    def step(state, batch, key):
        state = BUFFER.add(state, batch)
        return state, BUFFER.sample(state, key).experience

    stack = lambda *x: jnp.stack(x)  # noqa: E731
    batches = jax.tree.map(stack, steps(5, 4), steps(3, 4))
    together = jax.jit(jax.vmap(step))(jax.tree.map(stack, *states), batches, keys)
    alone = jax.jit(step)
    apart = [alone(s, b, k) for s, b, k in zip(states, (steps(5, 4), steps(3, 4)), keys, strict=True)]
    jax.tree.map(np.testing.assert_array_equal, together, jax.tree.map(stack, *apart))


def test_scan_carries_the_state():
    """The state keeps its types through `add`, so that it is a carry of a scan; 64 bits or not."""
    for x64 in (False, True):
        with jax.enable_x64(x64):
            buffer = fbx.make_item_buffer(4, 1, 2, add_batches=True)
            start = buffer.init(jnp.zeros((), jnp.int32)).replace(current_index=jnp.array(0))
            state, _ = jax.lax.scan(
                lambda s, b, add=buffer.add: (add(s, b), None),
                start,
                jnp.arange(6, dtype=jnp.int32).reshape(2, 3),
            )
            assert state.experience.tolist() == [[4, 5, 2, 3]]


def test_an_unready_state_is_sampled_without_harm():
    """Sampling before there is a window gives slots that were never written, as Flashbax does."""
    drawn = BUFFER.sample(BUFFER.init(STEP), jax.random.key(0)).experience
    assert not np.asarray(drawn.obs).any()


def test_the_functions_of_the_module_take_flashbax_arguments():
    """`sample` and `can_sample` of the module take the names and the order that Flashbax gives them."""
    state = BUFFER.add(BUFFER.init(STEP), steps(0, 5))
    bound = BUFFER.sample(state, jax.random.key(2))
    free = jax.jit(sample, static_argnums=(2, 3, 4))(state, jax.random.key(2), 16, 3, 1)
    jax.tree.map(np.testing.assert_array_equal, bound, free)
    assert bool(can_sample(state, 4))
