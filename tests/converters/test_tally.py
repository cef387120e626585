"""Tallies: equal for the same dataset however it is cut into blocks, different for any other."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strongbax.converters.source import Block
from strongbax.converters.tally import differences, tally_of
from strongbax.vault.episodes import Ends


def blocks(edges: list[int], n: int = 40, seed: int = 0) -> list[Block]:
    """One dataset of `n` steps, cut at `edges`."""
    rng = np.random.default_rng(seed)
    reward, observation = rng.normal(size=n), rng.normal(size=(n, 3)).astype(np.float32)
    stops = np.array([5, 6, 20, n])
    terminated = np.array([True, False, True, False])
    made = []
    for start, stop in zip([0, *edges], [*edges, n], strict=True):
        here = (stops > start) & (stops <= stop)
        final = {"observation": np.arange(4.0)[here]}
        ends = Ends(stops[here] - start, terminated[here], ~terminated[here], final)
        steps = {"reward": reward[start:stop], "observation": observation[start:stop]}
        made.append(Block(steps, ends, {"next": steps["observation"] + 1}))
    return made


@given(st.sets(st.integers(1, 39), max_size=8))
def test_blocks_do_not_matter(edges: set[int]):
    """However a dataset is cut, its tally is the same."""
    assert differences(tally_of(blocks([])), tally_of(blocks(sorted(edges)))) == []


def test_a_tally_holds_what_a_loop_would_sum():
    """Returns are plain sums of each episode's rewards."""
    tally = tally_of(blocks([3, 5, 17]))
    reward = blocks([])[0].steps["reward"]
    returns = [reward[a:b].sum() for a, b in [(0, 5), (5, 6), (6, 20), (20, 40)]]
    np.testing.assert_allclose(tally.returns, returns, rtol=1e-12)
    assert (tally.num_steps, tally.num_episodes) == (40, 4)


def test_every_difference_is_named():
    """Whatever differs between two datasets is said, by name."""
    tally = tally_of(blocks([]))
    flipped = ~tally.terminated
    wrong = {
        "num_steps: 40 in the source, 41 in": replace(tally, num_steps=41),
        "num_episodes: 4 in the source, 3 in": replace(tally, stops=tally.stops[:3]),
        "leaf `reward`: sha256": replace(tally, leaves={**tally.leaves, "reward": "0"}),
        "leaf `extra`: sha256 None in the source": replace(tally, leaves={**tally.leaves, "extra": "0"}),
        "final rows `observation`: sha256": replace(tally, finals={}),
        "stops of episode 0 and 3 others": replace(tally, stops=tally.stops - 1),
        "terminated of episode 0 and 3 others": replace(tally, terminated=flipped),
        "truncated of episode 0 and 3 others": replace(tally, truncated=~tally.truncated),
        "return of episode 0 and 3 others": replace(tally, returns=tally.returns + 1e-6),
    }
    for start, other in wrong.items():
        (said,) = differences(tally, other)
        assert said.startswith(start)


def test_returns_may_differ_by_rounding_only():
    """Another order of summation passes, another reward does not; infinities equal themselves."""
    tally = tally_of(blocks([]))
    assert differences(tally, replace(tally, returns=tally.returns * (1 + 1e-15))) == []
    rewards = np.array([np.inf, 1.0])
    ends = Ends(np.array([2]), np.array([True]), np.array([False]))
    endless = tally_of([Block({"reward": rewards}, ends)])
    assert differences(endless, endless) == []
