"""One episode as a Minari storage holds it, before final rows are parted from steps."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .extra import extra

COUNTS = ("id", "total_steps")  # of an episode's metadata: what its place and its length say
FLAGS = {"terminations": "terminated", "truncations": "truncated"}


@dataclass(frozen=True)
class Raw:
    """An episode of `T` steps.

    Attributes:
      leaves: by name; observations `[T + 1, ...]`, actions, reward and flags `[T, ...]`, infos
        `[T + 1, ...]`, `[T, ...]` or one value `[]`.
      facts: the episode's metadata, as it stands.
      jpeg: names of the leaves that stand as JPEG.
      final_known: whether the last observation is what the last action led to; else it is a filler.
      ends: terminated and truncated, of an episode without a step to say it.
    """

    leaves: Mapping[str, NpArray]
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    jpeg: tuple[str, ...] = ()
    final_known: bool = True
    ends: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Scan:
    """What a look at an episode says.

    Attributes:
      length: in steps.
      nans: rewards that are NaN.
      widths: characters of the longest text, by leaf.
      following: leaves with a row more than there are steps, as far as a look tells.
    """

    length: int
    nans: int
    widths: Mapping[str, int]
    following: frozenset[str] = frozenset()


def texts(values: Sequence[Any], where: str) -> NpArray:
    """Returns texts as a fixed-width array `[T]`.

    Raises:
      FormatError: if one is no text, or ends with the zero character, which fixed width cannot hold.

    Example:
      >>> texts(["öl", b"go"], "`mission`").tolist()
      ['öl', 'go']
    """
    found = [value.decode("utf-8") if isinstance(value, bytes) else value for value in values]
    for row, value in enumerate(found):
        if not isinstance(value, str) or value.endswith("\0"):
            raise FormatError(f"{where} must hold texts without a zero at their end; row {row} is {value!r}.")
    return np.array(found, np.str_) if found else np.zeros(0, "U1")


def pictures(frames: Sequence[Any], shape: tuple[int, ...], where: str) -> NpArray:
    """Returns JPEG frames as pixels, uint8 `[T, *shape]`.

    Raises:
      FormatError: if a frame is no picture of that shape.
      MissingExtraError: without Pillow.
    """
    image = extra("PIL.Image", "images", "Reading pictures")
    pixels = np.empty((len(frames), *shape), np.uint8)
    for row, frame in enumerate(frames):
        try:
            decoded = np.asarray(image.open(io.BytesIO(bytes(frame))), np.uint8)
        except OSError as error:
            raise FormatError(f"Row {row} of {where} must be a JPEG: {error}. Fetch it again.") from error
        if decoded.shape != shape:
            raise FormatError(
                f"Row {row} of {where} is a picture of {list(decoded.shape)}; its space says {list(shape)}."
            )
        pixels[row] = decoded
    return pixels


def flags(values: NpArray, where: str) -> NpArray:
    """Returns flags as bool `[T]`.

    Raises:
      FormatError: if one is neither 0 nor 1.

    Example:
      >>> flags(np.array([0.0, 1.0]), "`terminations`").tolist()
      [False, True]
    """
    bad = ~((values == 0) | (values == 1))
    if values.ndim != 1 or bad.any():
        raise FormatError(f"{where} must hold one flag a step, 0 or 1: got {values.dtype} {values.shape}.")
    return values.astype(np.bool_)


def skipped(name: str, skip: Sequence[str]) -> bool:
    """Says whether a leaf is to be left out, by its name or its group's.

    Example:
      >>> skipped("infos/qpos", ["infos"]), skipped("infos/qpos", ["infos/q"])
      (True, False)
    """
    return any(name == one or name.startswith(one + "/") for one in skip)


def hang(facts: dict[str, Any], place: Sequence[str], value: Any) -> None:
    """Puts a fact at its place, an object in an object for each part of it.

    Example:
      >>> facts = {}
      >>> hang(facts, ["options", "goal"], 1)
      >>> facts
      {'options': {'goal': 1}}
    """
    *path, last = place
    for part in path:
        facts = facts.setdefault(part, {})
    facts[last] = value
