"""Which leaf is the reward, and which say that an episode ends.

Roles are found by the field's standard names or given by the user. A vault without any still holds steps;
it then knows no episode ends but the ones it is told.
"""

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from .dtypes import NpArray
from .tree import last, matches

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
    "next_observation": ("next_observation", "next_observations", "next_obs"),
}
OBSERVATIONS = ("observation", "observations", "obs")


_FLAGS = ("terminated", "truncated", "done", "discount", "is_first", "is_last")


@dataclass(frozen=True)
class Roles:
    """The leaf that plays each role, by name, or None.

    Attributes:
      reward: what the action earned.
      terminated: nonzero where the MDP ended.
      truncated: nonzero where somebody stopped the episode.
      done: nonzero where the episode ended, for either reason.
      discount: 0 where the MDP ended.
      is_first: nonzero on an episode's first step.
      is_last: nonzero on an episode's last step.
      next_observation: leaf, or group of leaves, that holds what the action led to; an episode's final
        rows are taken from it.
    """

    reward: str | None = None
    terminated: str | None = None
    truncated: str | None = None
    done: str | None = None
    discount: str | None = None
    is_first: str | None = None
    is_last: str | None = None
    next_observation: str | None = None

    @functools.cached_property
    def ends(self) -> bool:
        """Whether any leaf says that an episode ends."""
        return any(getattr(self, role) for role in _FLAGS)

    def to_dict(self) -> dict[str, str]:
        """Gives the roles that are played, as JSON."""
        return {role: leaf for role, leaf in asdict(self).items() if leaf is not None}


def find_roles(names: tuple[str, ...]) -> Roles:
    """Finds roles by the standard names; the shallowest leaf of a name plays it, ties play none.

    Example:
      >>> find_roles(("obs", "rewards", "terminals", "infos/qpos")).to_dict()
      {'reward': 'rewards', 'terminated': 'terminals'}
    """
    found: dict[str, str] = {}
    groups = tuple(dict.fromkeys(name.split("/")[0] for name in names))
    for role, standard in STANDARD.items():
        places = groups if role == "next_observation" else names
        candidates = [name for name in places if last(name) in standard]
        depth = min((name.count("/") for name in candidates), default=0)
        shallow = [name for name in candidates if name.count("/") == depth]
        if len(shallow) == 1:
            found[role] = shallow[0]
    return Roles(**found)


def parse_roles(roles: Mapping[str, str | None] | None, names: tuple[str, ...]) -> Roles:
    """Completes the roles that were given with those that are found; a role given as None is not played.

    Raises:
      ValueError: for a role or a leaf that is not known.
    """
    found = find_roles(names).to_dict()
    for role, leaf in (roles or {}).items():
        if role not in STANDARD:
            raise ValueError(f"`roles` may name {list(STANDARD)}: got {role!r}.")
        if leaf is not None and not any(_plays(role, leaf, name) for name in names):
            raise ValueError(f"`roles` gives {role!r} to the leaf {leaf!r}: the leaves are {list(names)}.")
        found.pop(role, None)
        if leaf is not None:
            found[role] = leaf
    return Roles(**found)


def _plays(role: str, leaf: str, name: str) -> bool:
    return matches(leaf, name) if role == "next_observation" else leaf == name


def next_leaves(roles: Roles, finals: tuple[str, ...], names: tuple[str, ...]) -> dict[str, str]:
    """Gives, for each leaf with final rows, the leaf that holds its successor in the same step.

    Example:
      >>> roles = Roles(next_observation="next_obs")
      >>> next_leaves(roles, ("obs/a", "obs/b"), ("obs/a", "obs/b", "next_obs/a", "next_obs/b"))
      {'obs/a': 'next_obs/a', 'obs/b': 'next_obs/b'}
    """
    if roles.next_observation is None:
        return {}
    pairs = {final: "/".join([roles.next_observation, *final.split("/")[1:]]) for final in finals}
    return pairs if set(pairs.values()) <= set(names) else {}


@dataclass(frozen=True)
class Flags:
    """What the roles say of a block of steps.

    Attributes:
      last: bool [B, T], the episode's last step.
      first: bool [B, T] or None, the episode's first step.
      terminated: bool [B, T].
      truncated: bool [B, T], or None: nowhere.
    """

    last: NpArray
    first: NpArray | None
    terminated: NpArray
    truncated: NpArray | None


def read_flags(roles: Roles, rows: Mapping[str, NpArray], streams: int, steps: int) -> Flags:
    """Reads the flags of a block; leaves are `[B, T, ...]`, several agents end together when all did.

    `done` alone counts as terminated, since nothing says otherwise; with a discount, an end whose discount
    is not 0 counts as truncated.
    """

    def flag(leaf: str | None) -> NpArray | None:
        if leaf is None:
            return None
        values: NpArray = rows[leaf]
        values = values if values.dtype == np.bool_ else np.not_equal(values, 0)
        agents = tuple(range(2, values.ndim))
        return np.asarray(values.all(axis=agents)) if agents else values

    terminated, truncated = flag(roles.terminated), flag(roles.truncated)
    is_last, is_first, done = flag(roles.is_last), flag(roles.is_first), flag(roles.done)
    alive = flag(roles.discount) if roles.terminated is None else None
    if terminated is None and alive is not None:
        terminated = ~alive if done is None else done & ~alive
    elif terminated is None and done is not None:
        terminated = done if truncated is None else done & ~truncated
    if terminated is None:
        terminated = np.zeros((streams, steps), np.bool_)
    if truncated is None and done is not None:
        truncated = done & ~terminated
    ends = terminated if truncated is None else terminated | truncated
    for other in (is_last, done):
        ends = ends if other is None else ends | other
    return Flags(ends, is_first, terminated, truncated)
