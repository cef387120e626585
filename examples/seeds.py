"""Five seeds, and what they reached: how every example that trains states its results."""

from collections.abc import Sequence

import numpy as np
from jax import Array

SEEDS = 5


def summary(scores: Sequence[float] | Array) -> str:
    """Words scores of seeds: their mean, their standard deviation (of a sample), and each."""
    values = np.asarray(scores, np.float64)
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    return f"{values.mean():6.1f} ± {spread:5.1f}   ({', '.join(f'{value:.1f}' for value in values)})"
