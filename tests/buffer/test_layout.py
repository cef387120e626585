"""A batch is laid out as the ring takes it, or refused with what is wrong and how to mend it."""

import jax.numpy as jnp
import numpy as np
import pytest
from strongbax.buffer import BatchMismatchError
from strongbax.buffer.layout import Layout, leaf_names

STORED = {"obs": jnp.zeros((2, 5, 3)), "reward": jnp.zeros((2, 5))}


def batch(*lead, obs=(3,), dtype="float32"):
    return {"obs": np.zeros((*lead, *obs), dtype), "reward": np.zeros(lead, "float32")}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"obs": np.zeros((2, 1, 3), "float32")}, "leaves are missing: `reward`"),
        (batch(2, 1) | {"extra": np.zeros(3)}, "leaves are not stored: `extra`"),
        (batch(2, 1, dtype="float16"), "leaf `obs` must be float32, got float16. Cast it with `.astype`"),
        (batch(3, 1), r"leaf `obs` must have shape \[2, T, 3\], got \[3, 1, 3\]. Reshape it"),
        (batch(2, 1, obs=(1,)), r"leaf `obs` must have shape \[2, T, 3\], got \[2, 1, 1\]"),
        (batch(2), r"laid out `\[B, T, \.\.\.\]` .* leaf `obs` must have shape \[2, T, 3\], got \[2, 3\]"),
        (batch(2, 2) | {"reward": np.zeros((2, 3), "float32")}, r"leaf `reward` must have shape \[2, 2\]"),
        (batch(2, 6), "got 6 steps for a capacity of 5. Add them in pieces"),
    ],
    ids=["missing", "surplus", "dtype", "streams", "step shape", "rank", "uneven", "length"],
)
def test_a_batch_that_does_not_match_is_refused(wrong, message):
    """Each mismatch names the leaf, what was wanted, what came and the mend."""
    with pytest.raises(BatchMismatchError, match=message):
        Layout().steps(wrong, STORED)


def test_containers_must_match_too():
    """The same leaves in another container are refused, since the state could not hold them."""
    with pytest.raises(BatchMismatchError, match=r"wanted .* got"):
        Layout().steps([np.zeros((2, 1))], (jnp.zeros((2, 5)),))


@pytest.mark.parametrize("error", [ValueError, TypeError, AssertionError])
def test_old_handlers_catch_a_mismatch(error):
    """What caught a wrong argument, or Flashbax's assertion, catches a mismatch."""
    assert issubclass(BatchMismatchError, error)


@pytest.mark.parametrize(
    ("layout", "lead", "laid"),
    [
        (Layout(), (2, 4), (2, 4)),
        (Layout(sequential=False), (2,), (2, 1)),
        (Layout(batched=False), (4,), (1, 4)),
        (Layout(batched=False, sequential=False), (), (1, 1)),
        (Layout(merged=True), (2, 2), (1, 4)),
        (Layout(sequential=False, merged=True), (5,), (1, 5)),
        (Layout(batched=False, merged=True), (3,), (1, 3)),
    ],
)
def test_missing_axes_are_added(layout, lead, laid):
    """A batch of any layout becomes `[B, T, ...]`, its order kept."""
    stored = {"obs": jnp.zeros((laid[0], 5, 3)), "reward": jnp.zeros((laid[0], 5))}
    given = {"obs": np.arange(np.prod(lead, dtype=int) * 3, dtype=np.float32).reshape(*lead, 3)}
    steps = layout.steps(given | {"reward": np.zeros(lead, "float32")}, stored)
    assert steps["reward"].shape == laid
    np.testing.assert_array_equal(steps["obs"], given["obs"].reshape(*laid, 3))


@pytest.mark.parametrize(
    ("layout", "wrong", "message"),
    [
        (Layout(sequential=False), batch(2, 1), r"`\[B, \.\.\.\]` .* shape \[2, 3\], got \[2, 1, 3\]"),
        (Layout(batched=False), batch(1, 4), r"`\[T, \.\.\.\]` .* shape \[T, 3\], got \[1, 4, 3\]"),
        (Layout(batched=False, sequential=False), batch(1), r"`\[\.\.\.\]` .* shape \[3\], got \[1, 3\]"),
        (Layout(merged=True), batch(2), r"`\[N, T, \.\.\.\]` .* shape \[N, T, 3\], got \[2, 3\]"),
        (Layout(merged=True), batch(2, 3), "got 6 steps for a capacity of 5"),
    ],
)
def test_messages_speak_of_the_layout_that_was_given(layout, wrong, message):
    """A mismatch is told in the axes that the caller gives, not in those of the ring."""
    with pytest.raises(BatchMismatchError, match=message):
        layout.steps(wrong, {"obs": jnp.zeros((2, 5, 3)), "reward": jnp.zeros((2, 5))})


def test_numpy_doubles_are_what_jax_makes_of_them():
    """A float64 NumPy batch is taken as float32, as under `jax.jit`, where x64 is off."""
    steps = Layout().steps(np.zeros((1, 1)), jnp.zeros((1, 5)))
    assert steps.dtype == jnp.float32


def test_names_join_containers():
    """Leaves are named by path; a bare array is named `.`."""
    assert leaf_names({"a": [1, {"b": 2}]}) == ["a/0", "a/1/b"]
    assert leaf_names(1) == ["."]
