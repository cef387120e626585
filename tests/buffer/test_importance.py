"""Importance weights are those of Schaul et al. 2016, section 3.4."""

import jax
import jax.numpy as jnp
import numpy as np
import strongbax.buffer as fbx


def test_weights_are_those_of_the_paper():
    """They are `(M P(i)) ** -b`, divided by the greatest; `M` does not matter."""
    chances = np.array([0.5, 0.02, 0.3, 0.02], np.float32)
    for beta in (0.0, 0.4, 1.0):
        raw = (1000 * chances.astype(np.float64)) ** -beta
        np.testing.assert_allclose(fbx.importance_weights(chances, beta), raw / raw.max(), rtol=1e-6)


def test_beta_may_be_traced():
    """It is annealed over a run, without compiling again."""
    weights = jax.jit(fbx.importance_weights)(jnp.array([0.5, 0.25]), jnp.float32(0.5))
    np.testing.assert_allclose(weights, [0.5**0.5, 1], rtol=1e-6)


def test_fully_weighted_priorities_average_like_uniform_draws():
    """With `b` = 1 the weighted mean over many draws is the plain mean of what the buffer holds."""
    buffer = fbx.make_prioritised_trajectory_buffer(
        1, 4096, 1, 1, 1, max_length_time_axis=8, priority_exponent=1.0
    )
    values = jnp.arange(8.0)[None]
    state = buffer.add(buffer.init(0.0), values, priorities=values + 1)
    sample = jax.jit(buffer.sample)(state, jax.random.key(0))
    weights = np.asarray(fbx.importance_weights(sample.probabilities, 1.0), np.float64)
    np.testing.assert_allclose(np.average(sample.experience[:, 0], weights=weights), 3.5, rtol=0.01)
