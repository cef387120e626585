"""The flat buffer: pairs of consecutive steps, from any layout of what is added."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx
from strongbax.buffer.flat_buffer import ExperiencePair, TrajectoryBuffer, TrajectoryBufferState


@pytest.mark.parametrize(
    ("add_sequences", "add_batch_size"), [(False, None), (True, None), (False, 2), (True, 2)]
)
def test_pairs_follow_each_other(add_sequences, add_batch_size):
    """Whatever axes a batch has, `second` is the step after `first` on its stream, and both are held."""
    buffer = fbx.make_flat_buffer(8, 2, 8, add_sequences, add_batch_size)
    streams = add_batch_size or 1
    capacity = 8 // streams
    state = buffer.init(jnp.zeros((), jnp.int32))
    for time in range(0, 10, 2):
        batch = np.arange(time, time + 2)[None] + 100 * np.arange(streams)[:, None]
        batch = batch.astype(np.int32) if add_batch_size else batch[0].astype(np.int32)
        for part in [batch] if add_sequences else np.moveaxis(batch, -1, 0):
            state = buffer.add(state=state, batch=part)
    assert isinstance(state, TrajectoryBufferState)
    assert fbx.num_added(state) == 10
    first, second = buffer.sample(state, jax.random.key(0)).experience
    np.testing.assert_array_equal(second, first + 1)
    assert set(np.asarray(first % 100).tolist()) <= set(range(10 - capacity, 9))
    assert first.shape == (8,)


def test_the_sample_is_a_named_pair():
    """The experience of a sample is an `ExperiencePair` with the step's own containers."""
    buffer = fbx.make_flat_buffer(4, 1, 3, True)
    state = buffer.init({"a": (0.0,)})
    pair = jax.eval_shape(buffer.sample, state, jax.random.key(0)).experience
    assert isinstance(pair, ExperiencePair)
    assert pair.first["a"][0].shape == pair.second["a"][0].shape == (3,)


def test_min_length_is_in_transitions_over_all_streams():
    """Two streams hold two transitions in two steps each; before that there is nothing to sample."""
    buffer = fbx.make_flat_buffer(8, 2, 4, add_batch_size=2)
    assert isinstance(buffer, TrajectoryBuffer)
    state, seen = buffer.init(0), []
    for _ in range(3):
        seen.append(bool(buffer.can_sample(state)))
        state = buffer.add(state, np.zeros(2, np.int32))
    assert seen == [False, False, True]


def test_max_length_is_rounded_down_to_whole_rows():
    """Ten steps over three streams make three slots a stream."""
    assert fbx.make_flat_buffer(10, 3, 4, add_batch_size=3).init(0).experience.shape == (3, 3)


def test_a_wrong_batch_is_told_in_its_own_axes():
    """The message speaks of the axes that this buffer is given."""
    buffer = fbx.make_flat_buffer(8, 2, 4, add_batch_size=2)
    with pytest.raises(fbx.BatchMismatchError, match=r"laid out `\[B, \.\.\.\]` .* shape \[2\], got \[3\]"):
        buffer.add(buffer.init(0), np.zeros(3, np.int32))
