"""Blocks of episodes that a format keeps each by itself, and how they arrive in a vault."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from strongbax.converters import convert, formats
from strongbax.converters.formats import Format
from strongbax.converters.recorded import Recorded, blocks_of
from strongbax.converters.source import Source
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault

EXAMPLE = {"observation": np.zeros(2, np.float32), "reward": np.zeros((), np.float64)}


def episodes(start=0, stop=4, *, rewards=True):
    """Lengths 3, 0, 1 and 4; of the third the final row is not known."""
    for number, length in list(enumerate([3, 0, 1, 4]))[start:stop]:
        steps = {"observation": np.full((length, 2), number, np.float32)}
        if rewards:
            steps["reward"] = np.arange(length) + 0.5
        yield Recorded(
            steps,
            terminated=number % 2 == 0,
            truncated=number == 1,
            final=None if number == 2 else {"observation": np.full(2, 9.0, np.float32)},
            columns={"seed": number * 10},
            attributes={"task": f"öffne {number}"},
        )


def source(rewards):
    example = EXAMPLE if rewards else {"observation": EXAMPLE["observation"]}
    columns = {"seed": np.dtype(np.int32)}
    blocks = blocks_of(partial(episodes, rewards=rewards), 4, example, ("observation",), columns)
    return Source(
        example, np.array([3, 0, 1, 4]), ("observation",), blocks, {}, columns=columns, card={"env": "toy"}
    )


@pytest.mark.parametrize("rewards", [True, False])
def test_episodes_arrive_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rewards: bool):
    """Steps, ends, final rows, columns and attributes stand in the vault; also without rewards."""
    made = Format("toy", "Toy", lambda _: True, lambda path, entry: source(rewards), ())
    monkeypatch.setattr(formats, "FORMATS", (made,))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "data").write_bytes(b"some")
    report = convert(tmp_path / "folder", tmp_path / "v")
    assert (report.num_steps, report.num_episodes) == (8, 4)
    with Vault.open(tmp_path / "v") as vault:
        for got, wanted in zip(vault, episodes(rewards=rewards), strict=True):
            for name, values in wanted.steps.items():
                np.testing.assert_array_equal(got.steps[name], values, strict=True)
            assert (got.final is None) == (wanted.final is None)
            assert (bool(got.terminated), bool(got.truncated)) == (wanted.terminated, wanted.truncated)
            assert got.columns["seed"] == wanted.columns["seed"]
            assert got.attributes == wanted.attributes
        assert vault.card["env"] == "toy"
        assert vault.card["provenance"]["size"] == 4
        assert vault.verify().ok


@pytest.mark.parametrize("asked", [1, 3, 100])
def test_blocks_are_whole_episodes(asked: int):
    """Whatever size is asked for, the same rows come, and no episode is parted."""
    blocks = list(blocks_of(episodes, 4, EXAMPLE, ("observation",), {"seed": np.int32})(asked))
    assert sum(block.num_steps for block in blocks) == 8
    assert all(block.ends.stop[-1] == block.num_steps for block in blocks)
    rewards = np.concatenate([block.steps["reward"] for block in blocks])
    np.testing.assert_array_equal(rewards, [0.5, 1.5, 2.5, 0.5, 0.5, 1.5, 2.5, 3.5])


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (
            {"reward": np.zeros(2)},
            r"Episode 1 has no observation; the first has .*Every episode must have the same",
        ),
        ({"reward": np.zeros(2), "observation": np.zeros((3, 2), np.float32)}, "different lengths"),
        (
            {"reward": np.zeros(2), "observation": np.zeros((2, 3), np.float32)},
            r"in the first it is float32 \[2\]",
        ),
    ],
)
def test_an_episode_that_does_not_fit_is_named(steps, said):
    """Episodes of other leaves, shapes or lengths are refused by their number."""
    one = Recorded({n: np.zeros((1, *v.shape), v.dtype) for n, v in EXAMPLE.items()}, True, False)
    odd = Recorded(steps, terminated=True, truncated=False)
    with pytest.raises(FormatError, match=said) as caught:
        list(blocks_of(lambda start, stop: iter([one, odd][start:stop]), 2, EXAMPLE)(10))
    assert "pisode 1" in str(caught.value)
