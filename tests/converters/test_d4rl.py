"""The D4RL reader: every family's keys become the right leaves, and no trap is stepped into."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from d4rl_files import F32, F64, HORIZONS, columns, families, infos, policy, write
from strongbax.converters import d4rl
from strongbax.converters.source import Block, ReadAgain, Source
from strongbax.datasets.catalogue import find

BLOCKS = (1, 7, 50, 1000)  # in steps: a row at a time, across ends, exactly the file, all of it


def read_all(source: Source, num_steps: int = 7) -> tuple[dict[str, Any], Block]:
    """All leaves joined, and a block whose ends are those of the whole file."""
    blocks = list(source.blocks(num_steps))
    offsets = np.cumsum([0, *(block.num_steps for block in blocks)])
    join = lambda parts: np.concatenate(list(parts))  # noqa: E731
    steps = {name: join(block.steps[name] for block in blocks) for name in blocks[0].steps}
    final = None
    if blocks[0].ends.final is not None:
        final = {"observation": join(block.ends.final["observation"] for block in blocks)}
    ends = type(blocks[0].ends)(
        join(start + block.ends.stop for start, block in zip(offsets, blocks, strict=False)),
        join(block.ends.terminated for block in blocks),
        join(block.ends.truncated for block in blocks),
        final,
    )
    return steps, Block(steps, ends)


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("num_steps", BLOCKS)
def test_every_family_is_read_row_for_row(tmp_path: Path, family: str, num_steps: int):
    """Whatever the family and the size of the blocks, each key's rows come out as they stand."""
    made = families()[family]
    path = write(tmp_path / "file.hdf5", made)
    assert d4rl.detect(path)
    source = d4rl.read(path, horizon=HORIZONS.get(family))
    steps, _ = read_all(source, num_steps)
    assert source.num_steps == 50
    assert {k: (v.shape, v.dtype) for k, v in source.example.items()} == {
        k: (v.shape[1:], v.dtype) for k, v in steps.items()
    }
    names = {"observations": "observation", "actions": "action"}
    for key, values in made.items():
        if key.startswith("infos") or key in names:
            np.testing.assert_array_equal(steps[names.get(key, key)], values, strict=True)
    np.testing.assert_array_equal(steps["reward"], made["rewards"].reshape(50), strict=True)
    np.testing.assert_array_equal(steps["terminated"], made["terminals"] != 0, strict=True)
    if "timeouts" in made:
        np.testing.assert_array_equal(steps["truncated"], made["timeouts"] != 0, strict=True)
    expected = {"observation", "action", "reward", "terminated", "truncated"}
    assert set(steps) == expected | {key for key in made if key.startswith("infos")}


@pytest.mark.parametrize("num_steps", BLOCKS)
def test_an_episode_ends_at_either_flag_and_the_last_is_cut(tmp_path: Path, num_steps: int):
    """Terminals and timeouts both end episodes; what follows the last end is kept and marked."""
    path = write(tmp_path / "file.hdf5", columns())
    _, whole = read_all(d4rl.read(path), num_steps)
    assert whole.ends.stop.tolist() == [10, 20, 31, 45, 50]
    assert whole.ends.terminated.tolist() == [True, False, True, False, False]
    assert whole.ends.truncated.tolist() == [False, True, False, True, False]


def test_a_file_that_ends_with_its_episode_has_no_cut_one(tmp_path: Path):
    """An end on the last row is the end of the last episode, and no empty one follows."""
    path = write(tmp_path / "file.hdf5", columns(timeouts=(19, 49)))
    _, whole = read_all(d4rl.read(path))
    assert whole.ends.stop.tolist() == [10, 20, 31, 50]
    assert whole.ends.truncated[-1]


@pytest.mark.parametrize("num_steps", BLOCKS)
def test_stored_next_observations_become_final_rows(tmp_path: Path, num_steps: int):
    """The next observation of each episode's last step is its final row; the others are derived."""
    made = columns(following=True)
    source = d4rl.read(write(tmp_path / "file.hdf5", made))
    steps, whole = read_all(source, num_steps)
    assert source.finals == ("observation",)
    assert "next_observation" not in steps
    assert whole.ends.final is not None
    np.testing.assert_array_equal(
        whole.ends.final["observation"], made["next_observations"][whole.ends.stop - 1], strict=True
    )
    derived = np.concatenate([b.derived["next_observation"] for b in source.blocks(num_steps)])
    np.testing.assert_array_equal(derived, made["next_observations"], strict=True)


def test_without_next_observations_no_final_row_is_made_up(tmp_path: Path):
    """A file that does not know what an episode led to gives no final rows at all."""
    source = d4rl.read(write(tmp_path / "file.hdf5", columns()))
    _, whole = read_all(source)
    assert source.finals == ()
    assert whole.ends.final is None
    assert source.facts["next_observations"] == "absent"


@pytest.mark.parametrize("row", [0, 5, 6, 7, 48])
@pytest.mark.parametrize("num_steps", BLOCKS)
def test_a_next_observation_of_its_own_is_kept(tmp_path: Path, row: int, num_steps: int):
    """One that is not the observation one row on, within or between blocks, is found and kept."""
    made = columns(following=True)
    made["next_observations"][row, 1] += 1
    path = write(tmp_path / "file.hdf5", made)
    with pytest.raises(ReadAgain, match=f"`next_observations` of row {row} in file.hdf5") as again:
        list(d4rl.read(path).blocks(num_steps))
    source = d4rl.read(path, **again.value.options)
    steps, whole = read_all(source, num_steps)
    assert source.facts["next_observations"] == "kept"
    np.testing.assert_array_equal(steps["next_observation"], made["next_observations"], strict=True)
    assert whole.ends.final is not None


def test_next_observations_are_compared_by_their_bytes(tmp_path: Path):
    """NaN is itself, and -0.0 is not 0.0: what is derived is what was stored, bit for bit."""
    made = columns(following=True)
    made["observations"][3, 0] = made["next_observations"][2, 0] = np.nan
    path = write(tmp_path / "nan.hdf5", made)
    assert sum(block.num_steps for block in d4rl.read(path).blocks(7)) == 50
    made["observations"][3, 0], made["next_observations"][2, 0] = 0.0, -0.0
    path = write(tmp_path / "zero.hdf5", made)
    with pytest.raises(ReadAgain, match="of row 2 in"):
        list(d4rl.read(path).blocks(7))


def test_next_observations_of_another_dtype_are_kept(tmp_path: Path):
    """Next observations whose dtype a vault could not give back are a leaf of their own."""
    made = columns(following=True)
    made["next_observations"] = made["next_observations"].astype(F64)
    source = d4rl.read(write(tmp_path / "file.hdf5", made))
    steps, whole = read_all(source)
    assert steps["next_observation"].dtype == F64
    assert (source.finals, whole.ends.final) == ((), None)


def test_next_observations_can_be_kept_by_choice(tmp_path: Path):
    """Who wants the rows as they stand gets them."""
    made = columns(following=True)
    source = d4rl.read(write(tmp_path / "file.hdf5", made), keep_next_observation=True)
    steps, _ = read_all(source)
    np.testing.assert_array_equal(steps["next_observation"], made["next_observations"], strict=True)


@pytest.mark.parametrize("num_steps", BLOCKS)
def test_a_missing_time_limit_follows_from_the_horizon(tmp_path: Path, num_steps: int):
    """Without `timeouts` every episode is stopped after `horizon` steps, also across blocks."""
    made = columns(timeouts=None, terminals=(9, 29, 33))
    source = d4rl.read(write(tmp_path / "file.hdf5", made), horizon=10)
    steps, whole = read_all(source, num_steps)
    # Row 9 and row 29 terminate exactly at the horizon, so nobody had to stop them.
    assert whole.ends.stop.tolist() == [10, 20, 30, 34, 44, 50]
    assert np.nonzero(steps["truncated"])[0].tolist() == [19, 43]
    assert (source.facts["timeouts"], source.horizon) == ("horizon", 10)


def test_the_catalogue_knows_the_horizon(tmp_path: Path):
    """A published file without `timeouts` needs no option, and the user's word goes before it."""
    path = write(tmp_path / "flow-ring-v0-idm.hdf5", columns(600, timeouts=None, terminals=()))
    entry = find("flow-ring-controller-v0")
    _, whole = read_all(d4rl.read(path, entry), 100)
    assert whole.ends.stop.tolist() == [500, 600]
    _, whole = read_all(d4rl.read(path, entry, horizon=200), 100)
    assert whole.ends.stop.tolist() == [200, 400, 600]


def test_no_horizon_leaves_the_ends_to_the_terminals(tmp_path: Path):
    """`horizon=0` says that nothing but `terminals` ends an episode."""
    path = write(tmp_path / "file.hdf5", columns(timeouts=None))
    source = d4rl.read(path, horizon=0)
    steps, whole = read_all(source)
    assert whole.ends.stop.tolist() == [10, 31, 50]
    assert not steps["truncated"].any()
    assert (source.facts["timeouts"], source.horizon) == ("absent", None)


def test_kitchen_demonstrations_stay_whole(tmp_path: Path):
    """Kitchen numbers its demonstrations in `infos`: they end at terminals, however long."""
    made = families()["kitchen"]
    source = d4rl.read(write(tmp_path / "file.hdf5", made))
    steps, whole = read_all(source)
    assert whole.ends.stop.tolist() == [20, 50]
    assert whole.ends.terminated.all()
    np.testing.assert_array_equal(steps["infos"], made["infos"], strict=True)


def test_antmaze_terminals_split_where_they_stand(tmp_path: Path):
    """Every row at the goal is terminal and ends an episode: three in a row are kept as three."""
    source = d4rl.read(write(tmp_path / "file.hdf5", families()["antmaze"]))
    _, whole = read_all(source)
    assert whole.ends.stop.tolist() == [20, 31, 32, 33, 45, 50]


def test_metadata_is_kept_and_never_taken_for_rows(tmp_path: Path):
    """Policy weights survive bit for bit, also when they have as many rows as there are steps."""
    made = columns(n=8, terminals=(3,), timeouts=(7,)) | policy(size=8)
    source = d4rl.read(write(tmp_path / "file.hdf5", made))
    assert source.num_steps == 8
    assert not any(name.startswith("metadata") for name in source.example)
    assert source.attributes["metadata/algorithm"] == "SAC"
    assert source.attributes["metadata/iteration"] == 90
    for key in (key for key in made if key.endswith(("weight", "bias"))):
        np.testing.assert_array_equal(source.arrays[key], made[key], strict=True)
        assert key not in source.attributes
    assert source.facts["keys"]["metadata/iteration"] == {"dtype": "<i4", "shape": []}


def test_big_endian_columns_come_in_native_order(tmp_path: Path):
    """Byte order is not part of the value: it is turned to the machine's own."""
    made = columns()
    swapped = made | {"observations": made["observations"].astype(">f4")}
    steps, _ = read_all(d4rl.read(write(tmp_path / "file.hdf5", swapped)))
    np.testing.assert_array_equal(steps["observation"], made["observations"], strict=True)


def test_keys_nobody_foresaw_are_leaves_too(tmp_path: Path):
    """A column with one row a step is kept under its own name, whatever it is called."""
    made = columns() | {"extra/deep/thing": np.arange(50, dtype=np.int16)} | infos(odd=0)
    steps, _ = read_all(d4rl.read(write(tmp_path / "file.hdf5", made)))
    np.testing.assert_array_equal(steps["extra/deep/thing"], np.arange(50, dtype=np.int16))


def test_keys_can_be_left_out(tmp_path: Path):
    """`skip` leaves out a key, or all keys of a group."""
    made = columns(following=True) | infos(qpos=2, qvel=2) | policy()
    path = write(tmp_path / "file.hdf5", made)
    source = d4rl.read(path, skip=("infos", "metadata", "next_observations"))
    assert set(source.example) == {"observation", "action", "reward", "terminated", "truncated"}
    assert (source.attributes, source.arrays) == ({}, {})
    source = d4rl.read(path, skip=("timeouts",), horizon=25)
    assert source.facts["timeouts"] == "horizon"


def test_other_files_are_not_taken_for_d4rl(tmp_path: Path):
    """A file of another kind, a safe-RL one with costs, a folder, nothing: none is D4RL."""
    assert not d4rl.detect(tmp_path)
    assert not d4rl.detect(tmp_path / "nothing.hdf5")
    (tmp_path / "text.hdf5").write_text("observations actions rewards terminals")
    assert not d4rl.detect(tmp_path / "text.hdf5")
    assert not d4rl.detect(write(tmp_path / "dsrl.hdf5", columns() | {"costs": np.zeros(50)}))
    assert not d4rl.detect(write(tmp_path / "minari.hdf5", {"episode_0/observations": np.zeros(3)}))


def test_the_samples_are_read(samples: Path, golden: dict[str, Any]):
    """Every recorded file is recognised, and its episodes begin as D4RL's own loader has them."""
    for name, expected in golden.items():
        assert d4rl.detect(samples / name), name
        limit = None if "timeouts" in expected["keys"] else expected["max_episode_steps"]
        source = d4rl.read(samples / name, horizon=limit)
        _, whole = read_all(source, 128)
        lengths = np.diff(whole.ends.stop, prepend=0)
        assert lengths[0] == expected["sequence_dataset_lengths"][0], name
        if limit is None:
            done = lengths[: len(expected["sequence_dataset_lengths"])]
            assert done.tolist() == expected["sequence_dataset_lengths"], name


def test_the_dtypes_of_a_source_are_those_of_the_file(tmp_path: Path):
    """Nothing is cast: float64 stays float64, float32 float32."""
    made = families()["mujoco_v2"]
    source = d4rl.read(write(tmp_path / "file.hdf5", made))
    assert source.example["infos/qpos"].dtype == F64
    assert source.example["observation"].dtype == F32
