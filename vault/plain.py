"""Plain values: a pytree of arrays, numbers and texts as JSON beside a list of arrays, and back.

Dicts, lists and tuples come back as they were, named tuples and dataclasses as dicts, as with steps. An array
comes back with its dtype, a JAX array as one, a PRNG key with its implementation. Nothing is pickled.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from .dtypes import NpArray, as_contiguous, stored_form
from .states import prng_of, to_numpy
from .tree import Json, key_of

Place = tuple[str, ...]  # the keys that lead to a value, for messages


def pack(value: Any, arrays: list[NpArray], place: Place = ()) -> Json:
    """Gives a value as JSON; its arrays are put behind those in the list.

    Args:
      value: None, a boolean, a number, a text, an array, or a container of such.
      arrays: grows.
      place: of the value, for messages.

    Raises:
      TypeError: if something in it is none of these.

    Example:
      >>> arrays = []
      >>> pack({"lr": 0.5, "mean": np.zeros(2)}, arrays)
      {'dict': [['lr', {'float': '0x1.0000000000000p-1'}], ['mean', {'array': 0, 'as': 'numpy'}]]}
    """
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return _pack_array(value, arrays, place)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if type(value) is float:
        return {"float": value.hex()}
    if type(value) in (list, tuple):
        items = cast("Sequence[Any]", value)
        packed = [pack(item, arrays, (*place, str(n))) for n, item in enumerate(items)]
        return {type(value).__name__: packed}
    if type(value) is dict:
        return {"dict": _pack_items(cast("Mapping[Any, Any]", value), arrays, place)}
    items = _fields(value, place)
    return {"record": _pack_items(items, arrays, place), "type": type(value).__name__}


def unpack(node: Json, arrays: Sequence[NpArray], to_jax: Callable[[NpArray, str | None], Any]) -> Any:
    """Gives back what was packed.

    Args:
      node: as `pack` gave it.
      arrays: those that belong to it.
      to_jax: makes a JAX array of values, or of the data of PRNG keys and the name of their implementation.
    """
    if not isinstance(node, dict):
        return node
    found = cast("dict[str, Any]", node)
    if "float" in found:
        return float.fromhex(found["float"])
    if "array" in found:
        values = arrays[found["array"]]
        if found["as"] == "jax":
            return to_jax(values, found.get("prng"))
        return values[()] if found["as"] == "scalar" else values
    for kind in ("list", "tuple"):
        if kind in found:
            items = [unpack(item, arrays, to_jax) for item in found[kind]]
            return items if kind == "list" else tuple(items)
    return {key: unpack(item, arrays, to_jax) for key, item in found["dict" if "dict" in found else "record"]}


def hang(value: Any, like: Any) -> Any:
    """Hangs what was unpacked in the containers of an example, which JAX may know better.

    Raises:
      ValueError: if the example has a leaf that is not there.

    Example:
      >>> import collections
      >>> Pair = collections.namedtuple("Pair", "b a")
      >>> hang({"b": 1, "a": 2}, like=Pair(0, 0))
      Pair(b=1, a=2)
    """
    import jax

    paths, treedef = jax.tree_util.tree_flatten_with_path(like, is_leaf=_is_none)
    return jax.tree_util.tree_unflatten(treedef, [_at(value, path) for path, _ in paths])


def _is_none(node: Any) -> bool:
    return node is None


def _at(value: Any, path: Sequence[Any]) -> Any:
    for depth, entry in enumerate(path):
        try:
            value = value[key_of(entry)]
        except (LookupError, TypeError):
            where = "/".join(str(key_of(one)) for one in path[: depth + 1])
            raise ValueError(
                f"`extra_like` must have the structure of what was given at the checkpoint: that has no "
                f"{where!r}. Leave `extra_like` out to see what there is."
            ) from None
    return value


def _pack_array(value: Any, arrays: list[NpArray], place: Place) -> Json:
    prng = prng_of(value)
    values = as_contiguous(to_numpy(value))
    try:
        stored_form(values.dtype)
    except TypeError as error:
        raise TypeError(f"{_where(place)} cannot be kept: {error}") from None
    arrays.append(values)
    form = "scalar" if isinstance(value, np.generic) else "numpy" if isinstance(value, np.ndarray) else "jax"
    return {"array": len(arrays) - 1, "as": form} | ({"prng": prng} if prng else {})


def _pack_items(items: Mapping[Any, Any], arrays: list[NpArray], place: Place) -> list[Json]:
    packed: list[Json] = []
    for key, item in items.items():
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            raise TypeError(f"The keys of {_where(place)} must be strings or integers: got {key!r}.")
        packed.append([key, pack(item, arrays, (*place, str(key)))])
    return packed


def _fields(value: Any, place: Place) -> Mapping[Any, Any]:
    """Gives the children of a named tuple, a dataclass or a mapping by their names."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(cast("Any", value)._fields, cast("tuple[Any, ...]", value), strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return cast("Mapping[Any, Any]", value)
    raise TypeError(
        f"{_where(place)} must be an array, a number, a text, None, or a container of such: got "
        f"{type(value).__name__}. Turn it into arrays, or save it with a library of its own."
    )


def _where(place: Place) -> str:
    return f"`{'/'.join(place)}`" if place else "The value"
