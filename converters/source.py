"""What every format's reader hands on: a `Source`, read block by block.

A format knows how its files are laid out; from here on all are alike. Leaves are named as in a
vault (`infos/qpos`), and only one block is in memory at a time.

```
# units     :  |<- 0 ->|<---- 1 ---->|<- 2 ->|<--- 3      what can be read without what is before it
# lengths   :  [   3,        5,          3,        4]     steps
# blocks(4, 1, 3)      [. . . .][. . . .]                 units 1 and 2, four steps at a time
```
A unit is one episode where the format allows it, else several (a file), or the whole source.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from ..vault.dtypes import NpArray
from ..vault.episodes import Ends
from ..vault.errors import FormatError


@dataclass(frozen=True)
class Block:
    """Some consecutive steps of a source; `n` is their number.

    Attributes:
      steps: leaves `[n, ...]` by name.
      ends: the episodes that end among them. An episode without an end goes on in the next block.
      derived: leaves `[n, ...]` that the source stores and that a vault derives from its rows and
        finals (`next_observation`): not stored, but checked against what the vault derives.
    """

    steps: Mapping[str, NpArray]
    ends: Ends
    derived: Mapping[str, NpArray] = field(default_factory=dict[str, NpArray])

    @property
    def num_steps(self) -> int:
        """The number of steps."""
        return len(next(iter(self.steps.values())))


class Blocks(Protocol):
    """Reads a source, or some of its units, block by block; anew each time it is called."""

    def __call__(self, num_steps: int, start: int = 0, stop: int | None = None, /) -> Iterator[Block]:
        """Yields the blocks of the units `[start, stop)`.

        Args:
          num_steps: in a block, about; the last block may be shorter.
          start: the first unit; what is before it is not read.
          stop: the unit to stop before; None reads to the end.
        """
        ...


@dataclass(frozen=True)
class Source:
    """A dataset in a foreign format, ready to be read, and to be sent to another process as a pickle.

    Attributes:
      example: one step, leaves without the row axis, by name.
      lengths: steps of each unit, int64 `[U]`. A unit begins where an episode does, ends where one does,
        and can be read by itself.
      finals: names of the leaves that have final rows.
      blocks: `blocks(n)` reads the source from its start, `n` steps at a time; `blocks(n, start, stop)` the
        units `[start, stop)`.
      facts: JSON: what the source's layout is and what was decided on it. Goes into the card.
      attributes: JSON: what the source holds that is neither a step nor an episode.
      arrays: the same where it is an array, by name; attached to the vault.
      derived: names of the leaves that the source stores and a vault derives; see `Block`.
      horizon: steps after which the environment stops an episode, where known.
      columns: dtype of each column of the episode table that the source's `Ends` have beside the
        vault's own, by name.
      card: facts about the dataset as the source states them (`dataset_id`, `licence`, `env_spec`, ...).
    """

    example: Mapping[str, NpArray]
    lengths: NpArray
    finals: tuple[str, ...]
    blocks: Blocks
    facts: Mapping[str, Any]
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    arrays: Mapping[str, NpArray] = field(default_factory=dict[str, NpArray])
    derived: tuple[str, ...] = ()
    horizon: int | None = None
    columns: Mapping[str, Any] = field(default_factory=dict[str, Any])
    card: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def num_steps(self) -> int:
        """The steps of the whole source."""
        return int(self.lengths.sum())

    @property
    def num_units(self) -> int:
        """The number of units."""
        return len(self.lengths)


class ReadAgain(Exception):  # noqa: N818 - a signal, not an error
    """Says that a source turned out otherwise than assumed, and is to be read again from its start.

    Attributes:
      why: what was found, a sentence for the card.
      options: the reader's options that fit it.
    """

    def __init__(self, why: str, **options: Any) -> None:
        super().__init__(why)
        self.why = why
        self.options = options


def named(source: Source, path: Path) -> Source:
    """Returns a source whose errors say of what they are, where they do not anyway.

    Args:
      source: as its format's reader gives it.
      path: that it was opened by.
    """
    return replace(source, blocks=partial(_named, source.blocks, path))


def _named(
    blocks: Blocks, path: Path, num_steps: int, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    try:
        yield from blocks(num_steps, start, stop)
    except FormatError as error:
        if str(path) in str(error):
            raise
        raise FormatError(f"{path}: {error}") from error


def nest(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Hangs leaves in nested dicts by the `/` in their names; keys come as they were before `component`.

    Example:
      >>> nest({"reward": 1, "infos/qpos": 2, "infos/a%2Fb": 3})
      {'reward': 1, 'infos': {'qpos': 2, 'a/b': 3}}
    """
    tree: dict[str, Any] = {}
    for name, leaf in leaves.items():
        *path, last = ["" if part == "%" else unquote(part) for part in name.split("/")]
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = leaf
    return tree
