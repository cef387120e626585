"""What each step led to, from the row after it: no observation is stored twice.

```
#                 |<---- episode ---->|<- the next
# observation   : [o0, o1, o2,         o0, …
# final         :             [o3]                  one row an episode, where known
# next          : [o1, o2, o3,         o1, …
```

Letters: `B` streams, `C` slots a stream, `F` final rows a stream, `N` batch, `W` window in steps.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array

from .episode_sample import EpisodeBufferSample
from .episode_state import EpisodeBufferState
from .episode_steps import places_of, slots_of


def next_observation(
    state: EpisodeBufferState[Any],
    sample: EpisodeBufferSample[Any],
    observations: Any,
    finals: Any = None,
) -> tuple[Array, Array]:
    """Gathers what the steps of a sample led to.

    Args:
      state: the state that the sample was drawn from.
      sample: the sample.
      observations: a leaf of `state.experience`, `[B, C, ...]`.
      finals: `[B, F, ...]`, final rows, in the order of the episodes: row `e` is of the stream's episode
        `e`, counted from 0 and modulo `C + 1`. Those of a dataset are just that. None where not known.

    Returns:
      `[N, W, ...]`, and bool `[N, W]`, whether it is known what the step led to. Where not, as after the
      last step of an episode without a final row, or after the newest step, it is the step's own row.

    Example:
      >>> import jax
      >>> from .episode_buffer import make_episode_buffer
      >>> buffer = make_episode_buffer(1, 1, 3, max_length_time_axis=8)
      >>> steps = {"obs": jnp.array([[5, 6, 7]]), "done": jnp.array([[False, False, True]])}
      >>> state = buffer.add(buffer.init({"obs": 0, "done": False}), steps)
      >>> sample = buffer.sample(state, jax.random.key(0))
      >>> next_observation(state, sample, state.experience["obs"], finals=jnp.array([[8]]))
      (Array([[6, 7, 8]], dtype=int32), Array([[ True,  True,  True]], dtype=bool))
    """
    observations, index = jnp.asarray(observations), state.index
    places, slots = places_of(state, sample.indices), slots_of(state, sample)
    streams = places.streams[:, None]
    into = (slots - places.slots[:, None]) % index.capacity
    follows = sample.mask & (into < places.after[:, None])
    at = jnp.where(follows, (slots + 1) % index.capacity, slots)
    rows = observations.at[streams, at].get(mode="promise_in_bounds")
    if finals is None:
        return rows, follows
    finals = jnp.asarray(finals)
    number = index.episode.at[places.streams, places.slots].get(mode="promise_in_bounds")
    row = ((number - 1) % (index.capacity + 1))[:, None]
    now = index.now.at[places.streams].get(mode="promise_in_bounds")
    ended = (number != now[:, 1]) | (now[:, 2] == 0)
    known = sample.mask & ~follows & ended[:, None] & (row < finals.shape[1])
    final = finals.at[streams, jnp.minimum(row, finals.shape[1] - 1)].get(mode="promise_in_bounds")
    shown = known.reshape(*known.shape, *(1,) * (rows.ndim - 2))
    return jnp.where(shown, final, rows), follows | known
