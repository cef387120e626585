"""Behaviour cloning from a vault: load it, sample it under jit, fit a linear policy.

strongbax convert hopper_medium-v2.hdf5 hopper.vault
python examples/offline.py hopper.vault
"""

import sys

import jax
import jax.numpy as jnp
import strongbax
from strongbax import Vault

with Vault.open(sys.argv[1]) as vault:
    buffer = strongbax.make_item_buffer(
        max_length=vault.num_steps, min_length=1, sample_batch_size=min(256, vault.num_steps)
    )
    state = vault.load(buffer, leaves=["observation", "action"])
    sizes = {leaf.name: leaf.shape[0] for leaf in vault.schema.leaves if leaf.shape}


def loss(weights: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
    """Mean squared error of the actions, weights [observation, action]."""
    return jnp.mean((batch["observation"] @ weights - batch["action"]) ** 2)


@jax.jit
def improve(weights: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One step of gradient descent on a batch drawn with `key`."""
    batch = buffer.sample(state, key).experience
    value, gradient = jax.value_and_grad(loss)(weights, batch)
    return weights - 0.01 * gradient, value


weights = jnp.zeros((sizes["observation"], sizes["action"]))
for key in jax.random.split(jax.random.key(0), 200):
    weights, value = improve(weights, key)
print(f"loss {value:.4f}")
