"""The names of a pytree's leaves, and the containers they hang in.

A leaf is named by its path, `observation/pixels`, tuples by index. A component that would be ambiguous on
disk is percent-encoded, so two leaves never share a name. The containers are recorded as plain JSON, so
that dicts, lists and tuples come back as they were, and named tuples and dataclasses as dicts.
"""

import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

BARE = "value"  # the name of the leaf where the pytree is one array

Json = Any


@dataclass(frozen=True)
class Tree:
    """The containers of a pytree.

    Attributes:
      names: the leaves' names, in JAX's flattening order.
      shape: nested JSON: an integer for a leaf, else `{"kind": ..., "children": [[key, shape], ...]}`.
    """

    names: tuple[str, ...]
    shape: Json

    def to_dict(self) -> dict[str, Json]:
        """Gives the tree as JSON."""
        return {"names": list(self.names), "shape": self.shape}

    @classmethod
    def from_dict(cls, data: Mapping[str, Json]) -> "Tree":
        """Reads the tree from JSON."""
        return cls(tuple(data["names"]), data["shape"])

    def rebuild(self, values: Sequence[Any]) -> Any:
        """Hangs one value a leaf in plain containers."""
        return _rebuild(self.shape, values)


def component(key: Any) -> str:
    """Encodes one step of a path so that it is a safe Zarr node name and cannot collide.

    Example:
      >>> component("obs"), component("a/b"), component("zarr.json"), component("")
      ('obs', 'a%2Fb', 'zarr%2Ejson', '%')
    """
    text = urllib.parse.quote(str(key), safe=" ")
    if text == "zarr.json" or not text.strip("."):
        text = text.replace(".", "%2E")
    if text.startswith("__"):
        text = "%5F" + text[1:]
    return text or "%"


def flatten(tree: Any) -> tuple[list[Any], Tree]:
    """Gives a pytree's leaves and its `Tree`.

    Raises:
      ValueError: if the tree has no leaf.
      TypeError: if a dict key is neither a string nor an integer.
    """
    import jax

    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    if not paths:
        raise ValueError("`steps` must hold at least one array: got an empty pytree.")
    if paths[0][0] == ():
        return [paths[0][1]], Tree((BARE,), 0)
    names = tuple(name_of(path) for path, _ in paths)
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"Two leaves of `steps` have the same name {twice}. Rename one of the keys.")
    entries = [(path, index) for index, (path, _) in enumerate(paths)]
    return [leaf for _, leaf in paths], Tree(names, _describe(tree, entries, 0))


def name_of(path: Sequence[Any]) -> str:
    """Names a leaf by its path, as JAX has paths."""
    return "/".join(component(key_of(entry)) for entry in path)


def key_of(entry: Any) -> Any:
    """Gives the key of one step of a path, as JAX has paths: a name, or an integer.

    Raises:
      TypeError: if it is neither.
    """
    for attribute in ("key", "idx", "name"):
        if hasattr(entry, attribute):
            key = getattr(entry, attribute)
            if not isinstance(key, (str, int)):
                raise TypeError(
                    f"The keys of `steps` must be strings or integers: got {key!r}, {type(key).__name__}."
                )
            return key
    return str(entry)


def _describe(node: Any, entries: list[tuple[Any, int]], depth: int) -> Json:
    path, index = entries[0]
    if len(path) == depth:
        return index
    groups: dict[Any, list[tuple[Any, int]]] = {}
    for entry in entries:
        groups.setdefault(key_of(entry[0][depth]), []).append(entry)
    kind = type(path[depth]).__name__
    name = {"DictKey": "dict", "SequenceKey": "list" if isinstance(node, list) else "tuple"}
    record = name.get(kind, "record")
    children = [[key, _describe(_child(node, key), group, depth + 1)] for key, group in groups.items()]
    described = {"kind": record, "children": children}
    return described | {"type": type(node).__name__} if record == "record" else described


def _child(node: Any, key: Any) -> Any:
    if isinstance(node, (Mapping, list)) or type(node) is tuple:
        return cast("Any", node)[key]
    return getattr(node, key, None) if isinstance(key, str) else None


def _rebuild(shape: Json, values: Sequence[Any]) -> Any:
    if isinstance(shape, int):
        return values[shape]
    children = [(key, _rebuild(child, values)) for key, child in shape["children"]]
    if shape["kind"] in ("list", "tuple"):
        items = [child for _, child in children]
        return items if shape["kind"] == "list" else tuple(items)
    return dict(children)


def matches(pattern: str, name: str) -> bool:
    """Says whether a leaf name is the given one or lies below it.

    Example:
      >>> matches("observation", "observation/pixels"), matches("obs", "observation")
      (True, False)
    """
    return name == pattern or name.startswith(pattern + "/")


def last(name: str) -> str:
    """Gives the last component of a leaf's name."""
    return re.split("/", name)[-1]
