"""Checkpoints one behind the other: what is shared comes once, and rows of zeros are left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from .dqn_replay_ring import ACTION, OBSERVATION, READ_BYTES, REQUIRED, REWARD, TERMINAL, Checkpoint
from .trajectories import flags_of, same_bytes

_SMALL = (ACTION, REWARD, TERMINAL)


@dataclass(frozen=True)
class Piece:
    """What is taken of a checkpoint.

    Attributes:
      checkpoint: it.
      start: rows that are not taken, since the one before has them.
      padding: rows of zeros among the rest, bool `[rows]`.
    """

    checkpoint: Checkpoint
    start: int
    padding: NpArray

    @property
    def rows(self) -> int:
        """Rows that are taken, those of zeros included."""
        return len(self.padding)


@dataclass(frozen=True)
class Run:
    """Checkpoints that go on where the one before ends.

    Attributes:
      pieces: of them.
      from_start: whether the first row is the first of an episode.
    """

    pieces: tuple[Piece, ...]
    from_start: bool

    @property
    def num_padding(self) -> int:
        """Rows of zeros."""
        return sum(int(piece.padding.sum()) for piece in self.pieces)

    @property
    def num_steps(self) -> int:
        """Steps."""
        return sum(piece.rows for piece in self.pieces) - self.num_padding

    def blocks(self) -> Iterator[dict[str, NpArray]]:
        """Yields the steps, keys `[n, ...]` and `checkpoint`.

        Raises:
          FormatError: if a row that should be of zeros is not.
        """
        for piece in self.pieces:
            yield from _steps(piece)


def runs_of(checkpoints: Sequence[Checkpoint], padding: int) -> list[Run]:
    """Says what is taken of each checkpoint, and which go on where the one before ends.

    Args:
      checkpoints: by their numbers.
      padding: rows of zeros before an episode.

    Raises:
      FormatError: if flags are none.
    """
    runs: list[Run] = []
    before: Checkpoint | None = None
    left = 0  # rows of zeros that are still to come
    for one in checkpoints:
        flags = flags_of(one.ordered(TERMINAL), f"`{TERMINAL}` of checkpoint {one.number} in {one.folder}")
        start = 0
        goes_on = before is not None and before.count >= one.first and _shares(before, one)
        if goes_on:
            assert before is not None
            start = before.count - one.first
        else:
            left = padding if one.first == 0 else _leading_zeros(one, padding)
        mask, after = _padding(flags[start:], left, padding)
        piece = Piece(one, start, mask)
        if goes_on:
            runs[-1] = Run((*runs[-1].pieces, piece), runs[-1].from_start)
        else:
            runs.append(Run((piece,), from_start=one.first == 0 or left > 0))
        before, left = one, after
    return runs


def _shares(before: Checkpoint, after: Checkpoint) -> bool:
    """Whether what two checkpoints should share by their counts is the same in both.

    It is not where the counts began anew: then nothing is known of what lies between them.
    """
    if after.count <= before.count and before.number != after.number:
        return False
    shared = before.count - after.first
    return shared <= before.held and all(
        same_bytes(before.ordered(key)[before.held - shared :], after.ordered(key)[:shared]) for key in _SMALL
    )


def _leading_zeros(checkpoint: Checkpoint, most: int) -> int:
    rows = min(most, checkpoint.held)
    if not rows:
        return 0
    zero = np.ones(rows, np.bool_)
    for key in REQUIRED:
        zero &= ~_any(np.concatenate([*checkpoint.stream(key, 0, rows, rows)]))
    return rows if zero.all() else int(zero.argmin())


def _any(rows: NpArray) -> NpArray:
    """Says which rows are not of zeros, bool `[n]`."""
    return (rows != 0).any(axis=tuple(range(1, rows.ndim)))


def _padding(terminal: NpArray, left: int, padding: int) -> tuple[NpArray, int]:
    """Marks the rows of zeros, bool `[n]`, and says how many are still to come."""
    mask = np.zeros(len(terminal) + padding + left, np.bool_)
    mask[:left] = True
    for row in range(1, padding + 1):
        mask[np.flatnonzero(terminal) + row] = True
    return mask[: len(terminal)], int(mask[len(terminal) :].sum())


def _steps(piece: Piece) -> Iterator[dict[str, NpArray]]:
    one = piece.checkpoint
    frame = one.columns[OBSERVATION]
    rows = max(1, READ_BYTES // max(1, frame.dtype.itemsize * int(np.prod(frame.shape[1:]))))
    streams = {key: _rechunked(one, key, piece, rows) for key in one.columns}
    for low in range(0, piece.rows, rows):
        block = {key: next(stream) for key, stream in streams.items()}
        zeros = piece.padding[low : low + rows]
        for key in (OBSERVATION, *_SMALL):
            wrong = _any(block[key][zeros])
            if wrong.any():
                one.verify(key)
                row = one.first + piece.start + low + int(np.flatnonzero(zeros)[wrong.argmax()])
                raise FormatError(
                    f"`{key}` of checkpoint {one.number} in {one.folder} must be 0 in row {row}, right after "
                    "an end: Dopamine puts rows of zeros there. Say how many frames the agent stacked with "
                    "`stack_size=`; 1 if it stacked none."
                )
        kept = {key: values[~zeros] for key, values in block.items()}
        count = len(kept[TERMINAL])
        if count:
            yield kept | {"checkpoint": np.full(count, one.number, np.int32)}


def _rechunked(checkpoint: Checkpoint, key: str, piece: Piece, rows: int) -> Iterator[NpArray]:
    """Yields the piece's rows, the same number at a time for every key, wherever the ring goes round."""
    held: list[NpArray] = []
    count = 0
    for values in checkpoint.stream(key, piece.start, piece.start + piece.rows, rows):
        held.append(values)
        count += len(values)
        while count >= rows:
            joined = held[0] if len(held) == 1 else np.concatenate(held)
            yield joined[:rows]
            held, count = [joined[rows:]], count - rows
    if count:
        yield np.concatenate(held)
