"""A vault on its way out: its episodes under the step model's names, whatever its leaves are called.

```
# obs, rewards, done, logits  ->  observation, reward, terminated + truncated, infos/logits
```
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

import numpy as np

from ..vault.contents import Contents
from ..vault.dtypes import NpArray
from ..vault.roles import OBSERVATIONS, Roles
from .readback import recorded_of
from .recorded import Recorded

ACTIONS = ("action", "actions")
INFOS = ("infos", "info")
FLAGS = ("terminated", "truncated")
_NEEDS = ("observation", "action", "reward")


@dataclass(frozen=True)
class Standard:
    """What is to be written.

    Attributes:
      contents: the vault or view.
      names: the step model's name of each leaf, by the vault's.
      example: one step, by the step model's names; `terminated` and `truncated` among them.
      finals: names of the leaves that have final rows.
      notes: what became of what the step model has no place for, a sentence each.
    """

    contents: Contents
    names: Mapping[str, str]
    example: Mapping[str, NpArray]
    finals: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.contents)

    @property
    def num_steps(self) -> int:
        """Steps of the episodes that ended."""
        return int(self.contents.episodes["length"].sum())

    @property
    def finals_known(self) -> bool:
        """Whether the final observation of every episode is known."""
        observed = {name for name in self.example if below(name, "observation")}
        return observed <= set(self.finals) and bool(self.contents.episodes["final_known"].all())

    def episodes(self) -> Iterator[Recorded]:
        """Yields the episodes; their last steps' flags are what the episode table says."""
        for episode in recorded_of(self.contents):
            steps = {self.names[name]: values for name, values in episode.steps.items()}
            length = len(next(iter(steps.values())))
            for flag in FLAGS:
                values = np.asarray(steps.get(flag, np.zeros(length)) != 0)
                if length and values[-1] != getattr(episode, flag):
                    values[-1] = getattr(episode, flag)
                steps[flag] = values
            final = episode.final
            yield replace(
                episode,
                steps=steps,
                final=None if final is None else {self.names[n]: row for n, row in final.items()},
            )


def standard(contents: Contents, needs: Sequence[str] = _NEEDS) -> Standard:
    """Returns a vault's or view's episodes under the step model's names.

    Args:
      contents: the vault or view.
      needs: leaves, or groups of them, that the format must have.

    Raises:
      ValueError: if one of them is missing, or nothing has ended.

    Example:
      >>> from strongbax.vault.view import example
      >>> out = standard(example(lengths=[2]), needs=["observation"])
      >>> sorted(out.example), [episode.steps["terminated"].tolist() for episode in out.episodes()]
      (['observation', 'reward', 'terminated', 'truncated'], [[False, True]])
    """
    schema = contents.schema
    names = {name: standard_name(name, schema.roles) for name in schema.names}
    if len(set(names.values())) < len(names):
        names = {name: name for name in schema.names}
    missing = [need for need in needs if not any(below(name, need) for name in names.values())]
    if missing:
        raise ValueError(
            f"The format must have {', '.join(f'`{need}`' for need in needs)}; this vault has no "
            f"`{missing[0]}`: its leaves are {list(schema.names)}. Name its role when the vault is made."
        )
    if not len(contents):
        raise ValueError("`contents` must hold an episode that ended; there is none.")
    example = {names[leaf.name]: np.zeros(leaf.shape, leaf.dtype) for leaf in schema.leaves}
    finals = tuple(names[name] for name in schema.finals)
    return Standard(
        contents, names, example | {flag: np.zeros((), np.bool_) for flag in FLAGS}, finals, _notes(contents)
    )


def standard_name(name: str, roles: Roles) -> str:
    """Returns the step model's name of a leaf.

    Example:
      >>> standard_name("obs/pixels", Roles()), standard_name("r", Roles(reward="r"))
      ('observation/pixels', 'reward')
    """
    for role in ("reward", *FLAGS):
        if getattr(roles, role) == name:
            return role
    top, *rest = name.split("/")
    following = () if roles.next_observation is None else (roles.next_observation,)
    groups = [
        ("observation", OBSERVATIONS),
        ("action", ACTIONS),
        ("infos", INFOS),
        ("next_observation", following),
    ]
    standard = next((group for group, tops in groups if top in tops), top)
    return "/".join([standard, *rest])


def key_of(name: str) -> str:
    """Returns a leaf's path in an HDF5 file.

    Raises:
      ValueError: if a key has a slash in it, which parts groups there.

    Example:
      >>> key_of("infos/gr%C3%B6%C3%9Fe")
      'infos/größe'
    """
    keys = [unquote(part) for part in name.split("/")]
    slashed = [key for key in keys if "/" in key]
    if slashed:
        raise ValueError(f"HDF5 has no place for the key {slashed[0]!r} of the leaf {name!r}. Rename it.")
    return "/".join(keys)


def is_needed(name: str) -> bool:
    """Says whether an episode means nothing without a leaf: it is no leaf that a writer may leave out.

    Example:
      >>> is_needed("observation/pixels"), is_needed("infos/text")
      (True, False)
    """
    return any(below(name, group) for group in _NEEDS)


def below(name: str, group: str) -> bool:
    """Says whether a leaf is a group's, or is it.

    Example:
      >>> below("observation/pixels", "observation"), below("observations", "observation")
      (True, False)
    """
    return name == group or name.startswith(group + "/")


def _notes(contents: Contents) -> tuple[str, ...]:
    columns = sorted(contents.schema.columns)
    return (f"The columns {columns} of the episode table are not written.",) if columns else ()
