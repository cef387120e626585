"""A training run becomes two datasets: what it learned from, and what it came to.

python examples/resume.py runs/cartpole.vault    # the run; kill it as often as you like
python examples/publish.py                       # runs/published/CartPole: medium-replay-v0, expert-v0

As in D4RL (Fu et al. 2020, section 5), `medium-replay` is all the replay up to when the run was a third as
good as an expert: here, until a hundred episodes had a mean return of 500 / 3. `expert` are 100 episodes of
the policy at the end of the run, always with its best action. Scores are normalised: 0 is the mean return of
100 episodes of random actions, 1 the greatest return there is, 500.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cartpole import LIMIT, Tree, fallen, fresh, move, values
from jax import Array
from resume import buffer
from strongbax import Vault
from strongbax.datasets.card import Card
from strongbax.datasets.fetch import fetch
from strongbax.datasets.publish import publish
from strongbax.vault import Episode, View

RUN, PUBLISHED, FETCHED = Path("runs/cartpole.vault"), Path("runs/published"), Path("runs/fetched")
MEDIUM, RECENT, EPISODES = LIMIT / 3, 100, 100


def medium_replay(run: Vault) -> View:
    """The episodes up to when the mean return of the last hundred was medium; all, where it never was."""
    returns = run.episodes["return"]
    recent = np.convolve(returns, np.full(RECENT, 1 / RECENT), "valid")
    reached = np.flatnonzero(recent >= MEDIUM)
    return run.select(slice(int(reached[0]) + RECENT if len(reached) else None))


@jax.jit
def play(weights: Tree, explore: Array, key: Array) -> tuple[Array, Array, Array]:
    """Episodes of `LIMIT` steps: observations, one more than steps; actions; whether the cart stands."""

    def step(cart: Array, key: Array) -> tuple[Array, tuple[Array, Array]]:
        anything = jax.random.bernoulli(key).astype(jnp.int32)
        best = values(weights, cart).argmax().astype(jnp.int32)
        action = jnp.where(explore, anything, best)
        following = move(cart, action.astype(jnp.float32))
        return following, (following, action)

    def episode(key: Array) -> tuple[Array, Array, Array]:
        key_fresh, key_steps = jax.random.split(key)
        first = fresh(key_fresh)
        carts, actions = jax.lax.scan(step, first, jax.random.split(key_steps, LIMIT))[1]
        carts = jnp.concatenate([first[None], carts])
        return carts, actions, jnp.cumsum(jax.vmap(fallen)(carts)) == 0

    return jax.vmap(episode)(jax.random.split(key, EPISODES))


def episodes(carts: Array, actions: Array, upright: Array) -> list[Episode]:
    """The same as episodes, each cut where its cart fell."""
    made = list[Episode]()
    for cart, action, up in zip(*(np.asarray(leaf) for leaf in (carts, actions, upright)), strict=True):
        length = min(int(up.sum()), LIMIT)
        last = np.arange(length) == length - 1
        steps = {
            "observation": cart[:length],
            "action": action[:length],
            "reward": np.ones(length, np.float32),
            "terminated": last & ~up[length],
            "truncated": last & up[length],
        }
        made.append(Episode(steps, final={"observation": cart[length]}))
    return made


def card(name: str, description: str, random_score: float) -> dict[str, Any]:
    """What one should know of a dataset."""
    return Card(
        dataset_id=f"CartPole/{name}",
        description=description,
        licence="CC0-1.0",
        citation="The examples of Strongbax: examples/publish.py.",
        algorithm_name="double Q-learning with prioritised replay",
        env_spec={"kind": "gymnasium", "id": "CartPole-v1"},
        horizon=LIMIT,
        ref_min_score=random_score,
        ref_max_score=float(LIMIT),
        num_episodes_average_score=EPISODES,
    ).to_dict()


def put(vault: Vault, facts: dict[str, Any], published: Path) -> None:
    """Gives a vault its card and publishes it."""
    vault.write_card(facts)
    vault.close()
    done = publish(vault.path, published / facts["dataset_id"])
    vault = Vault.open(done.place)
    mean = vault.episodes["return"].mean()
    print(f"{done.dataset_id}: {vault.num_steps} steps, {len(vault)} episodes, mean return {mean:.1f}")


def fetched(name: str, published: Path = PUBLISHED, folder: Path = FETCHED) -> Vault:
    """Fetches one of the two, every byte compared, and opens it."""
    return Vault.open(fetch(published / "CartPole" / name, folder / "CartPole" / name, overwrite=True))


def main(run: Path, published: Path) -> None:
    """Publishes both datasets of a run."""
    with Vault.open(run) as vault, tempfile.TemporaryDirectory(dir=run.parent) as work:
        weights = vault.restore(buffer)[1]["learner"]["weights"]
        key_random, key_expert = jax.random.split(jax.random.key(0))
        low = float(np.minimum(play(weights, True, key_random)[2].sum(axis=1), LIMIT).mean())
        copy = Vault.open(medium_replay(vault).save(Path(work) / "replay.vault"), mode="a")
        put(copy, card("medium-replay-v0", "The replay of a run until it was medium.", low), published)
        best = episodes(*play(weights, False, key_expert))
        rolled = Vault.create(
            Path(work) / "expert.vault", steps=jax.tree.map(lambda leaf: leaf[0], best[0].steps)
        )
        rolled.append(best)
        put(rolled, card("expert-v0", "The last policy of a run.", low), published)


if __name__ == "__main__":
    places = [Path(word) for word in sys.argv[1:] if not word.startswith("--")]
    main(*(places or (RUN, PUBLISHED)))
