"""Units: any run of them, read by itself, holds what a reading from the start has there."""

import itertools
import pickle
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strongbax.converters import export
from strongbax.converters.formats import find_format
from strongbax.converters.readback import episodes_of
from strongbax.converters.source import Source
from strongbax.converters.tally import tally_of
from strongbax.vault import Episode, Vault
from strongbax.vault.errors import FormatError

WRITTEN = (
    "d3rlpy",
    "d4rl",
    "minari",
    "robomimic",
    "rlds",
    "lerobot",
    "torchrl",
    "npz",
    "flashbax",
    "ogbench",
)
SAMPLES = Path(__file__).parents[2] / "../shared/samples"
RECORDED = {
    "d4rl": ("d4rl/*.hdf5", {"horizon": 300}),
    "dqn_replay": ("dqn_replay/*/*", {}),
    "dsrl": ("dsrl/*.hdf5", {}),
    "flashbax": ("flashbax/*", {}),
    "hf_dt": ("hf_dt/*.parquet", {}),
    "lerobot": ("lerobot/*", {}),
    "minari": ("minari/made/*/*", {}),
    "rlds": ("rlds/*", {}),
    "torchrl": ("torchrl/*", {}),
    "ogbench": ("ogbench/pointmaze*.npz", {}),
    "neorl": ("neorl/*.npz", {"keep_next_observation": True}),
    "robomimic": ("robomimic/*.hdf5", {}),
    "d3rlpy": ("d3rlpy/*.h5", {}),
}


def vault_of(path: Path, lengths: list[int]) -> Vault:
    """Makes a vault of episodes with actions, every leaf's rows all different."""
    step = {
        "observation": np.zeros(2, np.float32),
        "action": np.zeros(3, np.float32),
        "reward": np.float32(0),
        "terminated": np.bool_(0),
        "truncated": np.bool_(0),
    }
    vault = Vault.create(path, steps=step, finals=["observation"])
    at = 0
    for number, length in enumerate(lengths):
        rows = np.arange(at, at + length, dtype=np.float32)
        last = np.arange(length) == length - 1
        steps = {
            "observation": np.stack([rows, -rows], axis=1),
            "action": np.stack([rows] * 3, axis=1) + 0.5,
            "reward": rows,
            "terminated": last & (number % 2 == 0),
            "truncated": last & (number % 2 == 1),
        }
        vault.append(Episode(steps, final={"observation": np.full(2, -0.5 - number, np.float32)}))
        at += length
    return vault


def assert_units_are_whole(source: Source, cuts: list[int]) -> None:
    """Reads the runs of units between cuts, by a pickle's copy, and compares them with one reading."""
    copy = pickle.loads(pickle.dumps(source))
    bounds = [0, *sorted(cut % (source.num_units + 1) for cut in cuts), source.num_units]
    pieces = []
    for start, stop in itertools.pairwise(bounds):
        found = list(copy.blocks(max(7, source.num_steps // 60), start, stop))
        assert sum(block.num_steps for block in found) == source.lengths[start:stop].sum()
        assert not found or found[-1].ends.stop[-1] == found[-1].num_steps, (
            "a unit ends where an episode does"
        )
        pieces += found
    assert tally_of(source.blocks(1000)) == tally_of(pieces)
    whole, cut = (
        episodes_of(replace(source, blocks=lambda _, b=b: iter(b))) for b in ([*source.blocks(9)], pieces)
    )
    for one, other in zip(whole, cut, strict=True):
        assert (one.terminated, one.truncated, one.columns) == (
            other.terminated,
            other.truncated,
            other.columns,
        )
        assert len(one.steps["action"]) == len(other.steps["action"])
        assert one.attributes == other.attributes


@pytest.fixture(scope="module", params=WRITTEN)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A source of each format that we write, of episodes of several lengths."""
    path = tmp_path_factory.mktemp("written") / ("a.npz" if request.param in ("npz", "ogbench") else "a")
    options = {"fps": 10} if request.param == "lerobot" else {}
    with vault_of(path.with_name("vault"), [4, 1, 9, 3, 2, 8]) as vault:
        export(vault, path, request.param, **options)
    form = find_format(request.param, path)
    return form.read(path, None)


@given(cuts=st.lists(st.integers(0, 100), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
def test_any_run_of_units_is_read_by_itself(written: Source, cuts: list[int]):
    """However a source is cut between units, the pieces are the whole, also in another process."""
    assert_units_are_whole(written, cuts)


def test_episodes_are_units_where_the_format_allows_it(written: Source, request: pytest.FixtureRequest):
    """Only what must be unpacked from its start is one unit."""
    one = request.node.callspec.params["written"] in ("npz", "ogbench")
    assert written.num_units == (1 if one else 6)


@pytest.mark.parametrize("name", RECORDED)
def test_units_of_what_others_wrote(name: str):
    """The files of the formats' own writers are cut as ours are."""
    pattern, options = RECORDED[name]
    found = sorted(path for path in SAMPLES.glob(pattern) if find_format(name, path).detect(path))
    if not found:
        pytest.skip("the recorded samples are not beside this checkout")
    for path in found:
        try:
            source = find_format(name, path).read(path, None, **options)
        except ValueError:  # the file has `timeouts`
            source = find_format(name, path).read(path, None)
        if source.example and source.num_steps < 50_000:
            assert_units_are_whole(source, [1, source.num_units // 2])


def test_a_range_reads_nothing_before_it(tmp_path: Path):
    """Episodes are read one by one: those before a range are not even looked at."""
    with vault_of(tmp_path / "vault", [5, 5, 5]) as vault:
        export(vault, tmp_path / "a.hdf5", "robomimic")
    source = find_format("robomimic", tmp_path / "a.hdf5").read(tmp_path / "a.hdf5", None)
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        del file["data/demo_0/actions"]
    (block,) = source.blocks(100, 1)
    assert block.steps["reward"].tolist() == [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    with pytest.raises(FormatError, match="demo_0"):
        list(source.blocks(100))
