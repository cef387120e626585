"""The self-check of what was written: read back by our own reader, episode by episode, to the bit.

A writer says what it meant to write, as `Recorded` episodes; the reader says what stands on disk.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from ..vault.contents import Contents
from ..vault.dtypes import NpArray
from ..vault.episodes import Episode
from ..vault.errors import CorruptionError
from ..vault.tree import flatten
from .recorded import Recorded
from .source import Block, Source

BLOCK_BYTES = 16 << 20


def recorded_of(contents: Contents) -> Iterator[Recorded]:
    """Yields the episodes of a vault or view that ended, leaves by name.

    Example:
      >>> from strongbax.vault.view import example
      >>> [sorted(episode.steps) for episode in recorded_of(example(lengths=[2]))]
      [['observation', 'reward', 'terminated']]
    """
    for episode in contents:
        yield _recorded(episode)


def _recorded(episode: Episode) -> Recorded:
    return Recorded(
        named(episode.steps),
        terminated=bool(episode.terminated),
        truncated=bool(episode.truncated),
        final=None if episode.final is None else named(episode.final),
        columns=episode.columns,
        attributes=episode.attributes,
    )


def named(tree: Any) -> dict[str, NpArray]:
    """Returns a pytree's leaves as arrays by name."""
    leaves, shape = flatten(tree)
    return {name: np.asarray(leaf) for name, leaf in zip(shape.names, leaves, strict=True)}


def episodes_of(source: Source) -> Iterator[Recorded]:
    """Yields the episodes of a source; what follows its last end is none.

    Example:
      >>> from strongbax.converters.recorded import blocks_of
      >>> one = Recorded({"reward": np.ones(3)}, terminated=True, truncated=False)
      >>> blocks = blocks_of(lambda start, stop: iter([one, one][start:stop]), 2, {"reward": np.zeros(())})
      >>> source = Source({"reward": np.zeros(())}, np.array([3, 3]), (), blocks, {})
      >>> [len(episode.steps["reward"]) for episode in episodes_of(source)]
      [3, 3]
    """
    step_bytes = sum(leaf.nbytes for leaf in source.example.values())
    rest: dict[str, NpArray] = {}
    for block in source.blocks(max(1, BLOCK_BYTES // max(1, step_bytes))):
        steps = {n: np.concatenate([rest[n], v]) if rest else v for n, v in block.steps.items()}
        before = len(next(iter(rest.values()))) if rest else 0
        start = 0
        for row, stop in enumerate((block.ends.stop + before).tolist()):
            yield _episode(block, row, {name: values[start:stop] for name, values in steps.items()})
            start = stop
        rest = {name: values[start:] for name, values in steps.items()}


def _episode(block: Block, row: int, steps: Mapping[str, NpArray]) -> Recorded:
    ends = block.ends
    known = ends.final is not None and (ends.final_known is None or bool(ends.final_known[row]))
    return Recorded(
        steps,
        terminated=bool(ends.terminated[row]),
        truncated=bool(ends.truncated[row]),
        final={n: np.asarray(v[row], v.dtype) for n, v in (ends.final or {}).items()} if known else None,
        columns={name: values[row] for name, values in ends.columns.items()},
        attributes=ends.attributes[row] if ends.attributes else {},
    )


def compare(wanted: Iterable[Recorded], source: Source) -> None:
    """Checks that a source, just written, holds the episodes that were meant.

    Args:
      wanted: what was to be written: leaves, ends, final rows and attributes.
      source: of what was written, by our own reader.

    Raises:
      CorruptionError: naming the first episode and leaf that differ.

    Example:
      >>> from strongbax.converters.recorded import blocks_of
      >>> one = Recorded({"reward": np.ones(3)}, terminated=True, truncated=False)
      >>> blocks = blocks_of(lambda start, stop: iter([one][start:stop]), 1, {"reward": np.zeros(())})
      >>> source = Source({"reward": np.zeros(())}, np.array([3]), (), blocks, {})
      >>> compare([one], source)
    """
    pairs = itertools.zip_longest(wanted, episodes_of(source))
    for number, (one, other) in enumerate(pairs):
        if one is None or other is None:
            _fail(f"there are {'more' if one is None else 'fewer'} than {number} episodes")
        for what in ("terminated", "truncated"):
            if getattr(one, what) != getattr(other, what):
                _fail(f"`{what}` of episode {number} is {getattr(other, what)}")
        _same(one.steps, other.steps, f"of episode {number}")
        if (one.final is None) != (other.final is None):
            _fail(f"the final rows of episode {number} are {'lost' if other.final is None else 'invented'}")
        _same(one.final or {}, other.final or {}, f"of the final rows of episode {number}")
        if dict(one.attributes) != dict(other.attributes):
            _fail(f"the attributes of episode {number} are {other.attributes}")


def _same(one: Mapping[str, NpArray], other: Mapping[str, NpArray], where: str) -> None:
    if one.keys() != other.keys():
        _fail(f"the leaves {where} are {sorted(other)} instead of {sorted(one)}")
    for name, values in one.items():
        found = other[name]
        if (values.dtype.kind, found.dtype.kind, values.shape) == ("U", "U", found.shape):
            width = max(values.dtype, found.dtype, key=lambda dtype: dtype.itemsize)
            values, found = np.asarray(values).astype(width), np.asarray(found).astype(width)  # noqa: PLW2901 - texts have no width
        if (values.dtype, values.shape) != (found.dtype, found.shape):
            _fail(
                f"the leaf `{name}` {where} is {found.dtype} {list(found.shape)} "
                f"instead of {values.dtype} {list(values.shape)}"
            )
        if values.tobytes() != found.tobytes():
            _fail(f"the leaf `{name}` {where} has other values")


def _fail(what: str) -> NoReturn:
    raise CorruptionError(
        f"What was written is not what the vault holds: {what}. Nothing was kept. Disk or memory fail, or "
        "this is a bug to report."
    )
