"""Sampling before adding in one program, without a copy of the state.

XLA writes a donated state in place only if it knows that every read of it is over. In `add` then `sample`
the sample reads what `add` made, which is order enough. In `sample` then `add` nothing orders the two, so
XLA keeps the old state alive in a whole copy: 160 MB and 100 to 500 times the time, for a state of 160 MB.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from .host_memory import OnHost
from .shares import WHOLE, OnShares
from .trajectory_buffer import BufferSample, BufferState, TrajectoryBuffer

_WIDEST = 64  # bits of the widest number that XLA has


def sample_and_add(
    buffer: TrajectoryBuffer[Any, BufferState, BufferSample],
    state: BufferState,
    rng_key: Array,
    batch: Any,
) -> tuple[BufferState, BufferSample]:
    """Samples from the state as it is, then adds the batch to it.

    It gives what `buffer.sample` and then `buffer.add` give, and a donated state stays in place.

    Args:
      buffer: any buffer whose state has a `current_index`.
      state: the state; donate it.
      rng_key: a PRNG key, consumed.
      batch: as `buffer.add` takes it.

    Returns:
      The state with the batch added, and the sample, which holds nothing of the batch.

    Raises:
      BatchMismatchError: if the batch does not match the state.

    Example:
      >>> from .item_buffer import make_item_buffer
      >>> buffer = make_item_buffer(max_length=4, min_length=1, sample_batch_size=2)
      >>> state = buffer.add(buffer.init(0), 7)
      >>> state, sample = sample_and_add(buffer, state, jax.random.key(0), batch=8)
      >>> sample.experience, state.experience
      (Array([7, 7], dtype=int32), Array([[7, 8, 0, 0]], dtype=int32))
    """
    if isinstance(buffer.sample, OnShares) and isinstance(buffer.add, OnShares):
        return _on_shares(buffer, buffer.sample, buffer.add, state, rng_key, batch)
    sample = buffer.sample(state, rng_key)
    if isinstance(buffer.sample, OnHost):  # two programs, which run in their order
        return buffer.add(state, batch), sample
    ordered: Any = dataclasses.replace(state, current_index=_after(sample, state.current_index))
    return buffer.add(ordered, batch), sample


def _on_shares(buffer: Any, sample: OnShares, add: OnShares, state: Any, rng_key: Array, batch: Any) -> Any:
    """Samples and adds on each device of a sharded buffer by itself: none waits for the others' samples."""
    shares, whole = sample.shares, sample.shares.layout(state)
    together = functools.partial(sample_and_add, buffer.replace(sample=sample.block, add=add.block))
    layouts = (whole, WHOLE, shares.split)
    return shares.run(together, layouts, (whole, shares.split), state, rng_key, batch)


def _after(sample: Any, index: Any) -> Array:
    """The index, made to depend on every leaf of the sample.

    The dependence must outlive XLA's simplifications: `optimization_barrier` is gone and `0 * x` is folded
    before the passes that place copies. That no number has more than 64 bits set, XLA does not know.
    """
    never = jnp.zeros((), bool)
    for leaf in jax.tree.leaves(sample):
        if leaf.size:
            never |= lax.population_count(_bits(leaf)) > _WIDEST
    return jnp.where(never, jnp.zeros_like(index), index)


def _bits(leaf: Array) -> Array:
    """One number of the leaf, as an unsigned integer."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    number = jnp.real(leaf.ravel()[0])
    if number.dtype == bool:
        return number.astype(jnp.uint8)
    return lax.bitcast_convert_type(number, jnp.dtype(f"uint{8 * number.dtype.itemsize}"))
