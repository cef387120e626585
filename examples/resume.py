"""Deep Q-learning with a prioritised buffer that may be killed at any moment: run it again, and it goes on.

python examples/resume.py runs/cartpole.vault       # 2,000 rounds, half a minute on two cores
python examples/resume.py runs/cartpole.vault 40    # a look: so many rounds
python examples/resume.py runs/other.vault 2000 7   # another seed

However often it is killed, weights, ring, priorities, keys and learning curve are in the end, bit for bit,
those of a run that never was. The vault has every step that was ever played, each once. For that, all that a
round depends on is in the resume point, the environments' states too, since they are arrays.
"""

import functools
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import strongbax
from cartpole import LIMIT, Tree, fallen, fresh, move, network, values
from jax import Array
from strongbax import Vault

STREAMS, BATCH, UPDATES, ROUNDS, EVERY = 16, 64, 16, 2_000, 4  # updates a round, rounds a checkpoint
DISCOUNT, RATE, TARGET_RATE, WARM_UP, BETA = 0.99, 1e-3, 0.01, 500, 0.6

buffer = strongbax.make_prioritised_flat_buffer(
    max_length=10_000, min_length=STREAMS, sample_batch_size=BATCH, add_batch_size=STREAMS
)
STEP = {
    "observation": jnp.zeros(4),
    "action": jnp.zeros((), jnp.int32),
    "reward": jnp.zeros(()),
    "terminated": jnp.zeros((), bool),
    "truncated": jnp.zeros((), bool),
}


class Learner(NamedTuple):
    """All that changes from update to update, but for the buffer."""

    carts: Array
    ages: Array
    weights: Tree
    target: Tree
    momentum: Tree
    scale: Tree
    count: Array


@jax.jit
def begin(key: Array) -> tuple[Learner, Any]:
    """Carts at rest and a random network; an empty buffer."""
    key_carts, key_network = jax.random.split(key)
    weights = network(key_network)
    nothing = jax.tree.map(jnp.zeros_like, weights)
    carts = jax.vmap(fresh)(jax.random.split(key_carts, STREAMS))
    ages, count = jnp.zeros(STREAMS, jnp.int32), jnp.zeros(())
    return Learner(carts, ages, weights, weights, nothing, nothing, count), buffer.init(STEP)


def act(learner: Learner, replay: Any, key: Array) -> tuple[Learner, Any, Array]:
    """One step of every cart, added to the buffer; and how many fell."""
    key_act, key_random, key_fresh = jax.random.split(key, 3)
    best = values(learner.weights, learner.carts).argmax(axis=-1).astype(jnp.int32)
    explore = jnp.maximum(0.1, 1 - learner.count / (4 * WARM_UP))
    anything = jax.random.bernoulli(key_random, shape=best.shape).astype(jnp.int32)
    action = jnp.where(jax.random.uniform(key_act, best.shape) < explore, anything, best)
    carts = jax.vmap(move)(learner.carts, action.astype(jnp.float32))
    terminated = jax.vmap(fallen)(carts)
    truncated = (learner.ages + 1 >= LIMIT) & ~terminated
    step = {
        "observation": learner.carts,
        "action": action,
        "reward": jnp.ones(STREAMS),
        "terminated": terminated,
        "truncated": truncated,
    }
    replay = buffer.add(replay, step)
    ended = terminated | truncated
    carts = jnp.where(ended[:, None], jax.vmap(fresh)(jax.random.split(key_fresh, STREAMS)), carts)
    ages = jnp.where(ended, 0, learner.ages + 1)
    return learner._replace(carts=carts, ages=ages), replay, terminated.sum()


def errors(weights: Tree, target: Tree, sample: Any) -> Array:
    """How far the actions drawn are from being worth what followed (van Hasselt et al. 2016)."""
    first, second = sample.experience
    best = values(weights, second["observation"]).argmax(axis=-1)[:, None]
    worth = jnp.take_along_axis(values(target, second["observation"]), best, axis=1)[:, 0]
    wanted = first["reward"] + DISCOUNT * jnp.where(first["terminated"], 0.0, worth)
    guess = values(weights, first["observation"])
    guess = jnp.take_along_axis(guess, first["action"][:, None], axis=1)[:, 0]
    # Where an episode was truncated, what followed is not known: nothing is learned there.
    return jnp.where(first["truncated"], 0.0, guess - jax.lax.stop_gradient(wanted))


def learn(learner: Learner, replay: Any, key: Array) -> tuple[Learner, Any]:
    """A step of Adam (Kingma and Ba 2015) on a batch drawn by priority; the errors are the new priorities."""
    sample = buffer.sample(replay, key)
    counts = strongbax.importance_weights(sample.probabilities, BETA)

    def loss(weights: Tree) -> tuple[Array, Array]:
        error = errors(weights, learner.target, sample)
        huber = jnp.where(jnp.abs(error) < 1, error**2 / 2, jnp.abs(error) - 0.5)
        return jnp.mean(counts * huber), error

    gradient, error = jax.grad(loss, has_aux=True)(learner.weights)
    replay = buffer.set_priorities(replay, sample.indices, jnp.abs(error) + 1e-3)
    count = learner.count + 1
    rate = jnp.where(count > WARM_UP, RATE, 0.0) * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
    momentum = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, learner.momentum, gradient)
    scale = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g**2, learner.scale, gradient)
    weights = jax.tree.map(
        lambda w, m, s: w - rate * m / (jnp.sqrt(s) + 1e-8), learner.weights, momentum, scale
    )
    target = jax.tree.map(lambda t, w: t + TARGET_RATE * (w - t), learner.target, weights)
    changes = {"weights": weights, "target": target, "momentum": momentum, "scale": scale, "count": count}
    return learner._replace(**changes), replay


@functools.partial(jax.jit, donate_argnums=1)
def play(learner: Learner, replay: Any, key: Array) -> tuple[Learner, Any, Array, Array]:
    """A round of updates; and steps for each cart that fell in it."""

    def update(now: tuple[Learner, Any], key: Array) -> tuple[tuple[Learner, Any], Array]:
        key_act, key_learn = jax.random.split(key)
        learner, replay, fell = act(*now, key_act)
        return learn(learner, replay, key_learn), fell

    key, used = jax.random.split(key)
    (learner, replay), fell = jax.lax.scan(update, (learner, replay), jax.random.split(used, UPDATES))
    return learner, replay, key, UPDATES * STREAMS / jnp.maximum(fell.sum(), 1)


def run(path: Path, rounds: int, seed: int = 0) -> None:
    """Trains from where the vault's newest resume point is, or from the beginning."""
    key, key_begin = jax.random.split(jax.random.key(seed))
    (learner, replay), curve = begin(key_begin), list[float]()
    with Vault.open(path, mode="a") if path.exists() else Vault.create(path, like=replay) as vault:
        if vault.resume_points:
            like = {"learner": learner, "curve": None, "key": key}
            replay, extra = vault.restore(buffer, extra_like=like)
            learner, curve, key = extra["learner"], extra["curve"], extra["key"]
        else:  # so that a run killed before the next one begins here, and finds what it flushed
            vault.checkpoint(replay, key=key, extra={"learner": learner, "curve": curve})
        print(f"goes on from round {len(curve)}", flush=True)
        while len(curve) < rounds:
            learner, replay, key, steps = play(learner, replay, key)
            curve.append(float(steps))
            if len(curve) % EVERY == 0 or len(curve) == rounds:
                vault.checkpoint(replay, key=key, extra={"learner": learner, "curve": curve})
            else:
                vault.write(replay)  # on disk when it returns, as a checkpoint is
            print(f"round {len(curve)}: {steps:.0f} steps a fall", flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), *map(int, sys.argv[2:] or [ROUNDS]))
