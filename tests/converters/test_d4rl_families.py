"""All of D4RL's datasets: each has a rule for its file, and the variants that few files have are read."""

from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from d4rl_files import F32, chunked, columns, families, infos, write
from strongbax.converters import convert, d4rl
from strongbax.converters.d4rl_columns import columns_of
from strongbax.converters.formats import find_format
from strongbax.datasets.catalogue import entries, recognise
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault
from test_units import assert_units_are_whole

ENTRIES = [entry for entry in entries() if entry.id.startswith("D4RL/")]


def layout_of(entry) -> str:
    """Names the layout of `families` that a dataset's file has."""
    name, version = entry.aliases[0], entry.aliases[0][-1]
    adroit = "human" if "human" in name else "cloned" if "cloned" in name else "expert"
    mujoco = "replay" if "replay" in name else "random" if "random" in name else "medium"
    return {
        "gym_mujoco": {"0": "mujoco_v0", "1": f"mujoco_v1_{mujoco}", "2": "mujoco_v2"}[version],
        "locomotion": "antmaze",
        "gym_bullet": "bullet_gym",
        "pointmaze_bullet": "bullet_maze2d",
        "carla": "carla",
        "hand_manipulation_suite": {
            "human": "adroit_v1_human",
            "cloned": "adroit_v0_cloned",
            "expert": f"adroit_v{version}_expert",
        }[adroit],
        "flow": "flow",
        "kitchen": "kitchen",
        "pointmaze": "maze2d_v1",
        "gym_minigrid": "minigrid",
    }[entry.family]


def test_every_dataset_has_a_rule(tmp_path: Path):
    """Each of the 183 is known by its file's name, and a file of its layout is read without an option."""
    assert len(ENTRIES) == 183
    kinds = {(layout_of(entry), entry.horizon): entry for entry in ENTRIES}
    assert {layout for layout, _ in kinds} == families().keys()
    for entry in ENTRIES:
        assert entry in recognise(file=entry.files[0].path)
    for (layout, horizon), entry in kinds.items():
        path = write(tmp_path / entry.files[0].path, families()[layout])
        assert find_format(None, path).name == entry.format == "d4rl"
        source = d4rl.read(path, entry)
        assert (source.num_steps, source.horizon) == (50, horizon)
        assert sum(len(block.ends.stop) for block in source.blocks(20)) == source.num_units


def test_files_without_timeouts_take_their_rule_from_the_family(tmp_path: Path):
    """The catalogue's horizon cuts Flow's, CARLA's and old copies; Kitchen and MiniGrid end by terminals."""
    rules = Counter()
    for entry in {(entry.family, layout_of(entry)): entry for entry in ENTRIES}.values():
        made = {k: v for k, v in families()[layout_of(entry)].items() if k != "timeouts"}
        path = write(tmp_path / "file.hdf5", made)
        rules[entry.family, d4rl.read(path, entry).facts["timeouts"]] += 1
    assert {family for family, rule in rules if rule == "absent"} == {"kitchen", "gym_minigrid"}
    assert len({family for family, _ in rules}) == len(rules) == 10


def test_minigrid_ends_at_its_terminals(tmp_path: Path):
    """`terminals` are set when time is up as well, after 51 rows: a horizon of 50 cuts one off each."""
    n = 51 + 20 + 51
    rows = {
        "observations": np.zeros((n, 7, 7, 3), F32),
        "actions": np.zeros(n, F32),
        "rewards": np.zeros(n, F32),
        "terminals": np.isin(np.arange(n), (50, 70, 121)),
    }
    made = rows | infos(n, goal=2, pos=2, orientation=0)
    entry = next(entry for entry in ENTRIES if entry.family == "gym_minigrid")
    source = d4rl.read(write(tmp_path / "minigrid4rooms.hdf5", made), entry)
    assert source.lengths.tolist() == [51, 20, 51]
    (block,) = source.blocks(1000)
    assert block.ends.terminated.all()
    assert d4rl.read(tmp_path / "minigrid4rooms.hdf5", entry, horizon=50).num_units == 5


def antmaze(n: int = 60, resets: tuple[int, ...] = (25, 45), timeouts: tuple[int, ...] = (45,)) -> dict:
    """Walks whose position jumps after `resets`; at the goal, rows 10 to 14 and 30 to 33, all is terminal."""
    made = columns(n, obs=29, act=8, terminals=(*range(10, 15), *range(30, 34)), timeouts=timeouts)
    place = np.arange(n, dtype=F32) * 0.5
    for reset in resets:
        place[reset + 1 :] -= place[reset + 1]
    made["observations"][:, 0], made["observations"][:, 1] = place, 0
    made["terminals"] = made["terminals"].astype(np.float64)
    return made


def test_antmaze_repaired(tmp_path: Path):
    """Walks are whole: the goal ends none, resets do, with a timeout or not; the file's flags are kept."""
    made = antmaze(timeouts=(45, 50))
    path = write(tmp_path / "file.hdf5", made)
    assert d4rl.read(path).num_units == 12
    source = d4rl.read(path, repair="jumps")
    assert source.lengths.tolist() == [26, 20, 5, 9]
    for rows in (7, 26, 100):
        blocks = list(source.blocks(rows))
        steps = {name: np.concatenate([b.steps[name] for b in blocks]) for name in source.example}
        assert not steps["terminated"].any()
        assert np.flatnonzero(steps["truncated"]).tolist() == [25, 45, 50]
        assert np.flatnonzero(steps["infos/jump"]).tolist() == [25]
        np.testing.assert_array_equal(steps["infos/at_goal"], made["terminals"] != 0)
    assert_units_are_whole(source, [1, 3])
    report = convert(path, tmp_path / "v", repair="jumps")
    assert report.num_episodes == 4
    with Vault.open(tmp_path / "v") as vault:
        assert [bool(episode.truncated) for episode in vault] == [True, True, True, False]
        assert vault.card["provenance"]["source"]["repair"] == "jumps"


def test_no_walk_of_v0_spans_a_reset():
    """Flags out of step with the resets leave no jump within a walk."""
    sample = Path(__file__).parents[2] / "../shared/samples/d4rl/antmaze-v0_desync.hdf5"
    if not sample.is_file():
        pytest.skip("the recorded samples are not beside this checkout")
    (block,) = d4rl.read(sample, repair="jumps").blocks(1000)
    (plain,) = d4rl.read(sample).blocks(1000)

    def furthest(block):
        walks = np.split(block.steps["observation"][:, :2], block.ends.stop[:-1])
        return max(np.linalg.norm(np.diff(walk, axis=0), axis=1).max(initial=0) for walk in walks)

    assert furthest(plain) > 20
    assert furthest(block) < 1


def test_the_ends_are_iqls_where_the_flags_are_right(tmp_path: Path):
    """With timeouts at every reset, as in v2, episodes are those that HIQL's rule makes of D4RL's rows."""
    path = write(tmp_path / "file.hdf5", antmaze(timeouts=(25, 45)))
    rows = columns_of(path)
    kept = ~rows["timeouts"][:-1]  # qlearning_dataset drops rows at timeouts, and the last one
    observations, following = rows["observations"][:-1][kept], rows["observations"][1:][kept]
    broken = np.linalg.norm(observations[1:] - following[:-1], axis=1) > 1e-6
    lengths = np.diff(np.flatnonzero([True, *broken, True]))
    source = d4rl.read(path, repair="jumps")
    assert (source.lengths - 1).tolist() == lengths.tolist()  # each without the row that it drops


def test_repair_is_for_positions(tmp_path: Path):
    """Unknown repairs and observations that are no positions are refused."""
    path = write(tmp_path / "file.hdf5", families()["minigrid"])
    with pytest.raises(ValueError, match="`repair` must be one of jumps: got 'all'"):
        d4rl.read(path, repair="all")
    with pytest.raises(ValueError, match="`repair` is for AntMaze"):
        d4rl.read(path, repair="jumps")


def test_chunks_are_put_together(tmp_path: Path):
    """Rows in groups `virtual/<i>` alone are read in the order of their numbers, or one by itself."""
    made = columns() | infos(qpos=3)
    whole = d4rl.read(write(tmp_path / "whole.hdf5", made))
    stops = (2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 31, 50)  # chunk 10 comes after chunk 9
    path = write(tmp_path / "chunks.hdf5", chunked(made, stops))
    assert find_format(None, path).name == "d4rl"
    source = d4rl.read(path)
    one, other = (
        {name: np.concatenate([b.steps[name] for b in each.blocks(7)]) for name in each.example}
        for each in (whole, source)
    )
    for name, values in one.items():
        np.testing.assert_array_equal(other[name], values, strict=True)
    assert source.lengths.tolist() == whole.lengths.tolist()
    piece = d4rl.read(path, chunk=10)
    (block,) = piece.blocks(100)
    np.testing.assert_array_equal(block.steps["observation"], made["observations"][20:31], strict=True)
    np.testing.assert_array_equal(columns_of(path)["actions"], made["actions"])
    assert_units_are_whole(source, [2])
    with pytest.raises(ValueError, match=r"`chunk` must be one of \[0, 1, .* got 12"):
        d4rl.read(path, chunk=12)
    with pytest.raises(ValueError, match=r"`chunk` is for chunked files: .*whole.hdf5"):
        d4rl.read(tmp_path / "whole.hdf5", chunk=0)


def test_chunks_beside_the_rows_are_the_same_rows(tmp_path: Path):
    """Where the keys stand at the top too, views of them are not read twice."""
    made = columns()
    path = write(tmp_path / "file.hdf5", made)
    with h5py.File(path, "a") as file:
        for number, (start, stop) in enumerate(((0, 30), (30, 50))):
            for key in ("observations", "actions", "rewards", "terminals"):
                view = h5py.VirtualLayout((stop - start, *file[key].shape[1:]), file[key].dtype)
                view[:] = h5py.VirtualSource(file[key])[start:stop]
                file.create_virtual_dataset(f"virtual/{number}/{key}", view)
    source = d4rl.read(path)
    assert source.num_steps == 50
    assert not [name for name in source.example if name.startswith("virtual")]
    (block,) = d4rl.read(path, chunk=1, horizon=0).blocks(100)
    np.testing.assert_array_equal(block.steps["observation"], made["observations"][30:], strict=True)


def test_chunks_that_do_not_fit_are_refused(tmp_path: Path):
    """Chunks with other keys or shapes are no pieces of one dataset."""
    made = chunked(columns())
    for change, said in (
        ({"virtual/1/rewards": np.zeros((11, 2), F32)}, "Chunk 1 of .* has .* where the first has"),
        ({"virtual/2/extra": np.zeros(19, F32)}, "Chunk 2 of .* has .* where the first has"),
    ):
        path = write(tmp_path / "file.hdf5", made | change)
        with pytest.raises(FormatError, match=said):
            d4rl.read(path)


def test_observations_may_be_a_group(tmp_path: Path):
    """Dict observations, as CARLA's environment with pictures has, become leaves below `observation`."""
    made = columns(timeouts=None)
    flat = made.pop("observations")
    made |= {"observations/image": flat, "observations/speed": flat[:, 0], "next_observations/image": flat}
    path = write(tmp_path / "carla_lane_follow-v0.hdf5", made)
    assert find_format(None, path).name == "d4rl"
    report = convert(path, tmp_path / "v")
    assert report.dataset_id == "D4RL/carla/lane-render-v0"
    with Vault.open(tmp_path / "v") as vault:
        leaves = vault.read_numpy()
    np.testing.assert_array_equal(leaves["observation"]["image"][0], flat, strict=True)
    np.testing.assert_array_equal(leaves["observation"]["speed"][0], flat[:, 0], strict=True)
    np.testing.assert_array_equal(leaves["next_observation"]["image"][0], flat, strict=True)
