"""The mixer takes from each buffer its share, and a fair part of what it holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strongbax.buffer as fbx

MIXED = 50


def uniform(size=8, batch=4):
    return fbx.make_item_buffer(size, 1, batch, False, True)


def prioritised(size=64, batch=4):
    return fbx.make_prioritised_item_buffer(size, 1, batch, False, True)


def filled(buffer, first, size):
    return jax.jit(buffer.add)(buffer.init(0), jnp.arange(first, first + size))


def test_the_batch_is_full_and_fair_over_prioritised_buffers():
    """Buffers made with small batches give their whole share, and each item of equal priority is as likely
    as any: also where `sample` was replaced by a jitted one, whose size of batch is fixed.
    """
    buffers = [prioritised(), prioritised()]
    states = [filled(buffer, first, 64) for buffer, first in zip(buffers, (0, 1000), strict=True)]
    buffers[1] = buffers[1].replace(sample=jax.jit(buffers[1].sample))
    mixer = fbx.make_mixer(buffers, MIXED, [0.3, 0.7])
    drawn = jax.jit(jax.vmap(mixer.sample, (None, 0)))(states, jax.random.split(jax.random.key(0), 200))
    assert mixer.batch_sizes == (15, 35)
    items = np.asarray(drawn.experience)
    assert items.shape == drawn.probabilities.shape == (200, MIXED)
    assert ((items >= 1000).sum(1) == 35).all()
    np.testing.assert_array_equal(np.asarray(drawn.indices), items % 1000)
    for part in (items[:, :15], items[:, 15:] - 1000):
        counts = np.bincount(part.ravel(), minlength=64)
        assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 118  # chi-square, 63 df: p > 3e-5


def test_shares_are_rounded_down_and_the_rest_is_the_first_ones():
    """Sizes are Flashbax's; a buffer without a share gives nothing."""
    buffers = [uniform(), uniform(), uniform()]
    assert fbx.make_mixer(buffers, 10, [1, 1, 1]).batch_sizes == (4, 3, 3)
    assert fbx.make_mixer(buffers, 10, [0, 1, 2]).batch_sizes == (0, 4, 6)
    mixer = fbx.make_mixer(buffers, 10, [0, 1, 2])
    states = [filled(buffer, first, 4) for buffer, first in zip(buffers, (0, 10, 20), strict=True)]
    drawn = np.asarray(jax.jit(mixer.sample)(states, jax.random.key(0)).experience)
    np.testing.assert_array_equal(drawn // 10, [1] * 4 + [2] * 6)


def test_states_may_be_a_tuple_and_all_must_be_ready():
    """Any sequence of states will do; one that is empty makes the answer false."""
    buffers = [uniform(), uniform()]
    mixer, states = fbx.make_mixer(buffers, 4, [1, 1]), [filled(buffers[0], 0, 4), buffers[1].init(0)]
    assert not mixer.can_sample(states)
    states[1] = filled(buffers[1], 4, 4)
    assert mixer.can_sample(tuple(states))
    assert jax.eval_shape(mixer.sample, tuple(states), jax.random.key(0)).experience.shape == (4,)


def test_what_cannot_be_mixed_is_refused():
    """There is one share a buffer, none is negative, one is above 0, and the buffers are of one type."""
    one, other = uniform(), prioritised()
    with pytest.raises(ValueError, match="one number for each buffer: got 1 for 2"):
        fbx.make_mixer([one, one], 4, [1])
    with pytest.raises(ValueError, match=r"got \[1, -1\]. They are shares"):
        fbx.make_mixer([one, one], 4, [1, -1])
    with pytest.raises(TypeError, match="got TrajectoryBuffer and PrioritisedTrajectoryBuffer"):
        fbx.make_mixer([one, other], 4, [1, 1])
    with pytest.raises(ValueError, match="`sample_batch_size` must be at least 1"):
        fbx.make_mixer([one], 0, [1])
