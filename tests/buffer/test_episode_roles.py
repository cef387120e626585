"""Episodes end where the leaves say, found by the names by which a vault finds them."""

import numpy as np
import pytest
from strongbax.buffer import episode_roles
from strongbax.vault import roles as of_vaults

FLAGS = ["terminated", "truncated", "done", "discount", "is_first", "is_last"]


def test_names_are_those_of_the_vault():
    """A buffer and the vault it is flushed to find the same leaves for the same roles."""
    assert all(of_vaults.STANDARD[role] == names for role, names in episode_roles.STANDARD.items())
    assert set(FLAGS) <= set(episode_roles.STANDARD)


@pytest.mark.parametrize("bits", range(1, 64))
def test_ends_are_those_of_the_vault(bits):
    """For every set of flags, of any dtype, the buffer reads the ends that the vault reads."""
    generator = np.random.default_rng(bits)
    dtypes = [bool, np.float32, np.int32]
    steps = {
        flag: generator.integers(0, 2, (2, 9)).astype(dtypes[i % 3])
        for i, flag in enumerate(FLAGS)
        if bits >> i & 1
    }
    last, first = episode_roles.ends(steps, episode_roles.find(steps))
    wanted = of_vaults.read_flags(of_vaults.find_roles(tuple(steps)), steps, 2, 9)
    np.testing.assert_array_equal(last, wanted.last)
    assert (first is None) == (wanted.first is None)
    np.testing.assert_array_equal(first, wanted.first)


def test_agents_end_together():
    """An episode of several agents ends when all of them ended; their rewards are summed."""
    steps = {
        "terminals": np.array([[[1, 0], [1, 1]]], np.float32),
        "rewards": np.array([[[1, 2], [3, 4]]], np.float32),
    }
    roles = episode_roles.find(steps)
    assert episode_roles.ends(steps, roles)[0].tolist() == [[False, True]]
    assert episode_roles.rewards(steps, roles).tolist() == [[3, 7]]
    assert episode_roles.rewards(steps, {}) is None
    discount = {"discount": np.array([[[0, 1], [0, 0]]], np.float32)}
    assert episode_roles.ends(discount, episode_roles.find(discount))[0].tolist() == [[False, True]]


def test_the_shallowest_leaf_plays_the_role():
    """A deeper leaf of the same name is passed over, and of two at one depth neither plays."""
    steps = {"done": 0, "info": {"done": 0}, "a": {"reward": 0}, "b": {"reward": 0}}
    assert episode_roles.find(steps) == {"done": "done"}


def test_roles_are_given():
    """Given roles come before names, and None takes a role from the leaf that would play it."""
    steps = {"d": 0, "terminated": 0, "truncated": 0}
    found = episode_roles.find(steps, {"terminated": "d", "truncated": None})
    assert found == {"terminated": "d"}


@pytest.mark.parametrize(
    ("steps", "given", "message"),
    [
        ({"done": 0}, {"end": "done"}, r"`roles` must name some of .* got 'end'"),
        ({"done": 0}, {"done": "d"}, r"`roles` must give 'done' to a leaf of the steps, \['done'\]: got 'd'"),
        ({"obs": 0}, None, r"`roles` must say which leaf ends an episode: .* got the leaves \['obs'\]"),
        ({"done": 0}, {"done": None}, r"`roles` must say which leaf ends an episode"),
    ],
    ids=["role", "leaf", "none", "taken away"],
)
def test_wrong_roles_are_refused(steps, given, message):
    """The message says which roles and leaves there are."""
    with pytest.raises(ValueError, match=message):
        episode_roles.find(steps, given)
