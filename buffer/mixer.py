"""The mixer: one batch drawn from several buffers, each giving its share.

Letters: `N` batch.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .arguments import positive
from .records import Record, record

__all__ = ["Mixer", "make_mixer"]


@record
class Mixer(Record):
    """The functions of a mixer.

    Attributes:
      sample: (states, rng_key) -> a sample of `N`: what the first buffer gave, then the second, and so on.
        `indices` and `probabilities` are each within the buffer that gave it.
      can_sample: states -> whether all buffers can be sampled from, bool `[]`.
      batch_sizes: how many each buffer gives, so that a sample can be split again.
    """

    sample: Callable[[Sequence[Any], Array], Any]
    can_sample: Callable[[Sequence[Any]], Array]
    batch_sizes: tuple[int, ...]


def make_mixer(buffers: Sequence[Any], sample_batch_size: int, proportions: Sequence[float]) -> Mixer:
    """Makes a mixer of buffers.

    Each buffer draws as many as its share, whatever size of batch it was made with, so the batch is always
    full, and a share of a prioritised buffer is spread over all its priorities.

    Args:
      buffers: of one type; their samples have the same structure and, but for the first axis, shapes.
      sample_batch_size: `N`.
      proportions: for each buffer its share, in any unit. `N` times the share is rounded down; what is
        left over comes from the first buffer that has a share.

    Returns:
      The mixer.

    Raises:
      TypeError: if the buffers are of several types, or the size is not an integer.
      ValueError: if there is not one proportion for each buffer, or proportions are not at least 0, with
        one above.

    Example:
      >>> from .item_buffer import make_item_buffer
      >>> buffer = make_item_buffer(max_length=4, min_length=1, sample_batch_size=2)
      >>> states = [buffer.add(buffer.init(0), number) for number in (7, 8)]
      >>> mixer = make_mixer([buffer, buffer], sample_batch_size=4, proportions=[3, 1])
      >>> mixer.sample(states, jax.random.key(0)).experience
      Array([7, 7, 7, 8], dtype=int32)
    """
    positive(sample_batch_size=sample_batch_size)
    _check(buffers, proportions)
    batch_sizes = _batch_sizes(sample_batch_size, proportions)
    return Mixer(
        sample=functools.partial(_sample, samplers=[one.sample for one in buffers], batch_sizes=batch_sizes),
        can_sample=functools.partial(_can_sample, askers=[one.can_sample for one in buffers]),
        batch_sizes=batch_sizes,
    )


def _sample(
    states: Sequence[Any], rng_key: Array, samplers: Sequence[Callable[..., Any]], batch_sizes: Sequence[int]
) -> Any:
    keys = jax.random.split(rng_key, len(states))
    parts = [
        _draw(sampler, state, key, size)
        for sampler, state, key, size in zip(samplers, states, keys, batch_sizes, strict=True)
        if size
    ]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def _can_sample(states: Sequence[Any], askers: Sequence[Callable[[Any], Array]]) -> Array:
    return jnp.stack([jnp.all(ask(state)) for ask, state in zip(askers, states, strict=True)]).all()


def _draw(sampler: Callable[..., Any], state: Any, key: Array, size: int) -> Any:
    """Draws a batch of a size."""
    if isinstance(sampler, functools.partial) and "batch_size" in sampler.keywords:
        return functools.partial(sampler, batch_size=size)(state, key)
    return _choose(sampler, state, key, size)


def _choose(sampler: Callable[..., Any], state: Any, key: Array, size: int) -> Any:
    """Draws as many batches as it takes from a sampler of a fixed size, and picks some at random.

    A batch may be in the order of the buffer, so its beginning is no fair part of it.
    """
    at_once = jax.tree.leaves(jax.eval_shape(sampler, state, key))[0].shape[0]
    key_order, *keys = jax.random.split(key, 1 + -(-size // at_once))
    batches = [sampler(state, one) for one in keys]
    order = jax.random.permutation(key_order, at_once * len(keys))[:size]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[order], *batches)


def _batch_sizes(size: int, proportions: Sequence[float]) -> tuple[int, ...]:
    total = sum(proportions)
    sizes = [int(share / total * size) for share in proportions]
    first = next(index for index, share in enumerate(proportions) if share > 0)
    sizes[first] += size - sum(sizes)
    return tuple(sizes)


def _check(buffers: Sequence[Any], proportions: Sequence[float]) -> None:
    if len(buffers) != len(proportions) or not buffers:
        raise ValueError(
            f"`proportions` must have one number for each buffer: got {len(proportions)} for {len(buffers)}."
        )
    if not all(share >= 0 for share in proportions) or not sum(proportions) > 0:
        raise ValueError(
            f"`proportions` must be at least 0, and one above: got {list(proportions)}. They are shares."
        )
    for one, other in itertools.pairwise(buffers):
        if type(one) is not type(other):
            raise TypeError(
                f"`buffers` must be of one type: got {type(one).__name__} and {type(other).__name__}. "
                "Mix uniform with uniform buffers, prioritised with prioritised ones."
            )
