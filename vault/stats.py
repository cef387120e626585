"""What the steps of a vault or a view look like: mean, spread, range and quantiles of each leaf, in one pass.

A number or a vector is described value by value. A picture or matrix is described by channel where its last
axis has at most 4, else as a whole; so is a vector of more than 256 values. Memory is bounded by a block of
steps and, a described value, by some hundred kB.

Letters: `T` steps, `K` described values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .committed import Committed
from .dtypes import NpArray
from .quantiles import Quantiles
from .schema import Leaf

if TYPE_CHECKING:
    from .manifest import Progress

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BLOCK_BYTES = 4 << 20
_CHANNELS = 4
_MOST = 256  # values of a vector that are described one by one


@dataclass(frozen=True)
class LeafStats:
    """What a leaf looks like. Arrays `[K]`, or `[]` where it is described as a whole; NaN is passed over.

    Attributes:
      count: values that are not NaN, int64.
      nan: values that are, int64.
      mean: float64; NaN where there is no value.
      std: float64, with `count` as divisor.
      min: in float64.
      max: in float64.
      quantiles: by q, float64, interpolated linearly as `numpy.quantile` does.
      rank_error: by how much at most a quantile's rank is off, as a fraction of `count`; 0 where exact.
    """

    count: NpArray
    nan: NpArray
    mean: NpArray
    std: NpArray
    min: NpArray
    max: NpArray
    quantiles: Mapping[float, NpArray]
    rank_error: float

    def to_dict(self) -> dict[str, Any]:
        """Gives the facts as JSON; what is not finite becomes None."""
        facts = {name: _plain(getattr(self, name)) for name in ("count", "nan", "mean", "std", "min", "max")}
        quantiles = {str(q): _plain(values) for q, values in self.quantiles.items()}
        return facts | {"quantiles": quantiles, "rank_error": self.rank_error}


def describe_steps(
    steps: Committed,
    leaves: Sequence[str] | None,
    quantiles: Sequence[float],
    progress: "Progress | None" = None,
) -> dict[str, LeafStats]:
    """Describes leaves, by name; text, dates, complex numbers and PRNG keys are left out."""
    if any(not 0 <= q <= 1 for q in quantiles):
        raise ValueError(f"`quantiles` must be from 0 to 1: got {list(quantiles)}.")
    chosen = [steps.schema.leaf(name) for name in (steps.schema.names if leaves is None else leaves)]
    numbers = [leaf for leaf in chosen if _is_number(leaf)]
    length = steps.state.length

    def described(place: int, leaf: Leaf) -> LeafStats:
        def tell(done: int) -> None:
            if progress is not None:
                progress(place * length + done, len(numbers) * length)

        return _describe(steps, leaf, quantiles, tell)

    return {leaf.name: described(place, leaf) for place, leaf in enumerate(numbers)}


def _describe(
    steps: Committed, leaf: Leaf, quantiles: Sequence[float], tell: Callable[[int], None]
) -> LeafStats:
    many = leaf.shape[-1] if leaf.shape else 1
    apart = many <= (_CHANNELS if len(leaf.shape) > 1 else _MOST)
    width, whole = (many, not leaf.shape) if apart else (1, True)
    columns = [_Column(leaf.dtype) for _ in range(width)]
    rows = max(1, _BLOCK_BYTES // max(1, leaf.row_bytes * steps.schema.streams))
    for start in range(0, steps.state.length, rows):
        block = steps.read(leaf.name, start, min(start + rows, steps.state.length))
        values = block.reshape(-1, width) if block.size else np.zeros((0, width), leaf.dtype)
        for column, part in zip(columns, values.T, strict=True):
            column.add(part)
        tell(min(start + rows, steps.state.length))

    def shaped(values: Sequence[Any], dtype: Any = np.float64) -> NpArray:
        array = np.array(values, dtype)
        return array[0] if whole else array

    return LeafStats(
        count=shaped([c.count for c in columns], np.int64),
        nan=shaped([c.nan for c in columns], np.int64),
        mean=shaped([c.mean if c.count else np.nan for c in columns]),
        std=shaped([np.sqrt(c.squares / c.count) if c.count else np.nan for c in columns]),
        min=shaped([c.low for c in columns]),
        max=shaped([c.high for c in columns]),
        quantiles={q: shaped([c.quantiles.at(q) for c in columns]) for q in quantiles},
        rank_error=max((c.quantiles.rank_error for c in columns), default=0.0),
    )


class _Column:
    """One described value, so far. Blocks are joined as in Chan, Golub and LeVeque 1979, eq. 2.1."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.count = self.nan = 0
        self.mean = self.squares = 0.0
        self.low = self.high = float("nan")
        self.quantiles = Quantiles(dtype)

    def add(self, values: NpArray) -> None:
        """Adds a block `[n]`."""
        if values.dtype.kind not in "biu":
            values = (
                values if values.dtype.kind == "f" else values.astype(np.float64)
            )  # bfloat16 and its like
            unknown = np.isnan(values)
            self.nan += int(unknown.sum())
            values = values[~unknown]
        if not len(values):
            return
        self.low, self.high = (
            float(np.fmin(self.low, values.min())),
            float(np.fmax(self.high, values.max())),
        )
        with np.errstate(invalid="ignore"):  # infinities: mean and spread say so
            exact = values.astype(np.float64)
            mean = float(exact.mean())
            squares = float(np.square(exact - mean).sum())
            total, apart = self.count + len(values), mean - self.mean
            self.squares += squares + (apart * apart * self.count * len(values) / total if self.count else 0)
            self.mean += apart * len(values) / total
        self.count = total
        self.quantiles.add(values)


def _is_number(leaf: Leaf) -> bool:
    if leaf.prng is not None or leaf.dtype.kind not in "biufV":
        return False
    return leaf.dtype.kind != "V" or leaf.dtype.names is None


def _plain(values: NpArray) -> Any:
    return np.where(np.isfinite(values), values.astype(np.object_), np.array(None)).tolist()
