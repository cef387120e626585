"""Every writer, over vaults as training makes them: several streams, views, vaults joined."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from strongbax.buffer.trajectory_buffer import TrajectoryBufferState
from strongbax.converters import convert, export
from strongbax.vault.episodes import Episode
from strongbax.vault.errors import AlreadyExistsError
from strongbax.vault.vault import Vault
from strongbax.vault.view import concat

STEP = {
    "observation": np.zeros(2, np.float32),
    "action": np.zeros(1, np.float32),
    "reward": np.zeros((), np.float32),
    "terminated": np.zeros((), np.bool_),
}
WRITERS = ["d4rl", "minari", "robomimic", "d3rlpy"]


def streams(path: Path) -> Path:
    """Two streams of seven steps: episodes end at different times, and one runs on in each."""
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(2, 7, *leaf.shape)).astype(leaf.dtype) for name, leaf in STEP.items()}
    rows["terminated"] = np.zeros((2, 7), np.bool_)
    rows["terminated"][0, [1, 4]] = rows["terminated"][1, 5] = True
    state = TrajectoryBufferState(
        experience={name: jnp.asarray(leaf) for name, leaf in rows.items()},
        current_index=jnp.array(0, jnp.int32),
        is_full=jnp.array(True),
    )
    with Vault.create(path, like=state) as vault:
        vault.write(state)
    return path


def episodes_of(path: Path) -> list[tuple[bytes, bytes, bool]]:
    with Vault.open(path) as vault:
        return [
            (np.ravel(e.steps["observation"]).tobytes(), e.steps["reward"].tobytes(), bool(e.terminated))
            for e in (flat(one) for one in vault)
        ]


def flat(episode: Episode) -> Episode:
    seen = episode.steps["observation"]
    rows = seen["flat"] if isinstance(seen, dict) else seen
    return Episode(episode.steps | {"observation": rows}, terminated=episode.terminated)


@pytest.mark.parametrize("name", WRITERS)
def test_episodes_of_many_streams_go_out(tmp_path: Path, name: str):
    """The episodes that ended go out in the order of their ends; those that run are said to stay."""
    with Vault.open(streams(tmp_path / "v")) as vault:
        report = export(vault, tmp_path / "out", name)
    assert (report.num_steps, report.num_episodes) == (11, 3)
    assert any("episodes that have not ended are not written" in note for note in report.notes)
    convert(tmp_path / "out", tmp_path / "w", format=name)
    assert episodes_of(tmp_path / "w") == episodes_of(tmp_path / "v")


@pytest.mark.parametrize("name", WRITERS)
def test_vaults_joined_go_out(tmp_path: Path, name: str):
    """A view over several vaults is written as one dataset, in the view's order."""
    with Vault.open(streams(tmp_path / "a")) as one, Vault.open(streams(tmp_path / "b")) as other:
        view = concat([one.select([2, 0]), other])
        report = export(view, tmp_path / "out", name)
    assert report.num_episodes == 5
    convert(tmp_path / "out", tmp_path / "w", format=name)
    whole = episodes_of(tmp_path / "a")
    assert episodes_of(tmp_path / "w") == [whole[2], whole[0], *whole]


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_replaced_and_nothing_is_left(tmp_path: Path, name: str):
    """A place that is taken is refused, and an unknown option or an empty vault leaves nothing."""
    (tmp_path / "out").write_text("mine")
    with Vault.open(streams(tmp_path / "v")) as vault:
        with pytest.raises(AlreadyExistsError, match="something stands at"):
            export(vault, tmp_path / "out", name)
        with pytest.raises(ValueError, match=f"`colour` is no option of the format {name}"):
            export(vault, tmp_path / "x", name, colour=1)
        with pytest.raises(ValueError, match="must hold an episode that ended"):
            export(vault.select([]), tmp_path / "x", name)
    assert (tmp_path / "out").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "v"]
