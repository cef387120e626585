"""The self-check: what was written is read back and compared with the source, which is read anew.

The source is read in other blocks than before, so that a fault in the reading shows too, and by a thread of
its own; a share is read from the files that it left. Compared are all bytes, not their hashes.
"""

import json
from collections.abc import Callable, Iterator

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.episodes import Ends, encode_attributes
from ..vault.errors import CorruptionError
from ..vault.share import bytes_of
from ..vault.share_reader import ShareReader
from .ahead import ahead
from .job import Job
from .returns import first_other, sums_of
from .source import Block, Source

NEXT = "next_observation"


def check(
    job: Job,
    number: int,
    written: ShareReader,
    told: Callable[[int], None],
    seen: Callable[[Block], None] | None = None,
) -> None:
    """Compares a share with its source, reading every row of both.

    Args:
      job: that it is of.
      number: of the share.
      written: the share, read back.
      told: called with the number of steps compared so far.
      seen: called with each block of the share, once it was compared.

    Raises:
      CorruptionError: if they differ, saying where.
    """
    other = job.rows - job.rows // 3  # not the blocks of before, and no more memory than they took
    share = written.share
    at, episode, running = share.span.start, 0, np.zeros(())
    for block in ahead(job.source.blocks(other, *job.units(number))):
        stop, last = at + block.num_steps, episode + len(block.ends.stop)
        if stop > share.span.stop or last > share.episodes:
            raise _refusal([f"the source has more than {share.span.stop} steps, {share.episodes} episodes"])
        found = _block(written, job.source, (at, stop), (episode, last))
        wrong = _different(block, found, at)
        reward = job.schema.roles.reward
        if not wrong and reward is not None:
            sums, running = sums_of(block.steps[reward], block.ends.stop, running)
            odd = first_other(sums, written.table.columns["return"][episode:last])
            wrong = [] if odd is None else [f"the return of episode {episode + odd} of the share {number}"]
        if wrong:
            raise _refusal(wrong)
        if seen is not None:
            seen(found)
        at, episode = stop, last
        told(at - share.span.start)
    if (at, episode) != (share.span.stop, share.episodes):
        raise _refusal([f"the source has {at} steps and {episode} episodes"])


def _refusal(wrong: list[str]) -> CorruptionError:
    return CorruptionError(
        f"The vault is not what the source is: {'; '.join(wrong)}. Nothing was kept. If the "
        "source was not changed meanwhile, disk or memory fail, or this is a bug to report."
    )


def blocks_of(written: ShareReader, source: Source, rows: int) -> Iterator[Block]:
    """Yields a share as it was written, `rows` steps at a time."""
    span, episode = written.share.span, 0
    stops = written.table.stops()
    for start in range(span.start, max(span.start + 1, span.stop), rows):
        stop = min(start + rows, span.stop)
        last = int(np.searchsorted(stops, stop, side="right"))
        yield _block(written, source, (start, stop), (episode, last))
        episode = last


def _block(written: ShareReader, source: Source, steps: tuple[int, int], episodes: tuple[int, int]) -> Block:
    """Reads steps of a share, counted in the vault, and the episodes that end among them, counted in it."""
    (start, stop), (low, high) = steps, episodes
    table, columns = written.table, written.table.columns
    finals = {name: written.final(name, low, high) for name in source.finals}
    ends = Ends(
        table.stops()[low:high] - start,
        columns["terminated"][low:high],
        columns["truncated"][low:high],
        finals or None,
        columns["final_known"][low:high] if finals else None,
        {name: columns[name][low:high] for name in source.columns},
        [json.loads(text) for text in table.attributes[low:high]],
    )
    leaves = {name: written.rows(name, start, stop) for name in source.example}
    derived = {NEXT: _next(written, leaves["observation"], ends, stop)} if NEXT in source.derived else {}
    return Block(leaves, ends, derived)


def _next(written: ShareReader, rows: NpArray, ends: Ends, stop: int) -> NpArray:
    """Returns next observations `[n, ...]`: the next rows, and final rows where episodes end."""
    following = np.empty_like(rows)
    following[:-1] = rows[1:]
    if stop < written.share.span.stop:
        following[-1:] = written.rows("observation", stop, stop + 1)
    if ends.final is not None:
        following[ends.stop - 1] = ends.final["observation"]
    return following


def _different(one: Block, other: Block, at: int) -> list[str]:
    """Returns in what a block of the source and one of the vault differ, a sentence each."""
    mine = {**one.steps, **one.derived}
    others = {**other.steps, **other.derived}
    if mine.keys() != others.keys():
        return [f"the leaves are {sorted(mine)}, in the vault {sorted(others)}"]
    wrong = [
        f"leaf `{name}`: row {at + row} of the vault is another one in the source"
        for name, rows in mine.items()
        if (row := _first_difference(rows, others[name])) is not None
    ]
    first, second = one.ends, other.ends
    if not np.array_equal(first.stop, second.stop):
        return [*wrong, f"the episodes that end in the rows from {at} on end elsewhere in the source"]
    columns = _columns(second)
    texts = _texts(first), _texts(second)
    if texts[0] != texts[1]:
        wrong.append(f"attributes of the episodes that end in the rows from {at} on")
    return wrong + [
        f"{name} of the episode that ends with row {at + int(first.stop[row]) - 1}: another one in the source"
        for name, values in _columns(first).items()
        if (row := _first_difference(values, columns[name])) is not None
    ]


def _columns(ends: Ends) -> dict[str, NpArray]:
    """Gives what is known of the episodes that end, by what it is called in a message."""
    count = len(ends.stop)
    known = np.full(count, ends.final is not None) if ends.final_known is None else ends.final_known
    return {
        "`terminated`": np.asarray(ends.terminated, np.bool_),
        "`truncated`": np.asarray(ends.truncated, np.bool_),
        "`final_known`": np.asarray(known, np.bool_),
        **{f"final row of `{name}`": rows for name, rows in (ends.final or {}).items()},
        **{f"column `{name}`": np.asarray(values) for name, values in ends.columns.items()},
    }


def _texts(ends: Ends) -> list[bytes]:
    return [encode_attributes(one) for one in ends.attributes] or [b"{}"] * len(ends.stop)


def _first_difference(one: NpArray, other: NpArray) -> int | None:
    """Returns the first row that is not the same to the bit, or None."""
    if (one.dtype.newbyteorder("="), one.shape) != (other.dtype, other.shape):
        return 0
    a, b = bytes_of(one.astype(other.dtype, copy=False)), bytes_of(other)
    words = (
        np.uint64 if a.size % 8 == 0 else np.uint8
    )  # what is compared eight bytes at a time needs less room
    if np.array_equal(a.view(words), b.view(words)):
        return None
    return int((a.reshape(len(one), -1) != b.reshape(len(one), -1)).any(axis=1).argmax())
