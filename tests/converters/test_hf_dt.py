"""Decision Transformer's Parquet files into vaults: a trajectory a row."""

from pathlib import Path

import numpy as np
import pytest
from strongbax.converters import convert, hf_dt
from strongbax.converters.formats import find_format
from strongbax.vault.errors import FormatError, MissingExtraError, NotFoundError
from strongbax.vault.vault import Vault

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

SAMPLE = Path(__file__).parents[2] / "../shared/samples/hf_dt"
LENGTHS = (3, 1, 0, 40)


def columns(lengths=LENGTHS):
    rng = np.random.default_rng(0)
    made = {
        "observations": [rng.normal(size=(n, 3)).astype(np.float32).tolist() for n in lengths],
        "actions": [rng.normal(size=(n, 2)).astype(np.float32).tolist() for n in lengths],
        "rewards": [rng.normal(size=n).astype(np.float32).tolist() for n in lengths],
        "dones": [[at == n - 1 and n < 10 for at in range(n)] for n in lengths],
    }
    rows = pa.list_(pa.list_(pa.float32()))
    kinds = {
        "observations": rows,
        "actions": rows,
        "rewards": pa.list_(pa.float32()),
        "dones": pa.list_(pa.bool_()),
    }
    return {name: pa.array(values, kinds[name]) for name, values in made.items()}


def write(path: Path, made, **options) -> Path:
    pq.write_table(
        pa.table({name: values for name, values in made.items() if values is not None}), path, **options
    )
    return path


def drain(path: Path, **options):
    for _ in hf_dt.read(path, **options).blocks(10):
        pass


def test_every_trajectory_arrives(tmp_path: Path):
    """Rows, dtypes and ends: a done is the end of the MDP, and a trajectory without one was stopped."""
    made = columns()
    report = convert(write(tmp_path / "a.parquet", made, row_group_size=1), tmp_path / "v")
    assert (report.format, report.num_steps, report.num_episodes) == ("hf_dt", 44, 4)
    with Vault.open(tmp_path / "v") as vault:
        assert vault.verify().ok
        assert vault.card["provenance"]["source"]["trajectories_without_done"] == 2
        found = list(vault)
    for row, episode in enumerate(found):
        for name, leaf, width in (
            ("observations", "observation", (3,)),
            ("actions", "action", (2,)),
            ("rewards", "reward", ()),
        ):
            wanted = np.array(made[name][row].as_py(), np.float32).reshape(-1, *width)
            np.testing.assert_array_equal(episode.steps[leaf], wanted, strict=True)
        assert episode.final is None
    assert [(e.terminated, e.truncated) for e in found] == [
        (True, False),
        (True, False),
        (False, False),
        (False, True),
    ]
    assert found[3].steps["truncated"][-1]


def test_other_columns_are_kept(tmp_path: Path):
    """Timeouts end episodes; numbers of a trajectory are columns, texts attributes, other lists leaves."""
    made = columns((3, 2)) | {
        "timeouts": pa.array([[False, False, False], [False, True]]),
        "seed": pa.array([7, 8], pa.int32()),
        "return": pa.array([1.0, 2.0]),
        "task": pa.array(["öffne", "schließe"]),
        "qpos": pa.array([[[1.0, 2.0]] * 3, [[3.0, 4.0]] * 2], pa.list_(pa.list_(pa.float64(), 2))),
    }
    made["dones"] = pa.array([[False] * 3, [False] * 2])
    convert(write(tmp_path / "a.parquet", made), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        found = list(vault)
    assert [(e.terminated, e.truncated) for e in found] == [(False, False), (False, True)]
    assert [(e.columns["seed"], e.columns["_return"]) for e in found] == [(7, 1.0), (8, 2.0)]
    assert found[1].attributes == {"task": "schließe"}
    np.testing.assert_array_equal(found[1].steps["qpos"], [[3.0, 4.0]] * 2, strict=True)


def test_a_folder_is_read_in_the_order_of_its_files(tmp_path: Path):
    """Files of one dataset follow each other by name, beside the folder or in its `data`."""
    folder = tmp_path / "set" / "data"
    folder.mkdir(parents=True)
    write(folder / "train-00001-of-00002.parquet", columns((2,)))
    write(folder / "train-00000-of-00002.parquet", columns((5,)))
    assert find_format(None, tmp_path / "set").name == "hf_dt"
    convert(tmp_path / "set", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == [5, 2]
    write(folder / "x.parquet", columns((5,)) | {"seed": pa.array([1])})
    with pytest.raises(FormatError, match=r"x.parquet has other columns"):
        drain(tmp_path / "set")


def test_the_sample_of_the_hub(tmp_path: Path):
    """The file that Hugging Face's library wrote has 135 trajectories; six were stopped."""
    if not SAMPLE.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    convert(SAMPLE, tmp_path / "v")
    table = pq.read_table(next(SAMPLE.glob("*.parquet")))
    with Vault.open(tmp_path / "v") as vault:
        assert vault.num_episodes == 135
        flat = np.concatenate([np.array(each, np.float32) for each in table["observations"].to_pylist()])
        np.testing.assert_array_equal(vault.read_numpy()["observation"][0], flat, strict=True)
        dones = [each[-1] for each in table["dones"].to_pylist()]
        assert vault.episodes["terminated"].tolist() == dones
        assert vault.episodes["truncated"].tolist() == [not done for done in dones]


def broken(name, values):
    return lambda made: made | {name: values}


FLOATS = pa.list_(pa.list_(pa.float32()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (broken("dones", None), "has no column `dones`; it has observations"),
        (broken("rewards", pa.array([1.0, 2.0])), "`rewards` of .* is double, where a list"),
        (
            broken("rewards", pa.array([[1.0, None, 2.0], [1.0, 2.0]])),
            r"`rewards` of trajectory 0 of .*1 values are missing",
        ),
        (
            broken("actions", pa.array([[[1.0]] * 3, None], FLOATS)),
            r"`actions` of trajectory 1 of .*missing \(null\)",
        ),
        (
            broken("actions", pa.array([[[1.0]] * 3, [[1.0], [1.0, 2.0]]], FLOATS)),
            "trajectory 1 .* different lengths, 1 to 2",
        ),
        (
            broken("actions", pa.array([[[1.0]] * 3, [[1.0]]], FLOATS)),
            "trajectory 1 .* different lengths: .*'action': 1",
        ),
        (
            broken("actions", pa.array([[[1.0]] * 3, [[1.0, 2.0]] * 2], FLOATS)),
            "'action' of episode 1 is float32",
        ),
        (
            broken("dones", pa.array([[False, True, False], [False, True]])),
            "after step 1, which is `terminated` already: trajectory 0",
        ),
        (broken("dones", pa.array([[0, 0, 2], [0, 1]])), "`terminated` of trajectory 0 .* must be 0 or 1"),
        (
            broken("note", pa.array([["a", "b", "c"], ["d", "e"]])),
            r"`note` of trajectory 0.*not numbers.*skip=\('note',\)",
        ),
        (broken("note", pa.array([b"x", b"y"])), r"The column `note` of .* is binary.*skip=\('note',\)"),
        (
            broken("terminals", pa.array([[False] * 3, [False] * 2])),
            "two columns that would be the leaf `terminated`",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change, said: str):
    """Missing columns and values, lengths that differ and flags amidst are refused; nothing is left."""
    path = write(tmp_path / "a.parquet", change(columns((3, 2))))
    with pytest.raises(FormatError, match=said):
        convert(path, tmp_path / "v", format="hf_dt")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]


def test_files_that_are_cut_or_foreign_are_told(tmp_path: Path):
    """Cut files, other files, no files and columns that are not there are different sentences."""
    path = write(tmp_path / "a.parquet", columns())
    (tmp_path / "cut.parquet").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match=r"cut.parquet begins like a Parquet file but"):
        drain(tmp_path / "cut.parquet")
    (tmp_path / "page.parquet").write_text("<html>")
    assert not hf_dt.detect(tmp_path / "page.parquet")
    with pytest.raises(FormatError, match="does not begin like a Parquet file"):
        drain(tmp_path / "page.parquet")
    with pytest.raises(NotFoundError, match="there is none at"):
        drain(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"`skip` must name columns .* got 'rewards'"):
        drain(path, skip=("rewards",))
    with pytest.raises(FormatError, match="has no step"):
        drain(write(tmp_path / "none.parquet", columns((0,))))


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without PyArrow the error names the extra."""
    path = write(tmp_path / "a.parquet", columns())
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"strongbax\[arrow\]"):
        convert(path, tmp_path / "v")
