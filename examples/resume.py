"""A training loop that can be killed at any moment and started again: run it twice.

    python examples/resume.py runs/pendulum.vault

The ring in memory holds the newest steps; the vault holds all of them, and what else the run needs: cursor,
priorities, key and learnt values come back as they were at the last checkpoint.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import gymnasium
import jax
import numpy as np
import strongbax
from strongbax import Vault

RING, BLOCK, BLOCKS = 1_000, 200, 5  # steps in memory, steps between flushes, flushes a run

path = Path(sys.argv[1])
buffer = strongbax.make_prioritised_trajectory_buffer(
    add_batch_size=1,
    sample_batch_size=32,
    sample_sequence_length=8,
    period=1,
    min_length_time_axis=8,
    max_length_time_axis=RING,
)
step = {
    "observation": np.zeros(3, np.float32),
    "action": np.zeros(1, np.float32),
    "reward": np.float32(0),
    "terminated": np.bool_(0),
    "truncated": np.bool_(0),
    "is_first": np.bool_(0),  # so that an episode cut by a kill does not run on into the next
}


def play(seed: int) -> Iterator[tuple]:
    """Yields steps of random play, episode after episode."""
    environment = gymnasium.make("Pendulum-v1")
    environment.action_space.seed(seed)
    while True:
        observation, _ = environment.reset(seed=seed)
        is_first, over, seed = True, False, seed + 1
        while not over:
            action = environment.action_space.sample()
            after, reward, terminated, truncated, _ = environment.step(action)
            yield observation, action, reward, terminated, truncated, is_first
            observation, is_first, over = after, False, terminated or truncated


add, sample = jax.jit(buffer.add, donate_argnums=0), jax.jit(buffer.sample)
set_priorities = jax.jit(buffer.set_priorities, donate_argnums=0)
state, extra = buffer.init(step), {"key": jax.random.key(0), "mean": np.float32(0)}
with Vault.open(path, mode="a") if path.exists() else Vault.create(path, like=state) as vault:
    print(f"{vault.num_steps} steps are there")
    if vault.resume_points:
        state, extra = vault.restore(buffer)
    key, mean = extra["key"], extra["mean"]
    history = play(seed=vault.num_steps)
    for _ in range(BLOCKS):
        leaves = zip(*islice(history, BLOCK), strict=True)
        block = {
            name: np.asarray(leaf, example.dtype)[None]  # [1, BLOCK, ...]
            for (name, example), leaf in zip(step.items(), leaves, strict=True)
        }
        state = add(state, block)
        key, drawn = jax.random.split(key)
        batch = sample(state, drawn)  # learn from it: here, the mean of rewards
        rewards = batch.experience["reward"][:, 0]
        mean += (rewards.mean() - mean) / 10
        state = set_priorities(state, batch.indices, abs(rewards - mean) + 0.01)
        vault.checkpoint(state, key=key, extra={"mean": mean})  # on disk when it returns
    print(f"{vault.num_steps} steps now, {vault.num_episodes} episodes that ended")
    print(f"a batch: {batch.experience['observation'].shape}, mean reward {mean:.2f}")
