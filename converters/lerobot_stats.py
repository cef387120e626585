"""Statistics as LeRobot keeps them: of each feature, an episode and in all."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray

_Moments = tuple[NpArray, NpArray, NpArray, NpArray, int]  # least, most, mean, squared differences, count


class Stats:
    """Statistics of all episodes so far; merged, so that no sum of squares loses digits."""

    def __init__(self) -> None:
        self._total: dict[str, _Moments] = {}
        self._shapes: dict[str, NpArray] = {}

    def add(self, values: Mapping[str, NpArray]) -> dict[str, Any]:
        """Adds an episode and returns its own statistics, as columns of its metadata.

        Args:
          values: `[T, ...]` by the feature's name; pictures `[T, height, width, channels]` of uint8.

        Example:
          >>> Stats().add({"action": np.array([[1.0], [3.0]])})["stats/action/mean"]
          [2.0]
        """
        row: dict[str, Any] = {}
        for name, rows in values.items():
            found = _moments(rows)
            self._total[name] = _merge(self._total[name], found) if name in self._total else found
            row |= {f"stats/{name}/{key}": value for key, value in _named(found, rows).items()}
        self._shapes = {name: rows[:1] for name, rows in values.items()}
        return row

    def total(self) -> dict[str, dict[str, Any]]:
        """Returns the statistics of all episodes."""
        return {name: _named(found, self._shapes[name]) for name, found in self._total.items()}


def _is_picture(rows: NpArray) -> bool:
    return rows.dtype == np.uint8 and rows.ndim == 4 and rows.shape[-1] == 3


def _moments(rows: NpArray) -> _Moments:
    frames = len(rows)
    if _is_picture(rows):
        flat = rows.reshape(-1, rows.shape[-1]).astype(np.float64) / 255
    else:
        flat = rows.reshape(frames, -1).astype(np.float64)
    mean = flat.mean(axis=0)
    own = flat if _is_picture(rows) else rows.reshape(frames, -1)  # 64-bit numbers lose as float64
    return own.min(axis=0), own.max(axis=0), mean, ((flat - mean) ** 2).mean(axis=0) * frames, frames


def _merge(one: _Moments, other: _Moments) -> _Moments:
    """Chan, Golub and LeVeque 1979, equation 2.1, for means and squared differences."""
    count = one[4] + other[4]
    away = other[2] - one[2]
    mean = one[2] + away * (other[4] / count)
    squares = one[3] + other[3] + away**2 * (one[4] * other[4] / count)
    return np.minimum(one[0], other[0]), np.maximum(one[1], other[1]), mean, squares, count


def _named(found: _Moments, rows: NpArray) -> dict[str, Any]:
    least, most, mean, squares, count = found
    shape = (-1, 1, 1) if _is_picture(rows) else (rows.shape[1:] or (1,))
    # Arrow's whole numbers end at 2**63.
    extremes = np.float64 if _is_picture(rows) or rows.dtype == np.uint64 else rows.dtype
    return {
        "min": least.astype(extremes).reshape(shape).tolist(),
        "max": most.astype(extremes).reshape(shape).tolist(),
        "mean": mean.reshape(shape).tolist(),
        "std": np.sqrt(squares / count).reshape(shape).tolist(),
        "count": [count],
    }
