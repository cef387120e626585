"""Tallies: the same for the same dataset however it is cut into blocks, and plain hashes of its rows."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strongbax.converters.returns import first_other, sums_of
from strongbax.converters.source import Block
from strongbax.converters.tally import tally_of
from strongbax.vault.episodes import Ends

STOPS = np.array([5, 6, 6, 20, 40])


def blocks(edges: list[int], n: int = 40, seed: int = 0) -> list[Block]:
    """One dataset of `n` steps, cut at `edges`; its third episode has no steps."""
    rng = np.random.default_rng(seed)
    reward, observation = rng.normal(size=n), rng.normal(size=(n, 3)).astype(np.float32)
    terminated = np.array([True, False, False, True, False])
    made = []
    for start, stop in zip([0, *edges], [*edges, n], strict=True):
        here = (start < STOPS) & (stop >= STOPS)
        final = {"observation": np.arange(5.0)[here]}
        ends = Ends(STOPS[here] - start, terminated[here], ~terminated[here], final)
        steps = {"reward": reward[start:stop], "observation": observation[start:stop]}
        made.append(Block(steps, ends, {"next": steps["observation"] + 1}))
    return made


@given(st.sets(st.integers(1, 39), max_size=8))
def test_blocks_do_not_matter(edges: set[int]):
    """However a dataset is cut, its tally is the same, and so are its returns."""
    assert tally_of(blocks([])) == tally_of(blocks(sorted(edges)))
    found, running = [], 0.0
    for block in blocks(sorted(edges)):
        sums, running = sums_of(block.steps["reward"], block.ends.stop, running)
        found.append(sums)
    (whole,) = blocks([])
    returns = [rows.sum() for rows in np.split(whole.steps["reward"], STOPS[:-1])]
    assert first_other(np.concatenate(found, axis=1), np.array(returns)) is None


def test_a_tally_is_made_of_plain_hashes():
    """Whoever has the rows can make the hashes."""
    tally, (whole,) = tally_of(blocks([3, 5, 17])), blocks([])
    assert (tally.num_steps, tally.num_episodes) == (40, 5)
    assert tally.leaves["reward"] == hashlib.sha256(whole.steps["reward"].tobytes()).hexdigest()
    assert tally.leaves["next"] == hashlib.sha256(whole.derived["next"].tobytes()).hexdigest()
    assert tally.finals["observation"] == hashlib.sha256(np.arange(5.0).tobytes()).hexdigest()
    assert tally.to_dict()["final_sha256"] == tally.finals


def test_returns_may_differ_by_rounding_only():
    """Another order of summation passes, another reward does not; infinities and NaN equal themselves."""
    sums = np.array([[3.0, np.inf, np.nan, 0.0], [3.0, np.inf, np.nan, 8.0]])
    assert first_other(sums, np.array([3.0 * (1 + 1e-15), np.inf, np.nan, 1e-10])) is None
    assert first_other(sums, np.array([3.0, np.inf, np.nan, 1e-6])) == 3
    assert first_other(sums, np.array([3.0, -np.inf, np.nan, 0.0])) == 1
    assert first_other(sums, np.array([3.0, np.inf, 0.0, 0.0])) == 2
