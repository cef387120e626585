"""What the value at the end of a window is worth at each of its steps.

Letters: `N` batch, `W` window in steps.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array


def discount_to_end(terminated: Any, mask: Any, discount: float) -> Array:
    """Multiplies the discounts from every step of a window to its last.

    With `return_to_go` it makes the return of all the steps left:
    `return_to_go(rewards, mask=mask, discount=g) + discount_to_end(terminated, mask, g) * value`, where
    `value` `[N, 1]` is that of what the last step led to.

    Args:
      terminated: bool or float `[N, W]`, nonzero where the task ended with a step.
      mask: bool `[N, W]`, whether there is a step.
      discount: of one step.

    Returns:
      Float32 `[N, W]`; 0 where there is no step.

    Example:
      >>> mask = jnp.array([[True, True, False], [True, True, True]])
      >>> ended = jnp.array([[False, False, False], [False, False, True]])
      >>> discount_to_end(ended, mask, discount=0.5)
      Array([[0.25, 0.5 , 0.  ],
             [0.  , 0.  , 0.  ]], dtype=float32)
    """
    mask = jnp.asarray(mask)
    each = jnp.where(jnp.asarray(terminated).astype(bool), 0.0, discount)
    each = jnp.where(mask, each, 1.0)
    return jnp.where(mask, jnp.cumprod(each[:, ::-1], axis=1)[:, ::-1], 0.0).astype(jnp.float32)
