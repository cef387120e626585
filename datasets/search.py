"""The cross-entropy method: a linear policy found by trying many and keeping the best.

Candidates are drawn from a Gaussian over the policy's weights; the best of a generation say where
the next one is drawn. It needs nothing but the returns of episodes, so a recording can be resumed
from the episodes themselves.

Letters: `P` candidates, `D` weights, `B` streams, `O` observation, `A` outputs.

References:
  de Boer et al., 2005, A Tutorial on the Cross-Entropy Method, section 4 (continuous optimisation).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ELITE_PART = 0.25  # of a generation; 0.1 to 0.3 all solve CartPole, fewer make it jumpy
NOISE = 0.1  # added to the deviation: without it the search stops where it first gets lucky

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Search:
    """Where the next candidates are drawn.

    Attributes:
      mean: [D].
      deviation: [D].
    """

    mean: F64
    deviation: F64


def begin(weights: int) -> Search:
    """Returns the search that knows nothing: a standard Gaussian over `weights` weights.

    Example:
      >>> begin(2)
      Search(mean=array([0., 0.]), deviation=array([1., 1.]))
    """
    return Search(np.zeros(weights), np.ones(weights))


def draw(search: Search, generator: np.random.Generator) -> F32:
    """Draws one candidate, [D].

    Example:
      >>> draw(begin(3), np.random.default_rng(0)).shape
      (3,)
    """
    return generator.normal(search.mean, search.deviation).astype(np.float32)


def improve(candidates: F32, returns: F64) -> Search:
    """Returns the Gaussian of a generation's best.

    Args:
      candidates: [P, D].
      returns: [P], one episode's return a candidate.

    Example:
      >>> improve(np.array([[0], [1], [2], [3]], np.float32), np.array([5.0, 1.0, 9.0, 2.0])).mean
      array([2.])
    """
    elites = max(1, round(ELITE_PART * len(candidates)))
    best = candidates[np.argsort(-returns, kind="stable")[:elites]].astype(np.float64)
    return Search(best.mean(axis=0), best.std(axis=0) + NOISE)


def outputs(candidates: F32, observations: F32, size: int) -> F32:
    """Returns what each stream's policy says about its observation.

    Args:
      candidates: [B, D] with `D = (O + 1) * A`: a matrix and a bias.
      observations: [B, O].
      size: `A`.

    Returns:
      [B, A].

    Example:
      >>> outputs(np.array([[2, 1]], np.float32), np.array([[3]], np.float32), 1)
      array([[7.]], dtype=float32)
    """
    weights = candidates.reshape(len(candidates), -1, size)
    return np.einsum("bo,boa->ba", observations, weights[:, :-1]) + weights[:, -1]
