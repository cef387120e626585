"""What a vault will hold, described from an example of one step."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .block import choose_block
from .codecs import choose_codecs
from .dtypes import stored_form
from .roles import OBSERVATIONS, parse_roles
from .schema import COLUMNS, Leaf, Schema
from .states import leaf_of
from .tree import flatten, matches


def describe(
    steps: Any,
    streams: int,
    *,
    roles: Mapping[str, str | None] | None,
    finals: Sequence[str] | None,
    codec: str | Mapping[str, str] | None,
    columns: Mapping[str, Any],
    block: int | None,
) -> Schema:
    """Makes the schema; arguments as in `Vault.create`.

    Raises:
      ValueError, TypeError: if they do not fit together.
    """
    values, tree = flatten(steps)
    described = {name: leaf_of(name, value) for name, value in zip(tree.names, values, strict=True)}
    codecs = choose_codecs(codec, {name: (dtype, shape) for name, (dtype, shape, _) in described.items()})
    leaves = tuple(Leaf(n, dtype, shape, codecs[n], prng) for n, (dtype, shape, prng) in described.items())
    for leaf in leaves:
        stored_form(leaf.dtype)
    return Schema(
        streams=streams,
        leaves=leaves,
        tree=tree,
        roles=parse_roles(roles, tree.names),
        finals=_choose_finals(finals, tree.names, OBSERVATIONS),
        columns=_columns(columns),
        block=choose_block(streams, leaves, block),
    )


def treedef_of(step: Any) -> Any:
    """Gives the containers of a step, as JAX knows them."""
    import jax

    return jax.tree_util.tree_structure(step)


def check_one_step(steps: Any) -> None:
    """Checks that an example of a step is not what holds many.

    Raises:
      TypeError: if it is a buffer's state.
    """
    if all(hasattr(steps, name) for name in ("experience", "current_index", "is_full")):
        raise TypeError("`steps` must be an example of one step: got a buffer's state. Give it as `like=`.")


def _columns(columns: Mapping[str, Any]) -> dict[str, np.dtype[Any]]:
    taken = {"id", "attributes", "attributes_stop", *COLUMNS}
    for name, dtype in columns.items():
        if name in taken or not name.isidentifier():
            raise ValueError(
                f"`columns` names must be identifiers and none of {sorted(taken)}: got {name!r}."
            )
        stored_form(np.dtype(dtype))
    return {name: np.dtype(dtype) for name, dtype in columns.items()}


def _choose_finals(finals: Any, names: tuple[str, ...], observations: tuple[str, ...]) -> tuple[str, ...]:
    """Gives the leaves that have final rows: those asked for, else the observation's.

    Raises:
      ValueError: if a name fits no leaf.
    """
    if finals is None:
        return tuple(n for n in names if n.split("/", maxsplit=1)[0] in observations)
    for pattern in finals:
        if not any(matches(pattern, name) for name in names):
            raise ValueError(f"`finals` names {pattern!r}, which no leaf has: the leaves are {list(names)}.")
    return tuple(name for name in names if any(matches(pattern, name) for pattern in finals))
