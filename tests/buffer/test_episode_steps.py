"""Stacks, next observations and goals are found in the ring as a loop over all steps would find them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from episode_model import Model, random_ends
from scipy import stats
from strongbax.buffer.episode_buffer import make_episode_buffer
from strongbax.buffer.episode_steps import places_of, slots_of, steps_at
from strongbax.buffer.frame_stack import frame_stack
from strongbax.buffer.hindsight import hindsight_goals
from strongbax.buffer.next_observation import next_observation
from strongbax.buffer.trajectory_buffer import TrajectoryBufferState

STREAMS, CAPACITY, LENGTH, BATCH = 2, 24, 4, 128
STEP = {"time": np.int32(0), "frame": np.zeros(2, np.int32), "done": np.bool_(False)}


@functools.cache
def world(short):
    """A buffer after some laps, its model, and a sample. A frame holds its stream's number and its time."""
    buffer = make_episode_buffer(STREAMS, BATCH, LENGTH, CAPACITY, short=short)
    model, state, generator = Model(STREAMS, CAPACITY, LENGTH, 1, short), buffer.init(STEP), None
    generator, add = np.random.default_rng(5), jax.jit(buffer.add)
    for turn in range(12):
        last = random_ends(generator, STREAMS, 7, 6)
        time = np.tile(np.arange(7 * turn, 7 * turn + 7, dtype=np.int32), (STREAMS, 1))
        frame = np.stack([np.arange(1, STREAMS + 1, dtype=np.int32)[:, None] + 0 * time, time], axis=-1)
        state = add(state, {"time": time, "frame": frame, "done": last})
        model.add(last)
    return state, model, jax.jit(buffer.sample)(state, jax.random.key(0))


def episode_of(model, stream, time):
    for begin, length, ended in model.streams[stream].episodes:
        if begin <= time < begin + length:
            return begin, begin + length, ended
    raise AssertionError(time)


def steps_of(sample):
    """Every step of a sample: its place in it, its stream and its time."""
    mask, frame = np.asarray(sample.mask), np.asarray(sample.experience["frame"])
    for n, w in zip(*np.nonzero(mask), strict=True):
        yield n, w, int(frame[n, w, 0]) - 1, int(frame[n, w, 1])


SHORT = pytest.mark.parametrize("short", ["pad_left"])


@SHORT
def test_places_of_steps(short):
    """What comes before and after a step in its episode is counted right, and gathered from where it is."""
    state, model, sample = world(short)
    indices = (
        np.asarray(slots_of(state, sample)) + CAPACITY * (np.asarray(sample.indices) // CAPACITY)[:, None]
    )
    np.testing.assert_array_equal(
        np.where(sample.mask, steps_at(state, indices)["time"], 0), sample.experience["time"]
    )
    places = jax.jit(places_of)(state, indices.ravel())
    for n, w, stream, time in steps_of(sample):
        begin, end, _ = episode_of(model, stream, time)
        oldest = max(begin, model.streams[stream].time - CAPACITY)
        at = n * LENGTH + w
        assert [int(x[at]) for x in (places.age, places.before, places.after)] == [
            time - begin,
            time - oldest,
            end - 1 - time,
        ]


@SHORT
@pytest.mark.parametrize("count", [3])
def test_frames_are_stacked(short, count):
    """A stack holds the frames before, beyond the window too, and repeats an episode's first."""
    state, model, sample = world(short)
    stack = jax.jit(frame_stack, static_argnums=3)
    stacks = np.asarray(stack(state, sample, state.experience["frame"], count))
    assert stacks.shape == (BATCH, LENGTH, count, 2)
    for n, w, stream, time in steps_of(sample):
        first = max(episode_of(model, stream, time)[0], model.streams[stream].time - CAPACITY)
        wanted = [[stream + 1, max(first, time - back)] for back in range(count - 1, -1, -1)]
        assert stacks[n, w].tolist() == wanted
    assert not stacks[~np.asarray(sample.mask)].any()


@SHORT
def test_next_observations_are_the_rows_after(short):
    """They are the episode's next rows, beyond the window too; after its last step none is known."""
    state, model, sample = world(short)
    rows, known = jax.jit(next_observation)(state, sample, state.experience["frame"])
    for n, w, stream, time in steps_of(sample):
        follows = time + 1 < episode_of(model, stream, time)[1]
        assert bool(known[n, w]) == follows
        assert rows[n, w].tolist() == [stream + 1, time + follows]
    assert not np.asarray(known)[~np.asarray(sample.mask)].any()


def test_final_rows_complete_a_dataset():
    """What the last step of an episode led to comes from the episode's own row, where there is one."""
    buffer = make_episode_buffer(1, 64, 3, 3, short="pad")
    done = np.array([[0, 0, 1, 0, 1, 0, 0, 1, 0, 0]], bool)
    steps = {"time": np.arange(10, dtype=np.int32)[None], "frame": np.zeros((1, 10, 2)), "done": done}
    state = jax.jit(buffer.index)(TrajectoryBufferState(experience=steps, current_index=0, is_full=True))
    sample = jax.jit(buffer.sample)(state, jax.random.key(0))
    finals = np.array([[103, 105]], np.int32)  # the third episode's is missing, the fourth goes on
    rows, known = jax.jit(next_observation)(state, sample, state.experience["time"], finals)
    wanted = {2: (103, True), 4: (105, True), 7: (7, False), 9: (9, False)}
    for n, w in zip(*np.nonzero(np.asarray(sample.mask)), strict=True):
        time = int(sample.experience["time"][n, w])
        assert (int(rows[n, w]), bool(known[n, w])) == wanted.get(time, (time + 1, True))


def goals_of(kind, discount=0.8, draws=4000):
    """Goals of one step, drawn many times: their streams and times, and the step's."""
    state, model, sample = world("pad_left")
    far = int(np.argmax(np.asarray(places_of(state, sample.indices).after)))
    index = sample.indices[far]
    shares = {name: float(name == kind) for name in ("current", "future", "final", "random")}
    goals = jax.jit(
        lambda s, k, i: hindsight_goals(s, k, i, discount=discount, **shares)
    )(state, jax.random.key(1), jnp.full(draws, index))  # fmt: skip
    frames = np.asarray(steps_at(state, goals)["frame"])
    stream, time = (int(x) for x in steps_at(state, index)["frame"])
    return frames, stream, time, episode_of(model, stream - 1, time)[1] - 1, model


@pytest.mark.parametrize("discount", [0.8, None])
def test_later_goals_are_geometric_or_even(discount):
    """They lie in the rest of the episode, as far ahead as the discount says, its end taking the rest."""
    frames, stream, time, end, _ = goals_of("future", discount)
    assert (frames[:, 0] == stream).all()
    assert end - time >= 3
    ahead = np.arange(1, end - time + 1)
    chances = np.full(len(ahead), 1 / len(ahead))
    if discount is not None:
        chances = (1 - discount) * discount ** (ahead - 1)
        chances[-1] = discount ** (ahead[-1] - 1)
    counts = np.bincount(frames[:, 1] - time, minlength=len(ahead) + 1)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:], len(frames) * chances).pvalue > 1e-4


def test_goals_of_the_step_and_of_the_end():
    """The current goal is the step itself, the final one the last step of its episode."""
    for kind in ("current", "final"):
        frames, stream, time, end, _ = goals_of(kind, draws=8)
        assert frames.tolist() == [[stream, time if kind == "current" else end]] * 8


def test_random_goals_are_any_step_held():
    """Every step held is equally likely."""
    frames, *_, model = goals_of("random")
    age = model.streams[0].time - 1 - frames[:, 1]
    assert age.max() < CAPACITY
    counts = np.bincount((frames[:, 0] - 1) * CAPACITY + age, minlength=STREAMS * CAPACITY)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_goals_are_mixed_by_their_shares():
    """Each kind is drawn as often as its share says."""
    state, _, sample = world("pad_left")
    last = int(np.argmin(np.asarray(places_of(state, sample.indices).after)))
    far = int(np.argmax(np.asarray(places_of(state, sample.indices).after)))
    assert last != far
    index = sample.indices[far]
    goals = np.asarray(hindsight_goals(state, jax.random.key(2), jnp.full(4000, index), 0.25, 0.0, 0.75, 0.0))
    assert len(np.unique(goals)) == 2
    assert stats.binomtest(int((goals == int(index)).sum()), 4000, 0.25).pvalue > 1e-4


@pytest.mark.parametrize(
    ("shares", "discount", "message"),
    [
        ((0.5, 0.5, 0.5, 0.0), 0.9, "`current`, `future`, `final` and `random` must be shares"),
        ((1.5, -0.5, 0.0, 0.0), 0.9, "must be shares of at least 0"),
        ((0.25, 0.25, 0.25, 0.25), 1.0, "`discount` must be between 0 and 1, or None: got 1.0"),
    ],
)
def test_wrong_goals_are_refused(shares, discount, message):
    """Shares must be a mixture, and a discount one."""
    state, _, sample = world("pad_left")
    with pytest.raises(ValueError, match=message):
        hindsight_goals(state, jax.random.key(0), sample.indices, *shares, discount=discount)


def test_no_frames_are_refused():
    """A stack of no frames is asked for by mistake."""
    state, _, sample = world("pad_left")
    with pytest.raises(ValueError, match="`count` must be at least 1: got 0"):
        frame_stack(state, sample, state.experience["frame"], 0)
