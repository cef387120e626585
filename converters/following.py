"""Stored next observations: what a vault derives is checked and left out, what it cannot derive is kept."""

from collections.abc import Mapping
from typing import NoReturn

from ..vault.dtypes import NpArray
from .source import ReadAgain
from .trajectories import same_bytes

PREFIX = "next_"


def derivable(steps: Mapping[str, NpArray], following: Mapping[str, NpArray]) -> bool:
    """Says whether the next observations of an episode are its observations, one row on.

    Args:
      steps: leaves `[T, ...]` by name.
      following: what each action led to, `[T, ...]`, by the name of the leaf that it follows.

    Example:
      >>> import numpy as np
      >>> rows = np.arange(4)
      >>> derivable({"observation": rows[:3]}, {"observation": rows[1:]})
      True
      >>> derivable({"observation": rows[:3]}, {"observation": rows[:3]})
      False
    """
    return all(same_bytes(rows[:-1], steps[name][1:]) for name, rows in following.items())


def next_name(name: str) -> str:
    """Names the leaf that holds what follows an observation's leaf.

    Example:
      >>> next_name("observation"), next_name("observation/pixels")
      ('next_observation', 'next_observation/pixels')
    """
    return PREFIX + name


def keep(path: object, episode: int, key: str) -> NoReturn:
    """Asks for the source to be read again, with all next observations kept.

    Raises:
      ReadAgain: always.
    """
    raise ReadAgain(
        f"`{key}` of episode {episode} in {path} are not its observations one row on, so all of them are "
        "kept as the leaf `next_observation`.",
        keep_next_observation=True,
    )
