"""Importance weights: what makes up for drawing by priority.

What is drawn often must count less each time, or the learner sees another distribution than the buffer holds.

Letters: `N` batch.

References:
  Schaul et al. 2016, Prioritized Experience Replay, https://arxiv.org/abs/1511.05952
"""

from typing import Any

import jax.numpy as jnp
from jax import Array


def importance_weights(probabilities: Any, beta: Any) -> Array:
    """Computes `w_i = (M P(i))^-b / max_j w_j` (Schaul et al. 2016, section 3.4).

    The maximum is over the batch. `M`, the windows that the buffer holds, cancels.

    Args:
      probabilities: float32 `[N]`, `P(i)`, as in a sample.
      beta: `b`, from 0 (no correction) to 1 (full correction).

    Returns:
      Float32 `[N]`, in `[0, 1]`. 0 where the probability is 0, as in a sample of a state that holds nothing
      to be drawn.

    Example:
      >>> importance_weights(jnp.array([0.1, 0.2, 0.4]), beta=1.0)
      Array([1.  , 0.5 , 0.25], dtype=float32)
    """
    chances = jnp.asarray(probabilities)
    drawn = chances > 0
    least = jnp.min(jnp.where(drawn, chances, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(drawn, (least / jnp.where(drawn, chances, 1.0)) ** beta, 0.0)
