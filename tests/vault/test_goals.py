"""Goals from hindsight on disk are those of memory; single steps are read from wherever they lie."""

import functools

import jax
import numpy as np
import pytest
import strongbax.buffer as fbx
from strongbax.vault import concat
from vault_rings import SHAPES, same
from view_model import end_to_end, make


@pytest.fixture
def view(tmp_path):
    """Two vaults, one sealed and one not, and all of their episodes."""
    a, known = make(tmp_path / "a.vault", [3, 9, 1, 17], seed=0)
    b, more = make(tmp_path / "b.vault", [5, 2, 30], close=False, tail=3, seed=1)
    return concat([b, a]), [*more, *known]


def test_goals_are_those_of_memory(view):
    """For a key, bit for bit, later steps near or anywhere."""
    chosen, _ = view
    state = chosen.load(fbx.make_episode_buffer(1, 1, 1, max_length_time_axis=1))
    steps = np.arange(chosen.num_steps)
    for discount in (0.8, None):
        mixed = {"current": 0.2, "future": 0.5, "final": 0.1, "random": 0.2, "discount": discount}
        goals = chosen.hindsight_goals(jax.random.key(3), steps, **mixed)
        draw = jax.jit(functools.partial(fbx.hindsight_goals, **mixed))
        assert goals.tolist() == draw(state, jax.random.key(3), steps.astype(np.int32)).tolist()


def test_steps_are_read_from_wherever_they_lie(view):
    """By their places in the stream that the episodes form, in any order, shape and number."""
    chosen, known = view
    steps = end_to_end(known)
    at = np.random.default_rng(0).integers(0, chosen.num_steps, (5, 20))
    read = chosen.steps_at(at)
    assert all(same(read[name], steps[name][at]) for name in SHAPES)
    assert same(chosen.steps_at(7, ["reward"])["reward"], steps["reward"][7])


@pytest.mark.parametrize("wrong", [-1, 67])
def test_no_such_step(view, wrong):
    """A place outside the view is an error, not another step."""
    with pytest.raises(IndexError, match=rf"the step {wrong}: there are 67"):
        view[0].steps_at([0, wrong])
    with pytest.raises(IndexError, match=rf"the step {wrong}: there are 67"):
        view[0].hindsight_goals(jax.random.key(0), [wrong])


def test_wrong_mixture_is_refused(view):
    """Shares that are none are named."""
    with pytest.raises(ValueError, match="shares of at least 0 that sum to 1"):
        view[0].hindsight_goals(jax.random.key(0), [0], 0.5)
