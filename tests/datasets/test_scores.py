"""Normalised scores: the numbers of the papers, divided by 100."""

import numpy as np
import pytest
from strongbax.datasets.catalogue import entries
from strongbax.datasets.scores import normalized_score
from strongbax.vault.errors import NotFoundError

SCORED = [entry for entry in entries() if entry.ref_source is not None]


def test_random_is_zero_and_expert_is_one():
    """The two reference returns are the two ends of the scale, for every dataset that has them."""
    for entry in SCORED:
        ends = normalized_score(entry.id, [entry.ref_min_score, entry.ref_max_score])
        np.testing.assert_array_equal(ends, [0.0, 1.0])


def test_an_id_and_its_alias_score_alike():
    """The old name gives the same number as the id."""
    by_id = normalized_score("D4RL/halfcheetah/medium-v2", 4770.0)
    assert by_id == normalized_score("halfcheetah-medium-v2", 4770.0)
    assert by_id == pytest.approx((4770.0 + 280.178953) / (12135.0 + 280.178953))


def test_shapes_are_kept_and_nothing_is_clipped():
    """A number gives a float, an array an array of its shape; scores beyond 0 and 1 stay."""
    assert type(normalized_score("hopper-medium-v2", np.float32(3.0))) is float
    scores = normalized_score("hopper-medium-v2", np.array([[-100, 0], [3234, 5000]]))
    assert scores.shape == (2, 2)
    assert scores.dtype == np.float64
    assert scores[0, 0] < 0
    assert scores[1, 1] > 1
    assert normalized_score("hopper-medium-v2", []).shape == (0,)


def test_a_dataset_without_scores_is_a_clear_error():
    """Where no reference scores exist none are made up."""
    with pytest.raises(ValueError, match="D4RL/carla/town-render-v0 has none"):
        normalized_score("carla-town-render-v0", 1.0)
    with pytest.raises(NotFoundError, match="`name` must be the id"):
        normalized_score("carla-vilage-v0", 1.0)
