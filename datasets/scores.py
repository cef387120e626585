"""Normalised scores: an agent's return on the scale from a random policy to an expert.

0 is what a random policy gets and 1 what an expert gets, both as they were published for the dataset; the
entry's `ref_source` says where. For DSRL's they are the least and the greatest return in the data. D4RL's
papers print this number times 100.
"""

from typing import TYPE_CHECKING, overload

import numpy as np

from .catalogue import find

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


# A number is array-like too; the first overload that fits wins.
@overload
def normalized_score(  # pyright: ignore[reportOverlappingOverload]
    dataset_id: str, returns: float
) -> float: ...
@overload
def normalized_score(dataset_id: str, returns: "ArrayLike") -> "NDArray[np.float64]": ...
def normalized_score(dataset_id: str, returns: "ArrayLike") -> "float | NDArray[np.float64]":
    """Returns `(returns - min) / (max - min)` with the dataset's reference scores.

    Between 0 (random) and 1 (expert) for most agents, and beyond for some: nothing is clipped.
    Papers that use D4RL print it times 100.

    Args:
      dataset_id: id or alias of a dataset.
      returns: undiscounted returns of episodes, or means of them: a number or an array.

    Returns:
      A float for a number; for an array a float64 array of the same shape.

    Raises:
      NotFoundError: if no dataset has that id.
      ValueError: if the dataset has no reference scores.

    Example:
      >>> round(100 * normalized_score("hopper-medium-v2", 1500.0), 1)
      46.7
      >>> normalized_score("D4RL/kitchen/mixed-v0", [0.0, 2.0, 4.0])
      array([0. , 0.5, 1. ])

    References:
      Fu et al., 2020, arXiv:2004.07219, section 5.
    """
    entry = find(dataset_id)
    low, high = entry.ref_min_score, entry.ref_max_score
    if low is None or high is None:
        raise ValueError(
            f"`dataset_id` must be a dataset with reference scores; {entry.id} has none. "
            "Normalise with the returns of a random policy and of an expert of your own."
        )
    scores = (np.asarray(returns, np.float64) - low) / (high - low)
    return scores if scores.ndim else float(scores)
