"""Hindsight: a sparse reward that is never seen by chance, learned from goals that were reached by accident.

python examples/hindsight.py            # five seeds with and without hindsight, a minute on two cores
python examples/hindsight.py --quick    # a look, in seconds: the numbers mean nothing

A row of 16 bits is to be turned into another one by flipping one bit a step, 16 steps at most; each step
costs 1 until the goal is reached. By chance that happens once in about four thousand episodes. The learner is
deep Q-learning on (bits, goal). With hindsight, four fifths of the goals of a batch are replaced by what the
same episode came to later (`hindsight_goals`, `future`), and rewards follow from the new goals.

Andrychowicz et al. 2017, "Hindsight Experience Replay", section 3.1 and algorithm 1, with their strategy
`future` and four goals of hindsight to each that was meant.
"""

import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import strongbax.buffer as fbx
from cartpole import Tree, network, values
from jax import Array
from seeds import SEEDS, summary

BITS, STREAMS, BATCH, HIDDEN = 16, 16, 128, 128
UPDATES, EPISODES = 10_000, 200  # one step of each stream, then one update; episodes of an evaluation
DISCOUNT, RATE, TARGET_RATE, EXPLORE = 0.98, 1e-3, 0.01, 0.2

buffer = fbx.make_episode_buffer(
    add_batch_size=STREAMS, sample_batch_size=BATCH, sample_sequence_length=1, max_length_time_axis=4_000
)
optimiser = optax.adam(RATE)
STEP = {
    "bits": jnp.zeros(BITS),
    "goal": jnp.zeros(BITS),
    "action": jnp.zeros((), jnp.int32),
    "reached": jnp.zeros(BITS),  # the bits that the action led to
    "terminated": jnp.zeros((), bool),
    "truncated": jnp.zeros((), bool),
}


def random_bits(key: Array) -> Array:
    """A row of bits."""
    return jax.random.bernoulli(key, 0.5, (BITS,)).astype(jnp.float32)


def flip(bits: Array, action: Array) -> Array:
    """The row with one bit flipped, `[..., BITS]`."""
    return jnp.abs(bits - jax.nn.one_hot(action, BITS))


def worth(weights: Tree, bits: Array, goal: Array) -> Array:
    """What flipping each bit is worth, on the way to the goal."""
    return values(weights, jnp.concatenate([bits, goal], axis=-1))


class Learner(NamedTuple):
    """All that changes from update to update."""

    bits: Array
    goal: Array
    age: Array
    weights: Tree
    target: Tree
    moments: Any
    replay: Any


def start(key: Array) -> Learner:
    """Rows and goals of every stream, a random network, an empty buffer."""
    keys = jax.random.split(key, 3)
    bits, goal = (jax.vmap(random_bits)(jax.random.split(k, STREAMS)) for k in keys[:2])
    weights = network(keys[2], (2 * BITS, HIDDEN, BITS))
    ages = jnp.zeros(STREAMS, jnp.int32)
    return Learner(bits, goal, ages, weights, weights, optimiser.init(weights), buffer.init(STEP))


def act(learner: Learner, key: Array) -> Learner:
    """One step of every stream, added to the buffer."""
    keys = jax.random.split(key, 4)
    best = worth(learner.weights, learner.bits, learner.goal).argmax(axis=-1).astype(jnp.int32)
    anything = jax.random.randint(keys[0], (STREAMS,), 0, BITS)
    action = jnp.where(jax.random.uniform(keys[1], (STREAMS,)) < EXPLORE, anything, best)
    reached = flip(learner.bits, action)
    terminated = (reached == learner.goal).all(axis=-1)
    truncated = (learner.age + 1 >= BITS) & ~terminated
    step = dict(zip(STEP, (learner.bits, learner.goal, action, reached, terminated, truncated), strict=True))
    replay = buffer.add(learner.replay, jax.tree.map(lambda leaf: leaf[:, None], step))
    ended = terminated | truncated
    bits, goal = (jax.vmap(random_bits)(jax.random.split(k, STREAMS)) for k in keys[2:])
    return learner._replace(
        bits=jnp.where(ended[:, None], bits, reached),
        goal=jnp.where(ended[:, None], goal, learner.goal),
        age=jnp.where(ended, 0, learner.age + 1),
        replay=replay,
    )


def draw(replay: Any, key: Array, share: Array) -> tuple[dict[str, Array], Array]:
    """Draws steps, and a goal for each: for `share` of them one that the episode came to later."""
    keys = jax.random.split(key, 3)
    sample = buffer.sample(replay, keys[0])
    steps = jax.tree.map(lambda leaf: leaf[:, 0], sample.experience)
    later = fbx.hindsight_goals(
        replay, keys[1], sample.indices, current=0, future=1, final=0, random=0, discount=None
    )
    found = fbx.steps_at(replay, later)["reached"]
    replaced = jax.random.uniform(keys[2], (BATCH,)) < share
    return steps, jnp.where(replaced[:, None], found, steps["goal"])


def update(learner: Learner, key: Array, share: Array) -> Learner:
    """Acts once and learns once."""
    key_act, key_draw = jax.random.split(key)
    learner = act(learner, key_act)
    steps, goal = draw(learner.replay, key_draw, share)
    there = (steps["reached"] == goal).all(axis=-1)
    after = worth(learner.target, steps["reached"], goal).max(axis=-1)
    wanted = jnp.where(there, 0.0, -1.0 + DISCOUNT * after)

    def loss(weights: Tree) -> Array:
        guess = worth(weights, steps["bits"], goal)
        guess = jnp.take_along_axis(guess, steps["action"][:, None], axis=1)[:, 0]
        return optax.huber_loss(guess, wanted).mean()

    gradient = jax.grad(loss)(learner.weights)
    change, moments = optimiser.update(gradient, learner.moments)
    weights = optax.apply_updates(learner.weights, change)
    target = optax.incremental_update(weights, learner.target, TARGET_RATE)
    return learner._replace(weights=weights, target=target, moments=moments)


def success(weights: Tree, key: Array) -> Array:
    """Per cent of episodes in which the best actions reach the goal."""

    def episode(key: Array) -> Array:
        bits, goal = (random_bits(k) for k in jax.random.split(key))

        def step(now: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            bits = flip(now[0], worth(weights, now[0], goal).argmax())
            return (bits, now[1] | (bits == goal).all()), None

        return jax.lax.scan(step, (bits, (bits == goal).all()), length=BITS)[0][1]

    return 100 * jax.vmap(episode)(jax.random.split(key, EPISODES)).mean(dtype=jnp.float32)


@jax.jit
def train(seeds: Array, share: Array, updates: Array) -> Array:
    """Trains a network a seed, all at once, and gives their scores."""

    def one(seed: Array) -> Array:
        keys = jax.random.split(jax.random.key(seed), 3)

        def body(index: Array, learner: Learner) -> Learner:
            return update(learner, jax.random.fold_in(keys[1], index), share)

        return success(jax.lax.fori_loop(0, updates, body, start(keys[0])).weights, keys[2])

    return jax.vmap(one)(seeds)


def main(quick: bool) -> None:
    """Trains with and without hindsight, and prints what was reached."""
    updates = jnp.asarray(20 if quick else UPDATES)
    print(f"{'goals of a batch':<20} per cent of {EPISODES} goals reached")
    for name, share in (("as they were meant", 0.0), ("4 of 5 from hindsight", 0.8)):
        begin = time.perf_counter()
        scores = train(jnp.arange(SEEDS), jnp.asarray(share), updates)
        print(f"{name:<22} {summary(scores)}   {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
