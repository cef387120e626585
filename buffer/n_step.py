"""Rewards summed over a few steps, and what the value after them is worth.

```
# step          :  t   t+1  t+2  t+3        n = 3
# reward        :  r0  r1   r2              return    r0 + g r1 + g^2 r2
# what follows  :                o3         discount  g^3, of the value of what step `last` = t+2 led to
```

A window holds no step of another episode, so where it ends before `n` steps, the sum ends with it.

Letters: `N` batch, `W` window in steps.

References:
  Sutton and Barto 2018, Reinforcement Learning, section 7.1
"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from .records import Record, record


@record
class NStep(Record):
    """Sums over up to `n` steps from each step of a window on; 0 where there is no step.

    Attributes:
      returns: float `[N, W]`, the discounted rewards.
      discounts: float `[N, W]`, what the value of what step `last` led to is multiplied by; 0 where the
        task ended on the way.
      last: int32 `[N, W]`, the place in the window of the last step that is summed.
    """

    returns: Array
    discounts: Array
    last: Array


def n_step(rewards: Any, terminated: Any, mask: Any, steps: int, discount: Any) -> NStep:
    """Sums rewards over `steps` steps from every step of a window on.

    A truncated episode is not worth 0 after its last step, a terminated one is.

    Args:
      rewards: float `[N, W]`.
      terminated: bool or float `[N, W]`, nonzero where the task ended with a step.
      mask: bool `[N, W]`, whether there is a step.
      steps: `n`, at least 1.
      discount: of one step, a number or `[N, W]`.

    Raises:
      ValueError: if `steps` is below 1.

    Example:
      >>> rewards = jnp.array([[1.0, 2.0, 4.0]])
      >>> found = n_step(rewards, rewards > 3, rewards > 0, steps=2, discount=0.5)
      >>> found.returns.tolist(), found.discounts.tolist(), found.last.tolist()
      ([[2.0, 4.0, 4.0]], [[0.25, 0.0, 0.0]], [[1, 2, 2]])
    """
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1: got {steps}. For a plain step give 1.")
    rewards, mask = jnp.asarray(rewards), jnp.asarray(mask)
    length = mask.shape[1]
    going_on = jnp.where(jnp.asarray(terminated).astype(bool), 0.0, discount).astype(rewards.dtype)
    rewards = jnp.where(mask, rewards, jnp.zeros_like(rewards))
    going_on = jnp.where(mask, going_on, jnp.ones_like(going_on))  # past the end nothing is taken off
    returns, discounts = jnp.zeros_like(rewards), jnp.ones_like(rewards)
    for ahead in reversed(range(min(steps, length))):
        worth = _ahead(going_on, ahead, 1.0)
        returns = _ahead(rewards, ahead, 0.0) + worth * returns
        discounts = worth * discounts
    place = jnp.arange(length, dtype=jnp.int32)[None]
    end = length - 1 - jnp.argmax(mask[:, ::-1], axis=1, keepdims=True).astype(jnp.int32)
    return NStep(
        returns=jnp.where(mask, returns, jnp.zeros_like(returns)),
        discounts=jnp.where(mask, discounts, jnp.zeros_like(discounts)),
        last=jnp.where(mask, jnp.minimum(place + (steps - 1), end), 0),
    )


def _ahead(values: Array, by: int, fill: float) -> Array:
    """What lies some places further on, and a constant past the end."""
    return jnp.pad(values[:, by:], ((0, 0), (0, by)), constant_values=fill)
