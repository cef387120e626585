"""Examples run as their first lines say; those that train take `--quick`, a run of seconds.

`examples/resume.py` is run, and killed, in tests/vault/test_killed_run.py.
"""

import re
import runpy
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest
from strongbax import Vault

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def example(tmp_path, monkeypatch, capfd):
    """Runs an example in a folder of its own: `said = example("cartpole.py", "--quick")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr("sys.argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capfd.readouterr().out

    jax.config.update("jax_disable_most_optimizations", True)  # compiles sooner
    try:
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam takes a float to the power of a count
            yield run
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


def test_cartpole(example):
    """Training on CartPole runs, and says what each seed reached."""
    assert example("cartpole.py", "--quick").count("±") == 1


def test_a_training_loop_carries_one_ring(monkeypatch):
    """XLA fuses no write of a step into the gathers of what is learned from, or it would copy the ring."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from cartpole import train

    program = train.lower(jax.random.key(0), 1).compile().as_text()
    assert "[16,4000]" in program
    assert not re.search(r"\[16,4000\S* copy\(%get-tuple-element", program)


def test_offline(example, strongbax):
    """A converted file is cloned."""
    generator = np.random.default_rng(0)
    with h5py.File("hopper_medium-v2.hdf5", "w") as file:
        file["observations"] = generator.normal(size=(60, 11)).astype(np.float32)
        file["actions"] = generator.uniform(-1, 1, size=(60, 3)).astype(np.float32)
        file["rewards"] = np.ones(60, np.float32)
        for name, end in {"terminals": 19, "timeouts": 59}.items():
            file[name] = np.arange(60) == end
    assert strongbax("convert", "hopper_medium-v2.hdf5", "example.vault")[0] == 0
    assert example("offline.py", "example.vault").startswith("loss 0.")


def test_hindsight(example):
    """Learning with and without hindsight runs."""
    assert example("hindsight.py", "--quick").count("±") == 2


@pytest.fixture
def published(tmp_path, example, monkeypatch):
    """Datasets of a run that was not trained; a resume point has its weights."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from resume import STEP, begin, buffer

    generator, streams = np.random.default_rng(0), 16
    learner, replay = begin(jax.random.key(0))
    add = jax.jit(buffer.add)
    with Vault.create(tmp_path / "runs" / "cartpole.vault", like=replay) as vault:
        for time in range(40):
            steps = {name: np.zeros((streams, *leaf.shape), leaf.dtype) for name, leaf in STEP.items()}
            steps["observation"] = generator.normal(size=(streams, 4)).astype(np.float32)
            steps["reward"] = np.ones(streams, np.float32)
            steps["terminated"] = np.full(streams, time % 20 == 19)
            replay = add(replay, steps)
        vault.checkpoint(replay, key=jax.random.key(0), extra={"learner": learner, "curve": [1.0]})
    return example("publish.py")


def test_publish(published):
    """A run becomes two datasets: what it played, and what its policy comes to."""
    assert "medium-replay-v0: 640 steps, 32 episodes, mean return 20.0" in published
    assert "expert-v0" in published


def test_offline_learning(published, example):
    """Cloning and implicit Q-learning run on what was published and fetched."""
    assert example("iql.py", "--quick").count("±") == 2


def test_decision_transformer(published, example):
    """A transformer is trained on windows from disk, and evaluated."""
    assert example("decision_transformer.py", "--quick").count("±") == 1
