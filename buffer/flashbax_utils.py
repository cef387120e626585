"""The helpers of `flashbax.utils`, with its names and meaning."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

__all__ = ["add_dim_to_args", "get_max_index", "get_timestep_count", "get_tree_shape_prefix"]


def get_tree_shape_prefix(tree: Any, n_axes: int = 1) -> tuple[int, ...]:
    """Returns the sizes of the leading axes, which all leaves share.

    Args:
      tree: any pytree of arrays.
      n_axes: how many leading axes.

    Raises:
      ValueError: if there is no leaf, or they do not share these axes.

    Example:
      >>> get_tree_shape_prefix({"a": jnp.zeros((2, 3)), "b": jnp.zeros((2, 5))})
      (2,)
    """
    prefixes = {tuple(jnp.shape(leaf)[:n_axes]) for leaf in jax.tree.leaves(tree)}
    if len(prefixes) != 1:
        raise ValueError(
            f"`tree` must have leaves that share their {n_axes} leading axes: got {sorted(prefixes)}."
        )
    return prefixes.pop()


def add_dim_to_args(
    func: Callable[..., Any],
    axis: int = 1,
    starting_arg_index: int | None = 1,
    ending_arg_index: int | None = None,
    kwargs_on_device_keys: Sequence[str] | None = None,
) -> Callable[..., Any]:
    """Wraps a function so that some of its arguments are given without an axis.

    Args:
      func: the function.
      axis: of size 1, added to all leaves of these arguments.
      starting_arg_index: the first of them; None: 0.
      ending_arg_index: the one after the last; None: to the end.
      kwargs_on_device_keys: those given as keywords that get the axis; None: those that are among the
        arguments so numbered.

    Example:
      >>> def shape_of(state, batch):
      ...     return batch.shape
      >>> add_dim_to_args(shape_of, axis=0)(None, batch=jnp.zeros(3))
      (1, 3)
    """
    chosen = slice(starting_arg_index, ending_arg_index)
    keys = kwargs_on_device_keys
    if keys is None:
        keys = list(inspect.signature(func).parameters)[chosen]

    def expanded(tree: Any) -> Any:
        return jax.tree.map(functools.partial(jnp.expand_dims, axis=axis), tree)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = list(args)
        given[chosen] = [expanded(argument) for argument in given[chosen]]
        return func(*given, **{key: expanded(it) if key in keys else it for key, it in kwargs.items()})

    return wrapper


def get_timestep_count(buffer_state: Any) -> Array:
    """Counts the steps that a state holds, over all streams, int32 `[]`.

    Args:
      buffer_state: a state with `experience`, `current_index` and `is_full`.

    Example:
      >>> from .trajectory_buffer import add, init
      >>> get_timestep_count(add(init(0, 2, 4), jnp.zeros((2, 3), jnp.int32)))
      Array(6, dtype=int32)
    """
    streams, capacity = get_tree_shape_prefix(buffer_state.experience, 2)
    return streams * jnp.where(buffer_state.is_full, capacity, buffer_state.current_index)


def get_max_index(buffer_state: Any) -> int:
    """Returns the capacity of each stream, in steps.

    Args:
      buffer_state: a state with `experience`.

    Example:
      >>> from .trajectory_buffer import init
      >>> get_max_index(init(0, 2, 4))
      4
    """
    return get_tree_shape_prefix(buffer_state.experience, 2)[1]
