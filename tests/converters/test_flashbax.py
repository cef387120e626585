"""Vaults that Flashbax wrote, in and out: bit for bit, every stream, every agent."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strongbax.converters import convert, flashbax, flashbax_out
from strongbax.converters.exporting import export
from strongbax.converters.formats import find_format
from strongbax.converters.source import nest
from strongbax.vault.episodes import Episode
from strongbax.vault.errors import CorruptionError, FormatError
from strongbax.vault.flashbax_files import open_flashbax
from strongbax.vault.vault import Vault

SAMPLES = Path(__file__).parents[2] / "../shared/samples/flashbax/pendulum.vlt/Random"


def save(path: Path, leaves: dict[str, Any], facts: dict[str, Any] | None = None) -> Path:
    """Writes leaves `[B, T, ...]` as Flashbax does, several streams too."""
    import tensorstore as ts

    path.mkdir(parents=True)
    kinds = {
        "structure_shape": nest({name: str(values.shape) for name, values in leaves.items()}),
        "structure_dtype": nest({name: values.dtype.name for name, values in leaves.items()}),
    }
    (path / "metadata.json").write_text(json.dumps({"version": 1.2, **kinds, **(facts or {})}))
    for name, values in leaves.items():
        spec = {"driver": "zarr", "kvstore": flashbax_out._kvstore(path, name.replace("/", ".") + ".")}
        shape = (len(values), 10**13, *values.shape[2:])
        store = ts.open(spec, shape=shape, dtype=values.dtype, create=True).result()
        store[:, : values.shape[1]].write(values).result()
    flashbax_out._write_index(path, next(iter(leaves.values())).shape[1])
    return path


def agents(streams: int = 1) -> dict[str, Any]:
    """og-marl's fields: ten steps of two agents; all are over after rows 2, 5 and 8, each in its own way."""
    rng = np.random.default_rng(4)
    terminals = np.zeros((streams, 10, 2), np.float32)
    truncations = np.zeros((streams, 10, 2), np.float32)
    terminals[:, 2] = 1
    terminals[:, 4, 0] = 1  # one agent alone ends nothing
    terminals[:, 5, 0] = truncations[:, 5, 1] = 1
    truncations[:, 8] = 1
    return {
        "observations": rng.normal(size=(streams, 10, 2, 3)).astype(np.float32),
        "actions": rng.integers(0, 5, (streams, 10, 2)),
        "rewards": rng.normal(size=(streams, 10, 2)).astype(np.float32),
        "terminals": terminals,
        "truncations": truncations,
        "infos/state": rng.normal(size=(streams, 10, 4)),
        "infos/legals": rng.integers(0, 2, (streams, 10, 2, 5)).astype(bool),
    }


NAMES = {
    "observations": "observation",
    "actions": "action",
    "rewards": "reward",
    "terminals": "terminated",
    "truncations": "truncated",
}


def test_every_agents_field_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fields of many agents keep their axes, end where all agents do, and go out under their old names."""
    monkeypatch.setattr(flashbax, "_READ_BYTES", 300)
    made = agents()
    path = save(tmp_path / "3m.vlt" / "Good", made, {"env": "smäc"})
    assert find_format(None, path).name == "flashbax"
    report = convert(tmp_path / "3m.vlt", tmp_path / "v")
    assert (report.num_steps, report.num_episodes) == (10, 4)
    with Vault.open(tmp_path / "v") as vault:
        rows = vault.read_numpy(leaves=vault.leaves)
        for theirs, values in made.items():
            np.testing.assert_array_equal(rows[NAMES.get(theirs, theirs)], values, strict=True)
        assert vault.episodes["length"].tolist() == [3, 3, 3, 1]
        assert vault.episodes["terminated"].tolist() == [True, False, False, False]
        assert vault.episodes["truncated"].tolist() == [False, True, True, False]
        assert vault.episodes["return"].shape == (4, 2)
        np.testing.assert_allclose(vault.episodes["return"][0], made["rewards"][0, :3].sum(axis=0), rtol=1e-6)
        assert vault.attributes == {"env": "smäc"}
        notes = export(vault, tmp_path / "back", "flashbax").notes
    assert any("64 bits wide" in note for note in notes)
    one, other = open_flashbax(path), open_flashbax(tmp_path / "back")
    assert one.metadata == other.metadata
    assert one.length == other.length
    for name in one.leaves:
        np.testing.assert_array_equal(one.read(name, 0, 10), other.read(name, 0, 10), strict=True)


def test_streams_follow_one_another(tmp_path: Path):
    """Each stream is read to its end, where its episode is cut, and the column tells which it was."""
    made = agents(streams=3)
    convert(save(tmp_path / "in", made), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["source_stream"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert vault.episodes["length"].tolist() == [3, 3, 3, 1] * 3
        rows = vault.read_numpy(leaves=["infos/state"])["infos/state"][0]
        np.testing.assert_array_equal(rows, made["infos/state"].reshape(30, 4), strict=True)


def test_first_steps_end_the_episode_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where a leaf marks first steps alone, episodes end before them, at the border of what is read too."""
    monkeypatch.setattr(flashbax, "_READ_BYTES", 9)
    first = np.isin(np.arange(9), [0, 3, 4])[None]
    made = {"obs": np.arange(9, dtype=np.float64)[None], "is_first": first}
    (block,) = flashbax.read(save(tmp_path / "in", made)).blocks(100)
    assert block.ends.stop.tolist() == [3, 4, 9]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("big", [False, True])
def test_flashbax_reads_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, big: bool):
    """Flashbax's own Vault gives every step, also of leaves of more than one chunk."""
    theirs = pytest.importorskip("flashbax.vault", reason="flashbax is not installed")
    length = 40 if big else 5
    shape = (300, 300) if big else (2,)
    step = {"obs": np.zeros(shape, np.uint8), "reward": np.float32(0), "terminated": np.bool_(0)}
    with Vault.create(tmp_path / "v", steps=step, attributes={"env": "x"}) as vault:
        for number in range(3):
            steps = {
                "obs": np.random.default_rng(number).integers(0, 255, (length, *shape)).astype(np.uint8),
                "reward": np.arange(length, dtype=np.float32) + number,
                "terminated": np.arange(length) == length - 1,
            }
            vault.append(Episode(steps, final={"obs": np.zeros(shape, np.uint8)}))
        notes = export(vault, tmp_path / "name" / "uid", "flashbax").notes
        rows = vault.read_numpy(leaves=vault.leaves)
    assert ["final rows of 3 episodes" in note for note in notes] == [True]
    read = theirs.Vault("name", rel_dir=str(tmp_path), vault_uid="uid")
    assert read.vault_index == 3 * length
    experience = read.read().experience
    assert experience.keys() == rows.keys()
    for name, values in rows.items():
        np.testing.assert_array_equal(np.asarray(experience[name]), values, strict=True)


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_what_flashbax_writes_of_many_streams_arrives(tmp_path: Path):
    """Its own Vault, of three streams of two agents, written as a ring goes round, gives every step."""
    flashbax_itself = pytest.importorskip("flashbax", reason="flashbax is not installed")
    theirs = pytest.importorskip("flashbax.vault", reason="flashbax is not installed")
    buffer = flashbax_itself.make_trajectory_buffer(
        max_length_time_axis=50,
        min_length_time_axis=1,
        sample_batch_size=1,
        add_batch_size=3,
        sample_sequence_length=1,
        period=1,
    )
    rng = np.random.default_rng(0)
    steps = [
        {
            "observation": rng.normal(size=(3, 20, 2, 4)).astype(np.float32),
            "reward": rng.normal(size=(3, 20, 2)).astype(np.float32),
            "terminal": np.broadcast_to(np.arange(20)[None, :, None] == 7, (3, 20, 2)),
            "infos": {"s": rng.integers(0, 9, (3, 20)).astype(np.int32)},
        }
        for _ in range(4)
    ]
    step = {"observation": np.zeros((2, 4), np.float32), "reward": np.zeros(2, np.float32)}
    state = buffer.init(step | {"terminal": np.zeros(2, np.bool_), "infos": {"s": np.int32(0)}})
    vault = theirs.Vault("x", state.experience, rel_dir=str(tmp_path), vault_uid="u", metadata={"env": "y"})
    for part in steps:
        state = buffer.add(state, part)
        vault.write(state)
    convert(tmp_path / "x" / "u", tmp_path / "v")
    with Vault.open(tmp_path / "v") as ours:
        rows = ours.read_numpy(leaves=ours.leaves)
        assert ours.episodes["length"].tolist() == [8, 20, 20, 20, 12] * 3
        for leaf, key in [("observation", "observation"), ("reward", "reward"), ("terminated", "terminal")]:
            wanted = np.concatenate([part[key] for part in steps], axis=1)
            np.testing.assert_array_equal(rows[leaf][0], wanted.reshape(-1, *wanted.shape[2:]), strict=True)


def test_what_cannot_be_held_is_said(tmp_path: Path):
    """Ends without flags are made leaves; texts, columns and what flags do not tell are named."""
    step = {"obs": np.float32(0), "text": np.zeros((), "U3")}
    with Vault.create(tmp_path / "v", steps=step, columns={"seed": np.int32}) as vault:
        for ended in (True, False, True):
            steps = {"obs": np.ones(2, np.float32), "text": np.full(2, "äöü")}
            vault.append(Episode(steps, terminated=ended, truncated=False, columns={"seed": 1}))
        notes = " ".join(export(vault, tmp_path / "out", "flashbax").notes)
    for said in (
        "`text` is <U3",
        "['terminated', 'truncated'] were made",
        "do not tell where every",
        "['seed']",
    ):
        assert said in notes
    (block,) = flashbax.read(tmp_path / "out").blocks(100)
    assert block.ends.stop.tolist() == [2, 6]
    with Vault.create(tmp_path / "dots", steps={"a.b": np.float32(0)}) as vault:
        vault.append(Episode({"a.b": np.ones(2, np.float32)}, truncated=True))
        with pytest.raises(ValueError, match=r"joins keys by dots.*\['a\.b'\]"):
            export(vault, tmp_path / "nothing", "flashbax")
    assert not (tmp_path / "nothing").exists()


def test_bad_vaults_are_told(tmp_path: Path):
    """Several vaults in a folder, an empty one, another version and damage are four errors."""
    save(tmp_path / "x.vlt" / "Good", agents())
    save(tmp_path / "x.vlt" / "Poor", agents())
    with pytest.raises(ValueError, match=r"`uid` must name one of .* are Good, Poor: got None"):
        convert(tmp_path / "x.vlt", tmp_path / "v")
    empty = save(tmp_path / "empty", {name: values[:, :0] for name, values in agents().items()})
    with pytest.raises(FormatError, match="`vault_index` is 0"):
        convert(empty, tmp_path / "v")
    path = tmp_path / "x.vlt" / "Good"
    meta = json.loads((path / "metadata.json").read_text())
    (path / "metadata.json").write_text(json.dumps(meta | {"version": 2.0}))
    with pytest.raises(FormatError, match=r"version 2\.0"):
        convert(path, tmp_path / "v")
    (path / "metadata.json").write_text("{}")
    with pytest.raises(CorruptionError, match="not what Flashbax writes"):
        convert(path, tmp_path / "v")
    assert not (tmp_path / "v").exists()


def test_what_flashbax_wrote_arrives(tmp_path: Path):
    """Its own vault gives every row, and comes back the same."""
    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    convert(SAMPLES, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.attributes == {"env": "Pendulum-v1", "note": "random policy"}
        assert vault.episodes["truncated"].any()
        export(vault, tmp_path / "back", "flashbax")
    one, other = open_flashbax(SAMPLES), open_flashbax(tmp_path / "back")
    assert one.leaves.keys() == other.leaves.keys()
    for name in one.leaves:
        rows = [files.read(name, 0, files.length) for files in (one, other)]
        np.testing.assert_array_equal(*rows, strict=True)
