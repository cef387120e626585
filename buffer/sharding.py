"""Buffers over many devices: streams are laid along an axis of a mesh, each device works on its own.

`shard` takes a buffer and gives one with the same functions, whose state is one pytree of global arrays.
`add`, `sample` and `set_priorities` run on each device's streams alone: the compiled programs hold no
collective, however many devices or processes there are.

Letters: `B` streams, `C` slots a stream, `N` batch, `n` devices along the axis.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from .prioritised_state import PrioritisedTrajectoryBufferState
from .share_buffer import Buffer, of_one_share
from .shares import WHOLE, OnShares, Shares
from .trajectory_buffer import TrajectoryBuffer, ring_of


def shard(buffer: Buffer, mesh: Mesh, axis: str | Sequence[str] = "streams") -> Buffer:
    """Returns the buffer with its streams laid over the devices of a mesh.

    Arguments, states and samples are those of the buffer, as global arrays: steps are `[B, C, ...]`, and
    batches `[N, ...]`, device after device. They are laid out by streams, `B / n` on each device, and
    `N / n` of each sample are drawn by each device from its own streams, with the key folded with its
    number. So:

    - Uniform buffers draw every window alike, as they do on one device.
    - Prioritised buffers draw a window with the chance of its priority's share in the sum of *its device's*,
      divided by `n`. That is what `probabilities` holds, so importance weights are right; but it is not the
      priority's share in the sum of all, unless the sums are equal. New windows get the greatest priority
      that was ever set on their device.
    - Episode buffers draw windows, or episodes, as their `weights` say among those of each device. A window
      of a device that holds few is drawn more often than one of a device that holds many. `sample_epoch`
      goes through the windows of each device in epochs of its own.

    `indices` number windows over all devices, as on one. `set_priorities` takes them in the order of
    the sample, or in any that leaves each on its device: a window of another device is passed over.

    `can_sample` is true when it is true for every device; for buffers that are prioritised or of episodes it
    is the one function that talks, of one bool a device.

    An item buffer has one stream a device. It must be given batches, whose rows are laid over the devices.

    Args:
      buffer: made by any `make_*_buffer`, for all `B` streams, all capacity and the whole batch `N`.
      mesh: the devices, of one process or many.
      axis: the axis of the mesh, or axes, that streams are laid along. Over other axes all is replicated.

    Returns:
      The buffer. Compile its functions with `jax.jit`; donate the state, and `add` is in place.

    Raises:
      TypeError: if `buffer` is none of those.
      ValueError: if the mesh has no such axis, if `B`, `N` or the capacity of an item buffer is not divisible
        by `n`, if `add` takes no batches, or if there are more than `2**31 - 1` windows.

    Example:
      >>> from .flat_buffer import make_flat_buffer
      >>> mesh = jax.make_mesh((1,), ("streams",))
      >>> buffer = shard(make_flat_buffer(8, 2, sample_batch_size=4, add_batch_size=2), mesh)
      >>> state = buffer.init(0)
      >>> for number in range(3):
      ...     state = jax.jit(buffer.add)(state, jnp.full(2, number))
      >>> jax.jit(buffer.sample)(state, jax.random.key(0)).experience.first.shape
      (4,)
    """
    shares = _shares(mesh, axis)
    little = of_one_share(buffer, shares)
    functions: dict[str, Any] = {
        "init": functools.partial(_init, init=little.init, shares=shares),
        "add": _on(shares, _add, little.add, (shares.split, shares.split), gives_state=True),
        "sample": _on(shares, _draw, little.sample, (WHOLE,)),
        "can_sample": little.can_sample,
    }
    if type(buffer) is not TrajectoryBuffer:
        ask = _on(shares, _can_sample, little.can_sample)
        functions["can_sample"] = functools.partial(_everywhere, ask=ask)
        functions["set_priorities"] = _on(
            shares, _set_priorities, little["set_priorities"], (shares.split, shares.split), gives_state=True
        )
    if "index" in buffer:
        functions["index"] = functools.partial(_index, index=little["index"], shares=shares)
        functions["sample_epoch"] = _on(shares, _draw, little["sample_epoch"], (WHOLE, WHOLE))
    return buffer.replace(**functions)


def state_shardings(state: Any, mesh: Mesh, axis: str | Sequence[str] = "streams") -> Any:
    """Tells where the arrays of a sharded buffer's state lie, for `jax.device_put` and `Vault.restore`.

    Args:
      state: of a buffer that `shard` gave; its arrays may be abstract, as
        `jax.eval_shape(buffer.init, step)` gives them.
      mesh: as given to `shard`.
      axis: as given to `shard`.

    Returns:
      The state, with a `NamedSharding` for each array.

    Raises:
      ValueError: if the mesh has no such axis, or the state is one of a buffer that is not sharded.

    Example:
      >>> from .item_buffer import make_item_buffer
      >>> mesh = jax.make_mesh((1,), ("streams",))
      >>> buffer = shard(make_item_buffer(8, 1, 4, add_batches=True), mesh)
      >>> state_shardings(jax.eval_shape(buffer.init, 0), mesh).current_index.is_fully_replicated
      True
    """
    shares = _shares(mesh, axis)
    shares.check(state)
    return shares.shardings(state)


def per_device(
    function: Callable[..., Any], mesh: Mesh, axis: str | Sequence[str] = "streams"
) -> Callable[..., Any]:
    """Lets each device look into its own streams around what was drawn from them, without a collective.

    It is for `hindsight_goals`, `frame_stack`, `next_observation`, `steps_at` and the like, which take a
    state and a sample of it.

    Args:
      function: `(state, sample)`, or `(state, sample, rng_key)`, to arrays `[N / n, ...]`. The state and the
        sample that it is given are one device's, as those of a buffer that is not sharded.
      mesh: as given to `shard`.
      axis: as given to `shard`.

    Returns:
      The function of the whole state and sample, and of a key where it wants one, which is folded with the
      device's number; it gives arrays `[N, ...]`.

    Raises:
      ValueError: if the mesh has no such axis.

    Example:
      >>> from .episode_buffer import make_episode_buffer
      >>> from .episode_steps import steps_at
      >>> mesh = jax.make_mesh((1,), ("streams",))
      >>> buffer = shard(make_episode_buffer(2, 4, 2, max_length_time_axis=8), mesh)
      >>> state = buffer.add(buffer.init({"done": False}), {"done": jnp.zeros((2, 5), bool)})
      >>> first = per_device(lambda state, sample: steps_at(state, sample.indices), mesh)
      >>> jax.jit(first)(state, buffer.sample(state, jax.random.key(0)))["done"].shape
      (4,)
    """
    shares = _shares(mesh, axis)
    return _on(shares, _look, function, (shares.split, WHOLE))


# -- what a share does with its block


def _init(experience: Any, *, init: Callable[[Any], Any], shares: Shares) -> Any:
    def block() -> Any:
        return shares.block(init(experience))

    def everywhere() -> Any:
        return shares.run(block, (), out)

    out = shares.layout(jax.eval_shape(block))
    return jax.jit(everywhere)()


def _add(
    state: Any, batch: Any, priorities: Any = None, *, function: Callable[..., Any], shares: Shares
) -> Any:
    named = {} if priorities is None else {"priorities": priorities}
    return shares.block(function(shares.own(state), batch, **named))


def _draw(
    state: Any, rng_key: Array, step: Any = None, *, function: Callable[..., Any], shares: Shares
) -> Any:
    own, key = shares.own(state), jax.random.fold_in(rng_key, shares.number())
    drawn = function(own, key) if step is None else function(own, key, step)
    changes: dict[str, Array] = {}
    if "indices" in drawn:
        changes["indices"] = drawn.indices + shares.number() * _windows(own)
    if "probabilities" in drawn:
        changes["probabilities"] = drawn.probabilities / shares.count
    return drawn.replace(**changes)


def _set_priorities(
    state: Any, indices: Array, priorities: Any, *, function: Callable[..., Any], shares: Shares
) -> Any:
    own = shares.own(state)
    windows = _windows(own)
    indices = indices - shares.number() * windows
    indices = jnp.where((indices >= 0) & (indices < windows), indices, -1)
    return shares.block(function(own, indices, priorities))


def _look(
    state: Any, sample: Any, rng_key: Array | None = None, *, function: Callable[..., Any], shares: Shares
) -> Any:
    own = shares.own(state)
    if "indices" in sample:
        sample = sample.replace(indices=sample.indices - shares.number() * _windows(own))
    if rng_key is None:
        return function(own, sample)
    return function(own, sample, jax.random.fold_in(rng_key, shares.number()))


def _can_sample(state: Any, *, function: Callable[..., Any], shares: Shares) -> Array:
    return function(shares.own(state)).reshape(1)


def _everywhere(state: Any, *, ask: Callable[..., Array]) -> Array:
    return ask(state).all()


def _index(state: Any, *, index: Callable[..., Any], shares: Shares, **marks: Any) -> Any:
    """Indexes steps; `marks` are `[B, C]`, or None."""

    def block(state: Any, marks: Any) -> Any:
        return shares.block(index(shares.own(state), **marks))

    def of_share(leaf: Any) -> Any:
        shape = leaf.shape and (leaf.shape[0] // shares.count, *leaf.shape[1:])
        return jax.ShapeDtypeStruct(shape, leaf.dtype)

    layouts = (shares.layout(state), shares.split)
    out = shares.layout(jax.eval_shape(block, *jax.tree.map(of_share, (state, marks))))
    return shares.run(block, layouts, out, state, marks)


def _windows(own: Any) -> int:
    """How many numbers a share's windows have."""
    if isinstance(own, PrioritisedTrajectoryBufferState):
        return own.sum_tree_state.capacity
    held = ring_of(own)
    return held.streams * held.capacity


def _shares(mesh: Mesh, axis: str | Sequence[str]) -> Shares:
    axes = (axis,) if isinstance(axis, str) else tuple(axis)
    if not axes or not set(axes) <= set(mesh.axis_names):
        raise ValueError(
            f"`axis` must be an axis of the mesh, or several: got {axis!r} for {list(mesh.axis_names)}."
        )
    return Shares(mesh, axes)


def _on(
    shares: Shares,
    block: Callable[..., Any],
    function: Callable[..., Any],
    layouts: tuple[PartitionSpec, ...] = (),
    *,
    gives_state: bool = False,
) -> OnShares:
    """A function of the little buffers, as one of all of them."""
    bound = functools.partial(block, function=function, shares=shares)
    return OnShares(shares, bound, layouts, gives_state)
