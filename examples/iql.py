"""Offline learning from a training run: implicit Q-learning beside behaviour cloning.

python examples/publish.py        # the two datasets, see there
python examples/iql.py            # five seeds on each, some three minutes on two cores
python examples/iql.py --quick    # a look, in seconds: the numbers mean nothing
python examples/iql.py runs/published-7 runs/fetched-7    # on the datasets of another run

Cloning does what was done; implicit Q-learning (Kostrikov et al. 2022, "Offline Reinforcement Learning with
Implicit Q-Learning", equations 5 to 7) weighs it by how good it was. Its expectile 0.7, temperature 3,
discount 0.99 and target rate 0.005 are those of the paper's locomotion tasks. Networks (two layers of 64),
their rate, the batch and the number of updates are chosen for minutes on two cores, alike for both learners.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import strongbax.buffer as fbx
from cartpole import LIMIT, Tree, network, score, values
from jax import Array
from publish import fetched
from seeds import SEEDS, summary
from strongbax import Vault
from strongbax.datasets.card import Card

DATASETS = ("medium-replay-v0", "expert-v0")
UPDATES, BATCH, RATE = 10_000, 128, 1e-3
EXPECTILE, TEMPERATURE, DISCOUNT, TARGET_RATE, LARGEST = 0.7, 3.0, 0.99, 0.005, 100.0

buffer = fbx.make_episode_buffer(
    add_batch_size=1, sample_batch_size=BATCH, sample_sequence_length=1, max_length_time_axis=1
)
optimiser = optax.adam(RATE)


def of(action: Array, said: Array) -> Array:
    """What was said of the actions, `[N]` of `[N, 2]`."""
    return jnp.take_along_axis(said, action[:, None], axis=1)[:, 0]


def clone(weights: Tree, target: Tree, batch: dict[str, Array]) -> Array:
    """Behaviour cloning: how unlikely the actions are."""
    del target
    said = jax.nn.log_softmax(values(weights["policy"], batch["observation"]))
    return -of(batch["action"], said).mean()


def implicit(weights: Tree, target: Tree, batch: dict[str, Array]) -> Array:
    """Implicit Q-learning: the losses of values, of twin Q-functions and of the policy."""
    seen, action = batch["observation"], batch["action"]
    least = jnp.minimum(*(of(action, values(target[name], seen)) for name in ("one", "two")))
    above = least - values(weights["value"], seen)[:, 0]
    loss = jnp.mean(jnp.where(above > 0, EXPECTILE, 1 - EXPECTILE) * above**2)  # equation 5
    after = values(weights["value"], batch["following"])[:, 0]
    wanted = batch["reward"] + DISCOUNT * jnp.where(batch["terminated"], 0.0, after)
    for name in ("one", "two"):  # equation 6
        error = of(action, values(weights[name], seen)) - jax.lax.stop_gradient(wanted)
        # Where an episode was truncated, what followed may not be known: nothing is learned there.
        loss += jnp.mean(jnp.where(batch["known"] | batch["terminated"], error, 0.0) ** 2)
    weight = jnp.minimum(jnp.exp(TEMPERATURE * jax.lax.stop_gradient(above)), LARGEST)
    said = jax.nn.log_softmax(values(weights["policy"], seen))
    return loss - jnp.mean(weight * of(action, said))  # equation 7


def draw(state: Any, finals: Array | None, key: Array) -> dict[str, Array]:
    """Steps with what they led to, each step equally likely."""
    sample = buffer.sample(state, key)
    rows = state.experience["observation"]
    following, known = fbx.next_observation(state, sample, rows, finals)
    steps = sample.experience | {"following": following, "known": known}
    return jax.tree.map(lambda leaf: leaf[:, 0], steps)


def start(key: Array) -> dict[str, Tree]:
    """Random networks: a policy, twin Q-functions, values."""
    sizes = {"policy": 2, "one": 2, "two": 2, "value": 1}
    keys = jax.random.split(key, len(sizes))
    return {name: network(k, (4, 64, 64, size)) for k, (name, size) in zip(keys, sizes.items(), strict=True)}


def make_trainer(loss: Callable[..., Array]) -> Callable[..., Array]:
    """Makes a function that trains on a loss and gives the score of the policy, a seed at a time."""

    def train(seed: Array, state: Any, finals: Array | None, updates: Array) -> Array:
        keys = jax.random.split(jax.random.key(seed), 3)
        weights = start(keys[0])

        def update(index: Array, now: tuple[Tree, Tree, Any]) -> tuple[Tree, Tree, Any]:
            weights, target, moments = now
            batch = draw(state, finals, jax.random.fold_in(keys[1], index))
            gradient = jax.grad(loss)(weights, target, batch)
            change, moments = optimiser.update(gradient, moments)
            weights = optax.apply_updates(weights, change)
            return weights, optax.incremental_update(weights, target, TARGET_RATE), moments

        first = (weights, weights, optimiser.init(weights))
        return score(jax.lax.fori_loop(0, updates, update, first)[0]["policy"], keys[2])

    return jax.jit(jax.vmap(train, in_axes=(0, None, None, None)))


LEARNERS = {"BC": make_trainer(clone), "IQL": make_trainer(implicit)}


def compare(vault: Vault, updates: int) -> None:
    """Trains both learners on a dataset, and prints their normalised scores beside what is in it."""
    card = Card.from_dict(vault.card)
    low, high = card.ref_min_score, card.ref_max_score
    assert low is not None
    assert high is not None
    state = vault.load(buffer)
    finals = jnp.asarray(vault.finals("observation"))[None] if vault.schema.finals else None
    behaviour = 100 * (vault.episodes["return"].mean() - low) / (high - low)
    print(f"{card.dataset_id}: normalised score x 100, of 100 episodes of at most {LIMIT} steps")
    print(f"  in the data {behaviour:6.1f}", flush=True)
    for name, train in LEARNERS.items():
        begin = time.perf_counter()
        returns = train(jnp.arange(SEEDS), state, finals, jnp.asarray(updates))
        said = summary(100 * (returns - low) / (high - low))
        print(f"  {name:<11} {said}   {time.perf_counter() - begin:.0f} s", flush=True)


def main(quick: bool, places: list[Path]) -> None:
    """Compares the learners on each dataset."""
    for name in DATASETS[:1] if quick else DATASETS:
        compare(fetched(name, *places), 20 if quick else UPDATES)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--quick"]
    main("--quick" in sys.argv, [Path(word) for word in words])
