"""Ray's actors write parts of one vault."""

import importlib.util
import time

import numpy as np
import pytest
from strongbax.vault import Episode, Vault

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray, of the extra `ray`"),
    pytest.mark.filterwarnings("default"),  # Ray's own
]

STEP = {"observation": np.zeros(3, np.float32), "reward": np.float32(0), "terminated": np.bool_(0)}


class Actor:
    def __init__(self, path: str, number: int) -> None:
        self.number, self.part = number, Vault.open(path, mode="a", part=f"actor-{number}")

    def record(self, count: int) -> int:
        for _ in range(count):
            steps = {
                "observation": np.full((50, 3), self.number, np.float32),
                "reward": np.ones(50, np.float32),
                "terminated": np.arange(50) == 49,
            }
            self.part.append(Episode(steps))
        return count


def test_actors_write_at_once_and_a_killed_one_comes_again(tmp_path):
    """Every episode of three actors is there; a killed actor's part is whole and another goes on with it."""
    import ray

    path = tmp_path / "actors.vault"
    Vault.create(path, steps=STEP).close()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": {}})
    try:
        remote = ray.remote(Actor)
        actors = [remote.remote(str(path), number) for number in range(3)]
        assert ray.get([actor.record.remote(20) for actor in actors]) == [20, 20, 20]
        vault = Vault.open(path)
        assert (vault.num_episodes, vault.num_steps) == (60, 3000)
        ray.kill(actors[0])
        time.sleep(1)
        assert ray.get(remote.remote(str(path), 0).record.remote(5)) == 5
        vault.refresh()
        assert [part.num_episodes for part in vault.parts.values()] == [25, 20, 20]
        assert vault.verify().ok
    finally:
        ray.shutdown()
