"""A buffer's state as a resume point, and back, bit for bit.

The steps are the vault's already, so only where they lie is noted; every other array of the state is kept,
whatever it is called. So every kind of buffer can be resumed, also those that this library does not know.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .dtypes import NpArray
from .flusher import Place
from .history import Ring
from .placement import abstract, hang
from .plain import pack, unpack
from .reader import Snapshot
from .resume_point import Point, Steps, values_of
from .schema import Schema
from .spans import outside
from .states import Held, order_of
from .store import aligned_empty
from .tree import Json, name_of

_LOOKED_AT = 1 << 16  # steps that are looked at a time for what is not zero


def has_cursor(state: Any) -> bool:
    """Says whether a state tells where its newest step is, so that it can be flushed."""
    return all(hasattr(state, name) for name in ("experience", "current_index", "is_full"))


def point_of(
    state: Any, place: Place | None, schema: Schema, extra: Json, arrays: list[NpArray], *, blank: bool
) -> Point:
    """Makes a resume point of a state that was flushed.

    Args:
      state: of any buffer.
      place: where it stands in the vault; None for a state without a cursor.
      schema: of the vault.
      extra: the user's values, packed.
      arrays: what they refer to; grows.
      blank: whether slots that were never written are known to hold zeros.

    Raises:
      TypeError: if JAX does not know the state.
    """
    experience = state.experience if place else None
    packed = {name: pack(leaf, arrays, (name,)) for name, leaf in _leaves(state, experience)}
    steps = _steps(place, experience, schema, arrays, blank=blank) if place else None
    return Point(steps, packed, extra, arrays)


def state_of(
    point: Point, snapshot: Snapshot, buffer: Any, treedef: Any, to_jax: Callable[[NpArray, str | None], Any]
) -> Any:
    """Makes the state of a resume point.

    Args:
      point: the resume point.
      snapshot: of the vault.
      buffer: that made the state.
      treedef: the containers of a step, or None for plain ones.
      to_jax: makes a JAX array.

    Raises:
      TypeError: if `buffer` is none.
      ValueError: if it is another than that whose state was kept.
    """
    import jax

    schema = snapshot.schema
    if not callable(getattr(buffer, "init", None)):
        raise TypeError(f"`buffer` must be a buffer, as it was made first: got {type(buffer).__name__}.")
    template = jax.eval_shape(buffer.init, hang(schema, [abstract(leaf) for leaf in schema.leaves], treedef))
    experience = getattr(template, "experience", None) if point.steps else None
    wanted_leaves = list(_leaves(template, experience))
    _check_names({name for name, _ in wanted_leaves}, set(point.state))
    values = {name: unpack(node, point.arrays, to_jax) for name, node in point.state.items()}
    for name, leaf in wanted_leaves:
        _check_leaf(name, leaf, values[name])
    if point.steps is not None:
        _check_ring(template, point.steps, schema)
        values[_EXPERIENCE] = hang(schema, _experience(point, point.steps, snapshot, to_jax), treedef)
    paths, form = jax.tree_util.tree_flatten_with_path(template, is_leaf=_is_leaf(experience))
    leaves = [
        values[_EXPERIENCE if leaf is experience and leaf is not None else name_of(path)]
        for path, leaf in paths
    ]
    return jax.tree_util.tree_unflatten(form, leaves)


_EXPERIENCE = ""  # no leaf of a state has this name


def _is_leaf(experience: Any) -> Callable[[Any], bool]:
    return lambda node: node is None or (experience is not None and node is experience)


def _leaves(state: Any, experience: Any) -> Iterator[tuple[str, Any]]:
    """Yields the leaves of a state by name, None included, without its steps."""
    import jax

    paths, _ = jax.tree_util.tree_flatten_with_path(state, is_leaf=_is_leaf(experience))
    if len(paths) == 1 and paths[0][0] == ():
        raise TypeError(
            f"`state` must be a buffer's state that JAX knows as a pytree: got {type(state).__name__}. "
            "Register its class with `jax.tree_util.register_dataclass`."
        )
    return ((name_of(path), leaf) for path, leaf in paths if experience is None or leaf is not experience)


def _steps(place: Place, experience: Any, schema: Schema, arrays: list[NpArray], *, blank: bool) -> Steps:
    import jax

    values, treedef = jax.tree_util.tree_flatten(experience)
    order = order_of(treedef, schema)
    held, stop = place.held, place.at.count
    ring = held.ring.aligned(stop)
    runs = outside(place.spans, stop - ring.held, stop)
    if not blank and not _is_blank(held, stop):
        runs.append((stop, stop + ring.capacity - ring.held))
    leaves: dict[str, Json] = {}
    for n, leaf in enumerate(schema.leaves):
        kept = [held.rows(n, first, last) for first, last in runs]
        empty = np.zeros((held.streams, 0, *leaf.shape), leaf.dtype)
        arrays.append(np.concatenate([empty, *kept], axis=1))
        leaves[leaf.name] = {
            "array": len(arrays) - 1,
            "as": "numpy" if isinstance(values[order[n]], np.ndarray) else "jax",
        }
    return Steps(
        place.at, ring.capacity, tuple(values[0].shape[: held.axis - 1]), place.spans, tuple(runs), leaves
    )


def _is_blank(held: Held, count: int) -> bool:
    """Says whether the slots that were never written hold zeros, as a buffer makes them."""
    stop = count + held.ring.capacity - held.ring.held
    return not any(
        values_of(held.rows(n, low, min(stop, low + _LOOKED_AT), copy=False)).any()
        for low in range(count, stop, _LOOKED_AT)
        for n in range(len(held.leaves))
    )


def _experience(
    point: Point, steps: Steps, snapshot: Snapshot, to_jax: Callable[[NpArray, str | None], Any]
) -> list[Any]:
    """Reads the steps of a ring into its slots."""
    schema, ring = snapshot.schema, Ring(steps.capacity, 0, 0, None)
    leaves: list[Any] = []
    for leaf in schema.leaves:
        out = aligned_empty((schema.streams, steps.capacity, *leaf.shape), leaf.dtype)
        if sum(span.steps for span in steps.spans) < steps.capacity:
            out[...] = np.zeros((), leaf.dtype)
        for span in steps.spans:
            row = span.row
            for low, high in ring.slots(span.count, span.stop):
                snapshot.read(leaf.name, row, row + high - low, out=out[:, low:high])
                row += high - low
        kept, at = point.arrays[steps.leaves[leaf.name]["array"]], 0
        for first, stop in steps.kept:
            for low, high in ring.slots(first, stop):
                out[:, low:high] = kept[:, at : at + high - low]
                at += high - low
        streams = schema.streams // math.prod(steps.axes)
        out = out.reshape(*steps.axes, streams, steps.capacity, *leaf.shape)
        leaves.append(out if steps.leaves[leaf.name]["as"] == "numpy" else to_jax(out, leaf.prng))
    return leaves


def _check_names(wanted: set[str], kept: set[str]) -> None:
    if wanted != kept:
        raise ValueError(
            "`buffer` must be the one whose state was kept, or one made alike: its state has "
            f"{sorted(wanted - kept) or 'nothing'} beside what was kept, and lacks "
            f"{sorted(kept - wanted) or 'nothing'}."
        )


def _check_ring(template: Any, steps: Steps, schema: Schema) -> None:
    """Checks that a buffer's ring is as large as the one that was kept, but for axes of replicas."""
    import jax

    streams = schema.streams // math.prod(steps.axes)
    axis = template.current_index.ndim
    wanted_streams, capacity = jax.tree_util.tree_leaves(template.experience)[0].shape[axis : axis + 2]
    if (wanted_streams, capacity) != (streams, steps.capacity):
        raise ValueError(
            f"`buffer` must have the sizes of the one whose state was kept, {streams} streams of "
            f"{steps.capacity} steps: it has {wanted_streams} of {capacity}. Make it as it was made then; "
            "`Vault.load(buffer)` fills a buffer of another size."
        )


def _check_leaf(name: str, wanted: Any, kept: Any) -> None:
    """Checks that what was kept has the form of a buffer's own, but for axes of replicas."""
    if kept is None or wanted is None or not hasattr(kept, "shape"):
        return
    shape = tuple(kept.shape)
    if shape[len(shape) - len(wanted.shape) :] != tuple(wanted.shape) or len(shape) < len(wanted.shape):
        raise ValueError(
            f"`buffer` must have the sizes of the one whose state was kept: its {name!r} is of shape "
            f"{list(wanted.shape)}, what was kept of shape {list(shape)}. Make it as it was made then."
        )
