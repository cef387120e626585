"""Goals from hindsight, and single steps, of a view on disk: as the episode buffer has them in memory.

Letters: `N` steps.
"""

import functools
from typing import Any

import numpy as np

from . import draws
from .dtypes import NpArray
from .selected import Selected
from .store import aligned_empty


def hindsight_goals(
    selected: Selected,
    rng_key: Any,
    indices: Any,
    shares: tuple[float, float, float, float],
    discount: float | None,
) -> NpArray:
    """Draws a goal for each of some steps; see `Contents.hindsight_goals`.

    Args:
      selected: the episodes.
      rng_key: a JAX PRNG key, consumed.
      indices: of the steps, by their places in the view's stream, `[N]`.
      shares: of current, future, final and random goals.
      discount: of how far ahead a later step lies, or None.

    Raises:
      IndexError: if there is no such step.
      ValueError: if the shares or the discount are none.
    """
    import jax

    places = _checked(selected, indices)
    episode = np.searchsorted(selected.starts, places, side="right") - 1
    after = selected.starts[episode + 1] - 1 - places
    ahead = np.asarray(_drawing()(rng_key, after.astype(np.int32), shares, discount), np.int64)
    words = np.asarray(jax.random.bits(jax.random.split(rng_key, 3)[1], (2, 2, len(places)), np.uint32))
    anywhere = draws.scaled(words[1], int(selected.starts[-1]))
    return np.where(ahead < 0, anywhere, places + ahead)


def read_steps(selected: Selected, indices: Any, name: str) -> NpArray:
    """Reads a leaf of single steps, in one go.

    Args:
      selected: the episodes.
      indices: of the steps, by their places in the view's stream, of any shape.
      name: of the leaf.

    Returns:
      `[*indices.shape, ...]`.

    Raises:
      IndexError: if there is no such step.
    """
    leaf, shape = selected.schema.leaf(name), np.shape(indices)
    places = _checked(selected, np.ravel(indices))
    episode = np.searchsorted(selected.starts, places, side="right") - 1
    one = np.ones_like(places)
    windows = selected.place(episode, places - selected.starts[episode], one, one - 1)
    out = aligned_empty((len(places), 1, *leaf.shape), leaf.dtype)
    selected.gather(name, episode, windows, out)
    return out.reshape((*shape, *leaf.shape))


@functools.cache
def _drawing() -> Any:
    import jax

    from ..buffer.hindsight import draw_ahead

    return jax.jit(draw_ahead, static_argnums=(2, 3))


def _checked(selected: Selected, indices: Any) -> NpArray:
    places = np.asarray(indices)
    count = int(selected.starts[-1])
    if places.ndim != 1 or (places.size and places.dtype.kind not in "iu"):
        raise ValueError(f"`indices` must be integers [N]: got {places.dtype} {list(places.shape)}.")
    places = places.astype(np.int64)
    wrong = places[(places < 0) | (places >= count)]
    if len(wrong):
        raise IndexError(f"`indices` names the step {wrong[0]}: there are {count}.")
    return places
