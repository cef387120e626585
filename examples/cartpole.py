"""Deep Q-learning with n-step returns on CartPole, from windows that never cross an episode's end.

python examples/cartpole.py            # five seeds, a minute on two cores
python examples/cartpole.py --quick    # a look, in seconds: the numbers mean nothing

The cart and its pole are those of Barto, Sutton and Anderson (1983), "Neuronlike adaptive elements that can
solve difficult learning control problems", with the constants of gymnasium's CartPole-v1. The learner is
double Q-learning (van Hasselt et al. 2016) with n-step returns.
"""

import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import strongbax.buffer as fbx
from jax import Array
from seeds import SEEDS, summary

STREAMS, BATCH, STEPS = 16, 128, 5
UPDATES, WARM_UP = 30_000, 500
DISCOUNT, RATE, TARGET_RATE, EXPLORE = 0.99, 1e-3, 0.01, 0.1
LIMIT = 500  # steps of an episode, after which it is truncated
Tree = Any


def move(state: Array, action: Array) -> Array:
    """One step of the cart: position, speed, angle and its speed, 0.02 seconds later; action 0 or 1."""
    gravity, pole, total, half_length, time = 9.8, 0.1, 1.1, 0.5, 0.02
    _, x_speed, angle, angle_speed = state
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    push = (10.0 * (2 * action - 1) + pole * half_length * angle_speed**2 * sine) / total
    turn = (gravity * sine - cosine * push) / (half_length * (4 / 3 - pole * cosine**2 / total))
    pull = push - pole * half_length * turn * cosine / total
    return state + time * jnp.array([x_speed, pull, angle_speed, turn])


def fallen(state: Array) -> Array:
    """Whether the pole leans by more than 12 degrees, or the cart left the track."""
    return (jnp.abs(state[0]) > 2.4) | (jnp.abs(state[2]) > jnp.deg2rad(12))


def fresh(key: Array) -> Array:
    """A cart near its place with a pole near upright."""
    return jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)


def network(key: Array, sizes: tuple[int, ...] = (4, 64, 64, 2)) -> list[tuple[Array, Array]]:
    """Weights of a network of dense layers, from as many features to as many."""
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        (jax.random.normal(k, (i, o)) * jnp.sqrt(2 / i), jnp.zeros(o))
        for k, i, o in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def values(weights: Tree, observation: Array) -> Array:
    """What the network says, of each action what it is worth, `[..., 2]`."""
    *hidden, last = weights
    for layer in hidden:
        observation = jax.nn.relu(dense(layer, observation))
    return dense(last, observation)


def dense(layer: Tree, features: Array) -> Array:
    """One layer, `[..., in]` to `[..., out]`."""
    product = features @ layer[0]
    return product + jnp.broadcast_to(layer[1], product.shape)


class Learner(NamedTuple):
    """All that changes from update to update."""

    carts: Array
    ages: Array
    weights: Tree
    target: Tree
    momentum: Tree
    scale: Tree
    replay: Any
    count: Array


buffer = fbx.make_episode_buffer(
    add_batch_size=STREAMS,
    sample_batch_size=BATCH,
    sample_sequence_length=STEPS,
    max_length_time_axis=4_000,
    short="pad",  # so that the steps that end an episode are learned from too
)


def start(key: Array) -> Learner:
    """Carts at rest, a random network, an empty buffer."""
    key_carts, key_network = jax.random.split(key)
    weights = network(key_network)
    nothing = jax.tree.map(jnp.zeros_like, weights)
    step = {
        "observation": jnp.zeros(4),
        "action": jnp.zeros((), jnp.int32),
        "reward": jnp.zeros(()),
        "terminated": jnp.zeros((), bool),
        "truncated": jnp.zeros((), bool),
    }
    carts = jax.vmap(fresh)(jax.random.split(key_carts, STREAMS))
    ages = jnp.zeros(STREAMS, jnp.int32)
    return Learner(carts, ages, weights, weights, nothing, nothing, buffer.init(step), jnp.zeros(()))


def act(learner: Learner, key: Array) -> Learner:
    """One step of every cart, added to the buffer."""
    key_act, key_random, key_fresh = jax.random.split(key, 3)
    best = values(learner.weights, learner.carts).argmax(axis=-1)
    explore = jnp.maximum(EXPLORE, 1 - learner.count / (4 * WARM_UP))
    anything = jax.random.bernoulli(key_random, shape=best.shape).astype(best.dtype)
    action = jnp.where(jax.random.uniform(key_act, best.shape) < explore, anything, best).astype(jnp.int32)
    carts = jax.vmap(move)(learner.carts, action.astype(jnp.float32))
    terminated = jax.vmap(fallen)(carts)
    truncated = (learner.ages + 1 >= LIMIT) & ~terminated
    ended = terminated | truncated
    step = {
        "observation": learner.carts,
        "action": action,
        "reward": jnp.ones(STREAMS),
        "terminated": terminated,
        "truncated": truncated,
    }
    replay = buffer.add(learner.replay, jax.tree.map(lambda leaf: leaf[:, None], step))
    restarts = jax.vmap(fresh)(jax.random.split(key_fresh, STREAMS))
    carts = jnp.where(ended[:, None], restarts, carts)
    return learner._replace(carts=carts, ages=jnp.where(ended, 0, learner.ages + 1), replay=replay)


def loss(weights: Tree, learner: Learner, key: Array) -> Array:
    """How far the first actions of some windows are from being worth what followed."""
    sample = buffer.sample(learner.replay, key)
    steps = sample.experience
    sums = fbx.n_step(steps["reward"], steps["terminated"], sample.mask, STEPS, DISCOUNT)
    rows = learner.replay.experience["observation"]
    following, known = fbx.next_observation(learner.replay, sample, rows)
    last = sums.last[:, :1]
    after = jnp.take_along_axis(following, last[..., None], axis=1)[:, 0]
    best = values(weights, after).argmax(axis=-1)[:, None]
    worth = jnp.take_along_axis(values(learner.target, after), best, axis=1)[:, 0]
    wanted = sums.returns[:, 0] + sums.discounts[:, 0] * worth
    guess = values(weights, steps["observation"][:, 0])
    guess = jnp.take_along_axis(guess, steps["action"][:, :1], axis=1)[:, 0]
    # Where an episode was truncated, what followed is not known: nothing is learned there.
    counts = jnp.take_along_axis(known, last, axis=1)[:, 0] | (sums.discounts[:, 0] == 0)
    error = jnp.where(counts, guess - jax.lax.stop_gradient(wanted), 0.0)
    return jnp.mean(jnp.where(jnp.abs(error) < 1, error**2 / 2, jnp.abs(error) - 0.5))


def update(learner: Learner, key: Array) -> tuple[Learner, None]:
    """Acts once and learns once: a step of Adam (Kingma and Ba 2015), once the buffer holds enough."""
    key_act, key_loss = jax.random.split(key)
    learner = act(learner, key_act)
    gradient = jax.grad(loss)(learner.weights, learner, key_loss)
    count = learner.count + 1
    momentum = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, learner.momentum, gradient)
    scale = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g**2, learner.scale, gradient)
    rate = jnp.where(count > WARM_UP, RATE * jnp.maximum(1 - count / UPDATES, 0), 0.0)
    rate = rate * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
    weights = jax.tree.map(
        lambda w, m, s: w - rate * m / (jnp.sqrt(s) + 1e-8), learner.weights, momentum, scale
    )
    target = jax.tree.map(lambda t, w: t + TARGET_RATE * (w - t), learner.target, weights)
    changes = {"weights": weights, "target": target, "momentum": momentum, "scale": scale, "count": count}
    return learner._replace(**changes), None


def score(weights: Tree, key: Array) -> Array:
    """The mean return of 100 episodes in which the best action is taken."""

    def step(now: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        cart, alive = now
        cart = move(cart, values(weights, cart).argmax().astype(jnp.float32))
        alive &= ~fallen(cart)
        return (cart, alive), now[1]

    def episode(key: Array) -> Array:
        return jax.lax.scan(step, (fresh(key), jnp.array(True)), length=LIMIT)[1].sum()

    return jax.vmap(episode)(jax.random.split(key, 100)).mean()


@jax.jit
def train(key: Array, updates: Array) -> Array:
    """Trains a network and gives its score."""
    keys = jax.random.split(key, 3)

    def body(index: Array, learner: Learner) -> Learner:
        return update(learner, jax.random.fold_in(keys[1], index))[0]

    learner = jax.lax.fori_loop(0, updates, body, start(keys[0]))
    return score(learner.weights, keys[2])


def main(quick: bool) -> None:
    """Trains one seed after the other, and prints what they reached."""
    updates = jnp.asarray(20 if quick else UPDATES)
    scores = [train(jax.random.key(seed), updates) for seed in range(SEEDS)]
    print(f"return of 100 episodes, {LIMIT} at most: {summary(jnp.stack(scores))}")


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
