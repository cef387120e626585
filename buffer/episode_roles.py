"""Which leaves of a step say where episodes end, found by their names or given.

The names are those by which a vault finds the same roles, so that a buffer and the vault it is flushed to
see the same episodes.

Letters: `B` streams, `T` steps.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .layout import leaf_names

STANDARD = {
    "reward": ("reward", "rewards"),
    "terminated": (
        "terminated",
        "terminations",
        "termination",
        "terminals",
        "terminal",
        "is_terminal",
    ),
    "truncated": ("truncated", "truncations", "truncation", "timeouts", "timeout"),
    "done": ("done", "dones"),
    "discount": ("discount", "discounts"),
    "is_first": ("is_first",),
    "is_last": ("is_last",),
}

_LAST = ("terminated", "truncated", "done", "is_last")


def find(steps: Any, given: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Finds the leaf that plays each role.

    The shallowest leaf of a standard name plays its role; where several are, none does.

    Args:
      steps: any pytree of steps.
      given: leaves by role, over what is found; None for a role that no leaf plays.

    Returns:
      Names of leaves (paths joined by `/`) by role.

    Raises:
      ValueError: if a role or a leaf is not known, or no leaf says where episodes end.

    Example:
      >>> find({"obs": 0, "rewards": 0, "info": {"done": 0}})
      {'reward': 'rewards', 'done': 'info/done'}
      >>> find({"obs": 0, "d": 0}, {"terminated": "d"})
      {'terminated': 'd'}
    """
    names = leaf_names(steps)
    found = {role: leaf for role in STANDARD if (leaf := _by_name(role, names)) is not None}
    for role, leaf in (given or {}).items():
        if role not in STANDARD:
            raise ValueError(
                f"`roles` must name some of {list(STANDARD)}: got {role!r}. Rename or remove it."
            )
        if leaf is not None and leaf not in names:
            raise ValueError(f"`roles` must give {role!r} to a leaf of the steps, {names}: got {leaf!r}.")
        found.pop(role, None)
        if leaf is not None:
            found[role] = leaf
    if not any(role in found for role in (*_LAST, "discount", "is_first")):
        raise ValueError(
            "`roles` must say which leaf ends an episode: none is named as usual ("
            f"{', '.join(_LAST)}, discount or is_first), got the leaves {names}. "
            "Give it, for example `roles={'terminated': 'my_leaf'}`."
        )
    return found


def ends(steps: Any, roles: Mapping[str, str]) -> tuple[Array, Array | None]:
    """Reads where episodes end and begin. Several agents end together, when all of them did.

    A discount of 0 is an end only where no leaf says terminated or done.

    Args:
      steps: leaves `[B, T, ...]`.
      roles: names of leaves by role.

    Returns:
      bool `[B, T]`, whether a step is the last of its episode; and bool `[B, T]`, whether it is said to
      be the first, or None where nothing says so.

    Example:
      >>> ends({"done": jnp.array([[0, 1]]), "truncated": jnp.array([[1, 0]])}, {"done": "done"})
      (Array([[False,  True]], dtype=bool), None)
    """
    leaves = dict(zip(leaf_names(steps), jax.tree.leaves(steps), strict=True))

    def flag(role: str) -> Array:
        return jnp.asarray(leaves[roles[role]]).astype(bool)

    last = [_everyone(flag(role)) for role in _LAST if role in roles]
    if "discount" in roles and "terminated" not in roles and "done" not in roles:
        last.append(_everyone(~flag("discount")))
    first = _everyone(flag("is_first")) if "is_first" in roles else None
    if not last:
        assert first is not None
        return jnp.zeros_like(first), first
    return jnp.stack(last).any(axis=0), first


def rewards(steps: Any, roles: Mapping[str, str]) -> Array | None:
    """Reads the rewards, summed over agents, as float32 `[B, T]`; None where no leaf plays the role.

    Args:
      steps: leaves `[B, T, ...]`.
      roles: names of leaves by role.

    Example:
      >>> rewards({"reward": jnp.ones((1, 2, 3))}, {"reward": "reward"})
      Array([[3., 3.]], dtype=float32)
    """
    if "reward" not in roles:
        return None
    leaves = dict(zip(leaf_names(steps), jax.tree.leaves(steps), strict=True))
    values = jnp.asarray(leaves[roles["reward"]]).astype(jnp.float32)
    return values.sum(axis=tuple(range(2, values.ndim)))


def _by_name(role: str, names: list[str]) -> str | None:
    candidates = [name for name in names if name.rsplit("/", 1)[-1] in STANDARD[role]]
    depth = min((name.count("/") for name in candidates), default=0)
    shallow = [name for name in candidates if name.count("/") == depth]
    return shallow[0] if len(shallow) == 1 else None


def _everyone(flags: Array) -> Array:
    return flags.all(axis=tuple(range(2, flags.ndim)))
