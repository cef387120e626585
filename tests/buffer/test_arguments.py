"""Sizes that cannot be are refused by name; sizes that are odd are warned about, as Flashbax does."""

import numpy as np
import pytest
import strongbax.buffer as fbx

TRAJECTORY = {
    "add_batch_size": 2,
    "sample_batch_size": 4,
    "sample_sequence_length": 3,
    "period": 1,
    "min_length_time_axis": 3,
    "max_length_time_axis": 8,
}
FLAT = {"max_length": 8, "min_length": 2, "sample_batch_size": 4, "add_batch_size": 2}
ITEM = {"max_length": 8, "min_length": 2, "sample_batch_size": 4}


@pytest.mark.parametrize(
    ("make", "sizes", "name"),
    [(fbx.make_trajectory_buffer, TRAJECTORY, n) for n in TRAJECTORY if n != "min_length_time_axis"]
    + [(fbx.make_flat_buffer, FLAT, n) for n in FLAT if n != "min_length"]
    + [(fbx.make_item_buffer, ITEM, n) for n in ITEM if n != "min_length"],
)
def test_sizes_are_positive_integers(make, sizes, name):
    """Zero and a float are refused by the name of their argument, for every size of every buffer."""
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1: got 0"):
        make(**sizes | {name: 0})
    with pytest.raises(TypeError, match=f"`{name}` must be an integer: got 4.0. Convert it with `int`"):
        make(**sizes | {name: 4.0})
    make(**sizes | {name: np.int64(sizes[name])})


@pytest.mark.parametrize(
    ("make", "sizes", "message"),
    [
        (fbx.make_trajectory_buffer, TRAJECTORY | {"max_size": 8}, "exactly one of .* got 8 and 8"),
        (
            fbx.make_trajectory_buffer,
            TRAJECTORY | {"max_length_time_axis": None},
            "exactly one of .* neither",
        ),
        (
            fbx.make_trajectory_buffer,
            TRAJECTORY | {"max_length_time_axis": 2},
            "`sample_sequence_length` must be",
        ),
        (
            fbx.make_trajectory_buffer,
            TRAJECTORY | {"min_length_time_axis": 9},
            "`min_length_time_axis` must be",
        ),
        (
            fbx.make_trajectory_buffer,
            TRAJECTORY | {"max_length_time_axis": 2**31},
            "at most 2147483647: got 2147483648",
        ),
        (
            fbx.make_flat_buffer,
            FLAT | {"sample_batch_size": 9},
            "`sample_batch_size` must be at most `max_length`: got 9",
        ),
        (
            fbx.make_flat_buffer,
            FLAT | {"max_length": 7, "add_batch_size": 4},
            "2 steps, a pair: got 7 // .* 4 = 1",
        ),
        (
            fbx.make_flat_buffer,
            FLAT | {"min_length": 8},
            "`min_length` must be within reach: 8 transitions need 5 steps",
        ),
        (
            fbx.make_item_buffer,
            ITEM | {"sample_batch_size": 9},
            "`sample_batch_size` must be at most `max_length`",
        ),
        (
            fbx.make_item_buffer,
            ITEM | {"min_length": 9},
            "`min_length` must be at most `max_length`: got 9 for 8",
        ),
    ],
)
def test_sizes_that_contradict_are_refused(make, sizes, message):
    """Sizes that no buffer can have together are refused with what came."""
    with pytest.raises(ValueError, match=message):
        make(**sizes)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"max_size": 17, "max_length_time_axis": None},
            "Setting max_size dynamically sets the `max_length_time_axis`",
        ),
        ({"min_length_time_axis": 1}, "`sample_sequence_length` greater than `min_length_time_axis`"),
        (
            {"period": 5},
            "Setting period greater than sample_sequence_length will result in no overlap betweentraj",
        ),
    ],
)
def test_odd_sizes_are_warned_about(sizes, message):
    """Flashbax's three warnings are given, in the words that warning filters match on."""
    with pytest.warns(UserWarning, match=f"^{message}"):
        buffer = fbx.make_trajectory_buffer(**TRAJECTORY | sizes)
    state = buffer.init(0)
    assert state.experience.shape == (2, 8)
    assert not bool(buffer.can_sample(state.replace(current_index=np.int32(2))))
    assert bool(buffer.can_sample(state.replace(current_index=np.int32(3))))
