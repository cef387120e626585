"""The shares of a sharded state: what each device along an axis of a mesh holds of it.

A share is a complete little state of some of the streams: their steps, sum tree and index of episodes. So
each is added to and drawn from without a word to the others.

```
# experience, index of episodes : [B, ...]    by streams, B / n a share
# sum trees                     : [n * L]     end to end, one a share, each of `L` nodes
# cursor, laps, full            : []          the same on all, since streams advance together
```

Trees are not stacked `[n, L]`, so that no reshape stands between a share's tree and its block: XLA would
copy the tree for it.

Letters: `B` streams, `N` batch, `n` shares, `L` nodes of a tree.
"""

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .levels import size_of
from .sum_tree import SumTree

WHOLE = PartitionSpec()  # the same on every device


@dataclass(frozen=True)
class Shares:
    """How a state is laid over a mesh.

    Attributes:
      mesh: the devices.
      axes: the axes of the mesh that streams are laid along; over the others everything is replicated.
    """

    mesh: Mesh
    axes: tuple[str, ...]

    @property
    def count(self) -> int:
        """`n`, how many shares there are."""
        return math.prod(self.mesh.shape[axis] for axis in self.axes)

    @property
    def split(self) -> PartitionSpec:
        """The layout of what is `[B, ...]` or `[N, ...]`."""
        return PartitionSpec(self.axes[0] if len(self.axes) == 1 else self.axes)

    def number(self) -> Array:
        """Which share this is, int32 `[]`; known inside `run`."""
        return lax.axis_index(self.axes)

    def layout(self, state: Any) -> Any:
        """Returns how the arrays of a state are laid out, a prefix of the state.

        Args:
          state: of a sharded buffer; its arrays may be abstract.
        """

        def of(node: Any) -> PartitionSpec:
            return self.split if _is_tree(node) or len(node.shape) else WHOLE

        return jax.tree.map(of, state, is_leaf=_is_tree)

    def shardings(self, state: Any) -> Any:
        """Returns where the arrays of a state lie: the state, with a sharding for each.

        Args:
          state: of a sharded buffer; its arrays may be abstract.
        """

        def of(spec: PartitionSpec, part: Any) -> Any:
            leaves, form = jax.tree.flatten(part)
            return jax.tree.unflatten(form, [NamedSharding(self.mesh, spec)] * len(leaves))

        return jax.tree.map(of, self.layout(state), state, is_leaf=_is_spec)

    def check(self, state: Any) -> None:
        """Checks that a state is laid out for these shares.

        Raises:
          ValueError: if it is of a buffer that is not sharded, or sharded otherwise.
        """
        for leaf in jax.tree.leaves(state, is_leaf=_is_tree):
            if _is_tree(leaf) and leaf.nodes.shape != (self.count * size_of(leaf.capacity),):
                raise ValueError(
                    f"`state` must have a sum tree for each of {self.count} devices: its nodes are of shape "
                    f"{list(leaf.nodes.shape)}, with {size_of(leaf.capacity)} a tree. Make it with `init` of "
                    "the buffer that `shard` gave."
                )

    def own(self, state: Any) -> Any:
        """Returns a share's block of a state as a state of its own; known inside `run`."""
        return _with_greatest(state, ())

    def block(self, state: Any) -> Any:
        """Returns a share's state as its block of the whole: undoes `own`."""
        return _with_greatest(state, (1,))

    def run(self, function: Callable[..., Any], layouts: tuple[Any, ...], out: Any, *args: Any) -> Any:
        """Runs a function on every share's blocks of the arguments.

        Args:
          function: of blocks.
          layouts: of the arguments, each a prefix of one.
          out: the layout of what the function returns.
          *args: the arguments, wherever they lie.
        """
        if "Explicit" in {kind.name for kind in self.mesh.axis_types}:
            args = tuple(map(self._laid_out, layouts, args))
        return _shard_map(function, self.mesh, layouts, out)(*args)

    def _laid_out(self, layout: Any, arg: Any) -> Any:
        """Lays an argument out, as a mesh wants it whose layouts are part of types."""

        def moved(spec: PartitionSpec, part: Any) -> Any:
            return jax.sharding.reshard(part, NamedSharding(self.mesh, spec))

        return jax.tree.map(moved, layout, arg, is_leaf=_is_spec)


@dataclass(frozen=True)
class OnShares:
    """A function of a buffer that every share runs by itself.

    Attributes:
      shares: how states are laid out.
      block: the function, of a share's blocks, the state's first.
      layouts: of the arguments that follow the state.
      gives_state: whether it returns a state like the one it is given; otherwise a batch.
    """

    shares: Shares
    block: Callable[..., Any]
    layouts: tuple[PartitionSpec, ...] = ()
    gives_state: bool = False

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Runs it on all shares."""
        given = inspect.signature(self.block).bind(*args, **named).arguments
        (_, state), *rest = given.items()
        layouts = self.layouts[: len(rest)]
        for (name, value), layout in zip(rest, layouts, strict=True):
            if layout != WHOLE:
                self._check(name, value)
        self.shares.check(state)
        return self._compiled(state, *(value for _, value in rest))

    @functools.cached_property
    def _compiled(self) -> Callable[..., Any]:
        """Compiled, since `shard_map` alone is slow; within a compiled program it becomes part of that."""
        return jax.jit(self._run)

    def _run(self, state: Any, *args: Any) -> Any:
        own = self.shares.layout(state)
        out = own if self.gives_state else self.shares.split
        return self.shares.run(self.block, (own, *self.layouts[: len(args)]), out, state, *args)

    def _check(self, name: str, value: Any) -> None:
        count = self.shares.count
        for shape in map(jax.numpy.shape, jax.tree.leaves(value)):
            if not shape or shape[0] % count:
                raise ValueError(
                    f"`{name}` must have a first axis that {count} devices can share evenly: got shape "
                    f"{list(shape)}. Give it as many rows as the buffer has streams or draws."
                )


def _shard_map(function: Callable[..., Any], mesh: Mesh, layouts: Any, out: Any) -> Callable[..., Any]:
    # That scalars are the same on all shares is not proved by JAX: the loops of the buffers start from
    # constants, and it would refuse that these come to differ from share to share.
    if hasattr(jax, "shard_map"):
        return jax.shard_map(function, mesh=mesh, in_specs=layouts, out_specs=out, check_vma=False)
    from jax.experimental.shard_map import shard_map  # JAX 0.6.0

    return shard_map(function, mesh, in_specs=layouts, out_specs=out, check_rep=False)


def _with_greatest(state: Any, shape: tuple[int, ...]) -> Any:
    """The state with its trees' greatest priorities in another shape."""

    def on(node: Any) -> Any:
        if not _is_tree(node):
            return node
        return node.replace(max_recorded_priority=node.max_recorded_priority.reshape(shape))

    return jax.tree.map(on, state, is_leaf=_is_tree)


def _is_tree(node: Any) -> bool:
    return isinstance(node, SumTree)


def _is_spec(node: Any) -> bool:
    return isinstance(node, PartitionSpec)
