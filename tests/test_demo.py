"""The demo does what it says: what was flushed survives a kill, and the run goes on."""

import json

import numpy as np
import pytest
from strongbax.datasets.players import GENERATION, Players
from strongbax.datasets.recorder import run
from strongbax.datasets.recording import RING, Plan, record
from strongbax.datasets.search import begin, draw, improve
from strongbax.vault import Vault


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recording that was made in two goes, without a kill: its path, and what it told."""
    path = tmp_path_factory.mktemp("recorded") / "cartpole.vault"
    told: list[dict] = []
    for steps in (100, 300):
        record(path, Plan(streams=2, steps=steps, flush_every=50), told.append)
    return path, told


def test_demo_tells_what_it_did(tmp_path, strongbax):
    """The demo kills, counts, resumes, verifies, plots and samples, and its figures agree."""
    arguments = ("--streams", 4, "--steps", 400, "--flush-every", 40, "--directory", tmp_path, "--json")
    code, output, story = strongbax("demo", *arguments)
    facts = json.loads(output)
    assert code == 0
    assert facts["survived"] == facts["flushed_before_kill"] == 4 * 200
    assert facts["steps"] == 4 * 400
    assert facts["cut_episodes"] <= facts["streams"] == 4
    assert (tmp_path / "episodes.png").read_bytes().startswith(b"\x89PNG")
    for told in ("SIGKILL", "survived", "Resumed", "Verified", "sampled under jit"):
        assert told in story
    with Vault.open(facts["vault"]) as vault:
        assert (vault.num_steps, vault.num_episodes) == (facts["steps"], facts["episodes"])


def test_killed_recording_keeps_what_was_flushed(tmp_path):
    """A process killed between two flushes leaves every flush that returned, and nothing else."""
    path = tmp_path / "killed.vault"
    killed = run(path, Plan(streams=2, steps=300, flush_every=50), lambda played: played > 200)
    assert killed.killed
    assert killed.flushed == [100, 200]
    assert killed.played == 250
    with Vault.open(path) as vault:
        assert vault.num_steps == 200
        assert vault.verify().ok
        steps = vault.read_numpy()
    assert np.isfinite(steps["observation"]).all()
    assert (steps["reward"] == 1).all()


def test_resumed_recording_doubles_nothing(recorded):
    """A recording in two goes holds each played step once, and flushed each once."""
    path, told = recorded
    assert [event["flushed"] for event in told if "flushed" in event] == [100, 200, 300, 400, 500, 600]
    with Vault.open(path) as vault:
        observations = vault.read_numpy()["observation"].reshape(-1, 4)
    assert len(np.unique(observations, axis=0)) == len(observations) == 600


def test_episodes_end_where_the_recording_was_cut(recorded):
    """No episode spans the place where the recording was taken up again."""
    path, _ = recorded
    with Vault.open(path) as vault:
        table = vault.episodes
        first = vault.read_numpy()["is_first"]
    stops = table["start"] + table["length"]
    assert not ((table["start"] < 100) & (stops > 100)).any()
    assert first[:, 100].all()
    assert (first.sum(axis=1) - 1 == np.bincount(table["stream"], minlength=2)).all()


def test_ring_is_smaller_than_a_usual_recording():
    """The demo's vault holds more than the ring in memory ever did."""
    assert Plan().steps > RING


@pytest.mark.parametrize("environment", ["CartPole-v1", "Pendulum-v1"])
def test_players_yield_whole_steps(environment):
    """Blocks join: an episode's first step is marked, and follows the last of the one before."""
    players = Players(environment, streams=2, seed=0)
    first, second = players.play(150), players.play(150)
    steps = {name: np.concatenate([leaf, second[name]], axis=1) for name, leaf in first.items()}
    over = steps["terminated"] | steps["truncated"]
    assert over.any()
    assert steps["is_first"][:, 0].all()
    assert (steps["is_first"][:, 1:] == over[:, :-1]).all()
    example = players.step()
    assert {k: (v.shape[2:], v.dtype) for k, v in steps.items()} == {
        k: (v.shape, v.dtype) for k, v in example.items()
    }


def test_search_finds_the_best():
    """The search ends near the maximum of a simple function."""
    generator, search = np.random.default_rng(0), begin(3)
    for _ in range(20):
        candidates = np.stack([draw(search, generator) for _ in range(GENERATION)])
        search = improve(candidates, -np.sum((candidates - 2.0) ** 2, axis=1).astype(np.float64))
    assert np.abs(search.mean - 2).max() < 0.2


def test_recording_learns(tmp_path):
    """Returns rise: the policy search is real."""
    players = Players("CartPole-v1", streams=8, seed=0)
    over = {name: leaf for name, leaf in players.play(3000).items() if name in ("terminated", "truncated")}
    ends = (over["terminated"] | over["truncated"]).sum(axis=0)
    assert ends[:300].sum() > 4 * ends[-300:].sum()


def test_unknown_environment_is_refused(tmp_path, strongbax):
    """An environment that nobody knows is one line, not a traceback of the child."""
    code, _, error = strongbax("demo", "--environment", "Nope-v0", "--directory", tmp_path)
    assert code == 2
    assert "Nope-v0" in error
    assert "Traceback" not in error


def test_other_data_is_not_replaced(tmp_path, strongbax):
    """What lies where the demo's vault goes and is no vault stays, and is an error."""
    precious = tmp_path / "CartPole-v1.vault" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    code, _, error = strongbax("demo", "--directory", tmp_path)
    assert code == 2
    assert "CartPole-v1.vault" in error
    assert precious.read_text() == "mine"
