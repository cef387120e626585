"""A decision transformer: acts as episodes did that came to a return one asks for; windows come from disk.

python examples/publish.py                       # the datasets, see there
python examples/decision_transformer.py          # five seeds, some three minutes on two cores
python examples/decision_transformer.py --quick  # a look, in seconds: the numbers mean nothing

It is trained on `medium-replay` in windows of 20 steps, short ones padded on the left, that a loader reads
from the vault. After Chen et al. 2021, "Decision Transformer", section 3, with one difference for the sake of
speed: a step is one token, the sum of what stands for its return-to-go, its observation and the action before
it, where the paper has three tokens. Two layers of width 32 with two heads, Adam, 64 windows a batch.
"""

import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import optax
from cartpole import LIMIT, Tree, dense, fallen, fresh, move, network
from jax import Array
from publish import fetched
from seeds import SEEDS, summary
from strongbax import Vault

WINDOW, WIDTH, LAYERS, HEADS = 20, 32, 2, 2
UPDATES, BATCH, RATE = 2_000, 64, 1e-3
TARGETS, EPISODES = (500, 250, 100), 20  # returns that are asked for; episodes of an evaluation, of each seed
optimiser = optax.adam(RATE)


def start(key: Array) -> dict[str, Any]:
    """Random weights."""
    keys = jax.random.split(key, 3 + 4 * LAYERS)
    embed = {"seen": network(keys[0], (6, WIDTH)), "place": 0.1 * jax.random.normal(keys[1], (WINDOW, WIDTH))}
    layers = [
        {
            "heads": network(keys[3 + 2 * i], (WIDTH, 3 * WIDTH)),
            "joined": network(keys[4 + 2 * i], (WIDTH, WIDTH)),
            "wide": network(keys[4 + 2 * LAYERS + i], (WIDTH, 4 * WIDTH, WIDTH)),
        }
        for i in range(LAYERS)
    ]
    return {"embed": embed, "layers": layers, "act": network(keys[2], (WIDTH, 2))}


def norm(features: Array) -> Array:
    """Features of mean 0 and variance 1."""
    return jax.nn.standardize(features, axis=-1, epsilon=1e-5)


def attend(layer: Tree, features: Array, mask: Array) -> Array:
    """Every step looks at itself and those before it, `[N, W, D]`."""
    parts = dense(layer["heads"][0], features)
    query, key, value = jnp.split(parts.reshape(*features.shape[:2], HEADS, -1), 3, axis=-1)
    seen = jnp.tril(jnp.ones((WINDOW, WINDOW), bool))[None] & mask[:, None, :]
    mixed = jax.nn.dot_product_attention(query, key, value, mask=seen[:, None])
    return dense(layer["joined"][0], mixed.reshape(features.shape))


def choose(weights: Tree, steps: dict[str, Array], mask: Array) -> Array:
    """What is said for each action at each step of windows, `[N, W, 2]`; the action at a step is not seen."""
    before = jnp.pad(2.0 * steps["action"] - 1.0, ((0, 0), (1, 0)))[:, :-1]
    before = jnp.where(jnp.pad(mask, ((0, 0), (1, 0)))[:, :-1], before, 0.0)
    seen = jnp.concatenate([steps["to_go"][..., None], steps["observation"], before[..., None]], axis=-1)
    features = dense(weights["embed"]["seen"][0], seen) + weights["embed"]["place"][None]
    for layer in weights["layers"]:
        features += attend(layer, norm(features), mask)
        inner, outer = layer["wide"]
        features += dense(outer, jax.nn.gelu(dense(inner, norm(features))))
    return dense(weights["act"][0], norm(features))


@jax.jit
@jax.vmap
def learn(weights: Tree, moments: Any, steps: dict[str, Array], mask: Array) -> tuple[Tree, Any]:
    """One update of each seed."""

    def loss(weights: Tree) -> Array:
        said = choose(weights, steps, mask)
        wrong = optax.softmax_cross_entropy_with_integer_labels(said, steps["action"])
        return wrong.mean(where=mask)

    change, moments = optimiser.update(jax.grad(loss)(weights), moments)
    return optax.apply_updates(weights, change), moments


@jax.jit
def score(weights: Tree, target: Array, key: Array) -> Array:
    """The mean return of episodes that are to come to a return, with the likeliest action always taken."""

    def step(now: tuple[Any, ...], _: None) -> tuple[tuple[Any, ...], Array]:
        carts, alive, to_go, window, mask = now
        newest = {"observation": carts, "to_go": to_go, "action": jnp.zeros(EPISODES, jnp.int32)}
        window = jax.tree.map(lambda old, new: jnp.concatenate([old[:, 1:], new[:, None]], 1), window, newest)
        mask = jnp.concatenate([mask[:, 1:], jnp.ones((EPISODES, 1), bool)], axis=1)
        action = choose(weights, window, mask)[:, -1].argmax(axis=-1).astype(jnp.int32)
        window["action"] = window["action"].at[:, -1].set(action)
        carts = jax.vmap(move)(carts, action.astype(jnp.float32))
        after = alive & ~jax.vmap(fallen)(carts)
        return (carts, after, to_go - 1 / LIMIT, window, mask), alive

    carts = jax.vmap(fresh)(jax.random.split(key, EPISODES))
    nothing = {
        "observation": jnp.zeros((EPISODES, WINDOW, 4)),
        "to_go": jnp.zeros((EPISODES, WINDOW)),
        "action": jnp.zeros((EPISODES, WINDOW), jnp.int32),
    }
    to_go = jnp.full(EPISODES, target / LIMIT)
    first = (carts, jnp.ones(EPISODES, bool), to_go, nothing, jnp.zeros((EPISODES, WINDOW), bool))
    return jax.lax.scan(step, first, length=LIMIT)[1].sum(axis=0).mean(dtype=jnp.float32)


def train(vault: Vault, updates: int) -> Tree:
    """Trains a transformer a seed, each on windows of its own, out of one loader."""
    weights = jax.vmap(start)(jax.vmap(jax.random.key)(jnp.arange(SEEDS)))
    moments = jax.vmap(optimiser.init)(weights)
    leaves = ("observation", "action")
    loader = vault.loader(SEEDS * BATCH, WINDOW, short="pad_left", return_to_go=1.0, leaves=leaves, seed=0)
    for _, sample in zip(range(updates), loader, strict=False):
        steps = sample.experience | {"to_go": sample.return_to_go / LIMIT}
        shares = jax.tree.map(lambda leaf: leaf.reshape(SEEDS, BATCH, *leaf.shape[1:]), (steps, sample.mask))
        weights, moments = learn(weights, moments, *shares)
    return weights


def main(quick: bool) -> None:
    """Trains, asks for returns, and prints what came."""
    data = fetched("medium-replay-v0")
    best, mean = data.episodes["return"].max(), data.episodes["return"].mean()
    print(f"medium-replay-v0: mean return {mean:.1f}, greatest {best:.0f}", flush=True)
    begin = time.perf_counter()
    weights = train(data, 3 if quick else UPDATES)
    print(f"trained in {time.perf_counter() - begin:.0f} s; asked for, mean return of {EPISODES} episodes")
    for target in TARGETS[:1] if quick else TARGETS:
        keys = jax.random.split(jax.random.key(1), SEEDS)
        scores = [
            score(jax.tree.map(lambda leaf, seed=seed: leaf[seed], weights), target, keys[seed])
            for seed in range(SEEDS)
        ]
        print(f"  {target:>3}  {summary(jnp.stack(scores))}", flush=True)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
