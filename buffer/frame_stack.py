"""Frames stacked when they are drawn, so that each is stored once.

```
# step in episode :   0     1     2     3          stacks of three, the oldest first
# stack           :  000   001   012   123
```

Letters: `B` streams, `C` slots a stream, `N` batch, `W` window in steps, `K` frames in a stack.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from .episode_sample import EpisodeBufferSample
from .episode_state import EpisodeBufferState
from .episode_steps import places_of, slots_of


def frame_stack(
    state: EpisodeBufferState[Any], sample: EpisodeBufferSample[Any], frames: Any, count: int
) -> Array:
    """Stacks the frames of every step of a sample with those before it.

    Frames are taken from the buffer, so those before a window are there too. Before the first step of an
    episode its frame is repeated; where that has been overwritten, the oldest frame still held.

    Args:
      state: the state that the sample was drawn from.
      sample: the sample.
      frames: a leaf of `state.experience`, `[B, C, ...]`.
      count: `K`, frames in a stack.

    Returns:
      `[N, W, K, ...]`, the oldest frame first; where there is no step, zeros.

    Raises:
      ValueError: if `count` is below 1.

    Example:
      >>> import jax
      >>> from .episode_buffer import make_episode_buffer
      >>> buffer = make_episode_buffer(1, 1, 3, max_length_time_axis=8)
      >>> steps = {"frame": jnp.array([[5, 6, 7]]), "done": jnp.array([[False, False, True]])}
      >>> state = buffer.add(buffer.init({"frame": 0, "done": False}), steps)
      >>> sample = buffer.sample(state, jax.random.key(0))
      >>> frame_stack(state, sample, state.experience["frame"], count=2)
      Array([[[5, 5],
              [5, 6],
              [6, 7]]], dtype=int32)
    """
    if count < 1:
        raise ValueError(f"`count` must be at least 1: got {count}. For a plain frame give 1.")
    frames, capacity = jnp.asarray(frames), state.index.capacity
    places = places_of(state, sample.indices)
    slots = slots_of(state, sample)
    into = jnp.where(sample.mask, (slots - places.slots[:, None]) % capacity, 0)  # steps into the window
    back = jnp.arange(count - 1, -1, -1, dtype=jnp.int32).reshape(1, 1, count)
    back = jnp.minimum(back, (places.before[:, None] + into)[:, :, None])
    at = (slots[:, :, None] - back) % capacity
    stacks = frames.at[places.streams[:, None, None], at].get(mode="promise_in_bounds")
    shown = sample.mask.reshape(*sample.mask.shape, *(1,) * (stacks.ndim - 2))
    return jnp.where(shown, stacks, jnp.zeros_like(stacks))
