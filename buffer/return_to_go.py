"""The rewards still to come: of a window up to its end, or of whole streams up to the ends of episodes.

Letters: `B` streams or batch, `T` steps.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array, lax


def return_to_go(
    rewards: Any, last: Any = None, mask: Any = None, discount: float = 1.0, after: Any = None
) -> Array:
    """Sums the rewards from every step on.

    A window knows only the rewards that it holds. For the returns-to-go of whole episodes, as a decision
    transformer takes them, compute them once for the streams of a dataset, and sample them as one leaf more.

    Args:
      rewards: float `[B, T]`.
      last: bool `[B, T]`, whether an episode ends with a step; None where none does, as in a window.
      mask: bool `[B, T]`, whether there is a step; None for everywhere.
      discount: of one step.
      after: float `[B]`, the value of what the last step led to; None for 0.

    Returns:
      Float `[B, T]`; 0 where there is no step.

    Example:
      >>> rewards = jnp.array([[1.0, 2.0, 4.0]])
      >>> return_to_go(rewards)
      Array([[7., 6., 4.]], dtype=float32)
      >>> return_to_go(rewards, last=jnp.array([[False, True, False]]))
      Array([[3., 2., 4.]], dtype=float32)
    """
    rewards = jnp.asarray(rewards)
    there = jnp.ones(rewards.shape, bool) if mask is None else jnp.asarray(mask)
    ends = jnp.zeros(rewards.shape, bool) if last is None else jnp.asarray(last)
    start = jnp.zeros_like(rewards[:, 0]) if after is None else jnp.asarray(after).astype(rewards.dtype)

    def back(ahead: Array, step: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        reward, end, real = step
        here = reward + discount * jnp.where(end, jnp.zeros_like(ahead), ahead)
        here = jnp.where(real, here, ahead)  # over what is no step, the sum is only carried
        return here, jnp.where(real, here, jnp.zeros_like(here))

    _, sums = lax.scan(back, start, (rewards.T, ends.T, there.T), reverse=True)
    return sums.T
