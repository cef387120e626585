"""Episodes as formats have them that keep each by itself, and blocks made of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.episodes import Ends
from ..vault.errors import FormatError
from .source import Block, Blocks

# `episodes(start, stop)` reads the episodes of the units `[start, stop)`, in their order.
Episodes = Callable[[int, int], Iterator["Recorded"]]


class Rows(Protocol):
    """A leaf's rows `[T, ...]` that are read when they are sliced, as `video.Clip` reads frames."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a row."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NpArray: ...


@dataclass(frozen=True)
class Recorded:
    """One episode of a source.

    Attributes:
      steps: leaves `[T, ...]` by name; `T` may be 0.
      terminated: the MDP ended.
      truncated: somebody stopped it. Neither: it was cut.
      final: rows `[...]` of the leaves that have final rows, by name, or None where none is known.
      columns: values of the source's own columns of the episode table, by name.
      attributes: a JSON object.
      sliced: leaves that are read when they are sliced: of such an episode a block is in memory at a time.
    """

    steps: Mapping[str, NpArray]
    terminated: bool
    truncated: bool
    final: Mapping[str, NpArray] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict[str, Any])
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sliced: Mapping[str, Rows] = field(default_factory=dict[str, Rows])


def blocks_of(
    episodes: Episodes,
    units: int,
    example: Mapping[str, NpArray],
    finals: Sequence[str] = (),
    columns: Mapping[str, Any] | None = None,
) -> Blocks:
    """Gives a source's `blocks`: whole episodes, about as many steps at a time as are asked for.

    Args:
      episodes: `episodes(start, stop)` reads those of the units `[start, stop)`, each time it is called;
        nothing before them is read. A pickle of it must do the same.
      units: the source's number of units; one episode each, where the format allows it.
      example: one step, as in `Source`.
      finals: names of the leaves that have final rows; zeros stand where none is known.
      columns: dtypes, as in `Source`.

    Raises:
      FormatError: when the blocks are read, if an episode's leaves are not those of `example`.

    Example:
      >>> one = Recorded({"reward": np.ones(3)}, terminated=True, truncated=False)
      >>> blocks = blocks_of(lambda start, stop: iter([one] * (stop - start)), 4, {"reward": np.zeros(())})
      >>> [(block.num_steps, block.ends.stop.tolist()) for block in blocks(5)]
      [(6, [3, 6]), (6, [3, 6])]
      >>> [block.num_steps for block in blocks(5, 1)]
      [6, 3]
    """
    return partial(_blocks, episodes, units, example, tuple(finals), columns or {})


def undivided(episodes: Callable[[], Iterator[Recorded]], start: int, stop: int) -> Iterator[Recorded]:
    """Reads a source that is one unit, for it can only be read from its start.

    Example:
      >>> len(list(undivided(lambda: iter("ab"), 0, 1))), len(list(undivided(lambda: iter("ab"), 1, 1)))
      (2, 0)
    """
    return episodes() if start < stop else iter(())


def _blocks(
    episodes: Episodes,
    units: int,
    example: Mapping[str, NpArray],
    finals: Sequence[str],
    columns: Mapping[str, Any],
    num_steps: int,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Block]:
    held: list[Recorded] = []
    count = 0
    for number, episode in enumerate(episodes(start, units if stop is None else stop), start):
        length = _checked(episode, example, number)
        if episode.sliced:
            if held:
                yield _block(held, example, finals, columns)
            held, count = [], 0
            yield from _pieces(episode, length, example, finals, columns, num_steps)
            continue
        count += length
        held.append(episode)
        if count >= num_steps:
            yield _block(held, example, finals, columns)
            held, count = [], 0
    if held:
        yield _block(held, example, finals, columns)


def _pieces(
    episode: Recorded,
    length: int,
    example: Mapping[str, NpArray],
    finals: Sequence[str],
    columns: Mapping[str, Any],
    num_steps: int,
) -> Iterator[Block]:
    """Reads an episode piece by piece; it ends in the last one."""
    leaves: Mapping[str, Rows] = {**episode.steps, **episode.sliced}
    for start in range(0, max(1, length), num_steps):
        stop = min(start + num_steps, length)
        steps = {name: leaves[name][start:stop] for name in example}
        ending = [episode] if stop == length else []
        yield Block(steps, _ends(ending, [stop - start] * len(ending), example, finals, columns))


def _checked(episode: Recorded, example: Mapping[str, NpArray], number: int) -> int:
    """Gives an episode's length."""
    leaves: Mapping[str, Rows] = {**episode.steps, **episode.sliced}
    lengths = {name: len(values) for name, values in leaves.items()}
    if lengths.keys() != example.keys():
        lacks, more = sorted(example.keys() - lengths.keys()), sorted(lengths.keys() - example.keys())
        odd = f"no {', '.join(lacks)}" if lacks else f"{', '.join(more)} besides"
        raise FormatError(
            f"Episode {number} has {odd}; the first has {', '.join(sorted(example))}. Every episode must "
            "have the same leaves."
        )
    if len(set(lengths.values())) > 1:
        raise FormatError(f"The leaves of episode {number} have different lengths: {lengths}.")
    for name, values in leaves.items():
        wanted = example[name]
        if values.dtype != wanted.dtype or values.shape[1:] != wanted.shape:
            raise FormatError(
                f"The leaf {name!r} of episode {number} is {values.dtype} {list(values.shape[1:])} a step; "
                f"in the first it is {wanted.dtype} {list(wanted.shape)}."
            )
    return next(iter(lengths.values()))


def _block(
    episodes: Sequence[Recorded],
    example: Mapping[str, NpArray],
    finals: Sequence[str],
    columns: Mapping[str, Any],
) -> Block:
    steps = {name: np.concatenate([episode.steps[name] for episode in episodes]) for name in example}
    lengths = [len(next(iter(episode.steps.values()))) for episode in episodes]
    return Block(steps, _ends(episodes, lengths, example, finals, columns))


def _ends(
    episodes: Sequence[Recorded],
    lengths: Sequence[int],
    example: Mapping[str, NpArray],
    finals: Sequence[str],
    columns: Mapping[str, Any],
) -> Ends:
    known = np.array([episode.final is not None for episode in episodes], np.bool_)
    rows = {
        name: np.array([_final(episode, name, example[name]) for episode in episodes], example[name].dtype)
        for name in finals
    }
    return Ends(
        np.cumsum(lengths, dtype=np.int64),
        np.array([episode.terminated for episode in episodes], np.bool_),
        np.array([episode.truncated for episode in episodes], np.bool_),
        {name: values.reshape(len(episodes), *example[name].shape) for name, values in rows.items()}
        if finals
        else None,
        known if finals else None,
        {name: np.array([e.columns[name] for e in episodes], dtype) for name, dtype in columns.items()},
        [dict(episode.attributes) for episode in episodes],
    )


def _final(episode: Recorded, name: str, example: NpArray) -> NpArray:
    if episode.final is None or name not in episode.final:
        return np.zeros(example.shape, example.dtype)
    return np.asarray(episode.final[name], example.dtype)
