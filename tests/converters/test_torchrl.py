"""TorchRL's folders: what stands under `next` is checked and derived, and the bytes come back."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from strongbax.converters import convert, torchrl
from strongbax.converters.exporting import export
from strongbax.converters.formats import find_format
from strongbax.vault.episodes import Episode
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault

SAMPLES = Path(__file__).parents[2] / "../shared/samples/torchrl/td_memmap"
LENGTHS = (3, 1, 5, 2)


def tensors() -> dict[str, Any]:
    """Eleven steps in TED: the last of three episodes is terminated, truncated, both; the fourth runs on."""
    rng = np.random.default_rng(3)
    n = sum(LENGTHS)
    obs, pixels = rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 255, (n, 2, 2)).astype(np.uint8)
    ends = np.cumsum(LENGTHS)[:-1] - 1
    after, after_pixels = np.roll(obs, -1, 0), np.roll(pixels, -1, 0)
    after[[*ends, n - 1]] += 1
    after_pixels[[*ends, n - 1]] += 1
    flags = {
        "terminated": np.isin(np.arange(n), ends[[0, 2]])[:, None],
        "truncated": np.isin(np.arange(n), ends[[1, 2]])[:, None],
    }
    none = np.zeros((n, 1), np.bool_)
    return {
        "observation": obs,
        "view/pixels": pixels,
        "action": rng.integers(0, 9, n),
        "is_init": np.isin(np.arange(n), [0, *(ends + 1)])[:, None],
        "policy/loc": rng.normal(size=(n, 2)).astype(ml_dtypes.bfloat16),
        **dict.fromkeys(("done", "terminated", "truncated"), none),
        "next/observation": after,
        "next/view/pixels": after_pixels,
        "next/reward": rng.normal(size=(n, 1)),
        "next/done": flags["terminated"] | flags["truncated"],
        **{f"next/{name}": values for name, values in flags.items()},
    }


def save(path: Path, made: dict[str, Any], batch: tuple[int, ...] | None = None) -> Path:
    """Writes tensors as tensordict does."""
    batch = batch or next(iter(made.values())).shape[:1]
    metas: dict[Path, dict[str, Any]] = {path: {}}
    for name, values in made.items():
        folder = path
        for part in name.split("/")[:-1]:
            metas[folder][part] = {"type": "TensorDict"}
            folder /= part
            metas.setdefault(folder, {})
        folder.mkdir(parents=True, exist_ok=True)
        key = name.split("/")[-1]
        (folder / f"{key}.memmap").write_bytes(np.ascontiguousarray(values).tobytes())
        described = {"device": "cpu", "shape": list(values.shape), "dtype": f"torch.{values.dtype.name}"}
        metas[folder][key] = described | {"is_nested": False}
    for folder, meta in metas.items():
        document = meta | {
            "shape": list(batch),
            "device": "cpu",
            "_type": "<class 'tensordict._td.TensorDict'>",
        }
        (folder / "meta.json").write_text(json.dumps(document))
    return path


def save_buffer(path: Path, made: dict[str, Any], capacity: int, written: int) -> Path:
    """Writes a ring of so many slots after so many steps, as `ReplayBuffer.dumps` does."""
    ring = {}
    for name, values in made.items():
        ring[name] = np.zeros((capacity, *values.shape[1:]), values.dtype)
        for at in range(max(0, written - capacity), written):
            ring[name][at % capacity] = values[at]
    save(path / "storage", ring)
    length = min(capacity, written)
    stored = {"metadata": {}, "is_pytree": False, "len": length}
    (path / "storage/storage_metadata.json").write_text(json.dumps(stored))
    (path / "writer").mkdir()
    cursor = {"cursor": written % capacity, "write_count": written}
    (path / "writer/metadata.json").write_text(json.dumps(cursor))
    (path / "prefetch.pkl").write_bytes(b"\x80\x04a pickle that nobody may load")
    return path


def files(path: Path) -> dict[str, Any]:
    """Bytes of every tensor and what describes it."""
    found: dict[str, Any] = {}
    for file in sorted(path.rglob("*")):
        if file.is_file():
            name = file.relative_to(path).as_posix()
            found[name] = json.loads(file.read_text()) if file.suffix == ".json" else file.read_bytes()
    return found


def test_a_folder_comes_back_to_the_bit(tmp_path: Path):
    """Tensors of any dtype, nested, and what is under `next`, are the same files after both ways."""
    made = tensors()
    path = save(tmp_path / "td", made)
    assert find_format(None, path).name == "torchrl"
    report = convert(path, tmp_path / "v")
    assert (report.num_steps, report.num_episodes, report.notes) == (11, 4, ())
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == list(LENGTHS)
        assert vault.episodes["terminated"].tolist() == [True, False, True, False]
        assert vault.episodes["truncated"].tolist() == [False, True, True, False]
        assert set(vault.schema.finals) == {"observation", "view/pixels"}
        first = vault[0]
        np.testing.assert_array_equal(first.steps["reward"], made["next/reward"][:3, 0], strict=True)
        np.testing.assert_array_equal(first.final["view"]["pixels"], made["next/view/pixels"][2], strict=True)
        assert first.steps["policy"]["loc"].dtype == ml_dtypes.bfloat16
        assert vault.verify().ok
        done = export(vault, tmp_path / "back", "torchrl")
    assert done.notes == ()
    assert files(tmp_path / "back") == files(path)


@pytest.mark.parametrize(("capacity", "written"), [(20, 11), (11, 11), (5, 11), (6, 4)])
def test_a_ring_is_read_in_order(tmp_path: Path, capacity: int, written: int):
    """The oldest step comes first, empty slots never, and the end of a buffer written anew is the same."""
    made = tensors()
    path = save_buffer(tmp_path / "rb", made, capacity, written)
    convert(path, tmp_path / "v")
    low = max(0, written - capacity)
    with Vault.open(tmp_path / "v") as vault:
        rows = vault.read_numpy(leaves=["observation"])["observation"][0]
        np.testing.assert_array_equal(rows, made["observation"][low:written], strict=True)
        export(vault, tmp_path / "back", "torchrl", buffer=True)
    back = files(tmp_path / "back")
    assert back["storage/storage_metadata.json"]["len"] == written - low
    assert back["storage/next/observation.memmap"] == made["next/observation"][low:written].tobytes()
    assert back["writer/metadata.json"] == {"cursor": 0, "write_count": written - low}


def test_streams_are_read_one_by_one(tmp_path: Path):
    """A batch `[B, T]` is `B` streams; a buffer of two axes is `[T, B]`."""
    made = {name: values for name, values in tensors().items() if name != "is_init"}
    two = {name: np.stack([values, values[::-1]]) for name, values in made.items() if "next/ob" not in name}
    source = torchrl.read(save(tmp_path / "bt", two, (2, 11)), keep_next_observation=True)
    (block,) = source.blocks(100)
    expected = np.concatenate([made["action"], made["action"][::-1]])
    np.testing.assert_array_equal(block.steps["action"], expected)
    assert block.ends.stop[3] == 11
    ring = save_buffer(tmp_path / "tb", {k: np.swapaxes(v, 0, 1) for k, v in two.items()}, 11, 11)
    meta = json.loads((ring / "storage/meta.json").read_text()) | {"shape": [11, 2]}
    (ring / "storage/meta.json").write_text(json.dumps(meta))
    stored = {"metadata": {}, "is_pytree": False, "len": 22}
    (ring / "storage/storage_metadata.json").write_text(json.dumps(stored))
    (block,) = torchrl.read(ring, keep_next_observation=True).blocks(100)
    np.testing.assert_array_equal(block.steps["action"], expected)


def test_next_observations_of_their_own_are_kept(tmp_path: Path):
    """Where `next` says something else than the next row, it is kept whole, said, and comes back."""
    made = tensors()
    made["next/observation"][5, 0] += 1
    path = save(tmp_path / "td", made)
    report = convert(path, tmp_path / "v")
    assert "`next` of episode 2 in td" in report.notes[0]
    with Vault.open(tmp_path / "v") as vault:
        kept = vault.read_numpy(leaves=["next/observation"])["next/observation"][0]
        np.testing.assert_array_equal(kept, made["next/observation"], strict=True)
        export(vault, tmp_path / "back", "torchrl")
    assert files(tmp_path / "back") == files(path)


def test_final_rows_of_zeros_are_not_known(tmp_path: Path):
    """Where a converter put zeros at every end, nobody is told that they were observed; they come back."""
    made = {name: values for name, values in tensors().items() if "pixels" not in name}
    made["next/observation"][np.cumsum(LENGTHS) - 1] = 0
    path = save(tmp_path / "td", made)
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert not vault.episodes["final_known"].any()
        assert vault.card["provenance"]["source"]["zero_finals"] is True
        notes = export(vault, tmp_path / "back", "torchrl").notes
    assert "final rows of 4 episodes are not known" in notes[0]
    assert files(tmp_path / "back") == files(path)


def test_numbers_of_trajectories_part_them(tmp_path: Path):
    """Where flags are silent and the trajectory changes, the episode was cut; written again, it still is."""
    n = 6
    made = {
        "observation": np.arange(n, dtype=np.float32)[:, None],
        "collector/traj_ids": np.array([4, 4, 9, 9, 9, 2]),
        "next/reward": np.ones((n, 1), np.float32),
        "next/done": np.zeros((n, 1), np.bool_),
    }
    convert(save(tmp_path / "td", made), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == [2, 3, 1]
        assert not (vault.episodes["terminated"] | vault.episodes["truncated"]).any()
        export(vault, tmp_path / "back", "torchrl")
    assert torchrl.read(tmp_path / "back").num_steps == n


def test_what_cannot_be_held_is_said(tmp_path: Path):
    """Texts, columns, empty and cut episodes are named; the rest reads back."""
    step = {
        "obs": np.int64(0),
        "text": np.zeros((), "U4"),
        "reward": np.float16(0),
        "terminated": np.bool_(0),
    }
    attributes = {"task": "öffne", "a/b": 1}
    with Vault.create(tmp_path / "v", steps=step, columns={"seed": np.int32}, attributes=attributes) as vault:
        for length, cut in ((2, True), (0, False), (1, False)):
            steps = {name: np.ones((length,), np.asarray(v).dtype) for name, v in step.items()}
            steps["terminated"] = np.zeros(length, np.bool_)
            vault.append(Episode(steps, terminated=not cut, truncated=False, columns={"seed": 3}))
        notes = " ".join(export(vault, tmp_path / "td", "torchrl").notes)
    for said in (
        "`text` is <U4",
        "1 episodes have no steps",
        "2 episodes are not known",
        "traj_ids",
        "['a/b']",
        "['seed']",
    ):
        assert said in notes, said
    convert(tmp_path / "td", tmp_path / "again")
    with Vault.open(tmp_path / "again") as vault:
        assert vault.attributes == {"task": "öffne"}
        assert vault.episodes["length"].tolist() == [2, 1]
        assert vault.episodes["terminated"].tolist() == [False, True]


def test_bad_folders_are_told(tmp_path: Path):
    """Missing, short and odd tensors, batches and buffers are named; nothing is left at the place."""
    path = save(tmp_path / "td", tensors())
    reward = path / "next/reward.memmap"
    data = reward.read_bytes()
    reward.write_bytes(data[:-1])
    with pytest.raises(FormatError, match=r"reward\.memmap must hold 88 bytes.* it has 87"):
        convert(path, tmp_path / "v")
    reward.unlink()
    with pytest.raises(FormatError, match=r"reward\.memmap must hold 88 bytes.* there is no such file"):
        convert(path, tmp_path / "v")
    reward.write_bytes(data)
    meta = json.loads((path / "meta.json").read_text())
    for change, said in [
        (
            {"action": meta["action"] | {"shape": [10]}},
            r"`action` of .* must have the batch's axes \[11\] first",
        ),
        ({"action": meta["action"] | {"dtype": "torch.qint8"}}, "described by what is not known"),
        ({"action": meta["action"] | {"is_nested": True}}, "nested tensor"),
        ({"shape": []}, r"the batch \[T\] or \[B, T\]"),
    ]:
        (path / "meta.json").write_text(json.dumps(meta | change))
        with pytest.raises(FormatError, match=said):
            torchrl.read(path)
    (path / "meta.json").write_text("{")
    with pytest.raises(FormatError, match="does not describe a TensorDict"):
        torchrl.read(path)
    ring = save_buffer(tmp_path / "rb", tensors(), 11, 11)
    (ring / "storage/storage_metadata.json").write_text(json.dumps({"is_pytree": True}))
    with pytest.raises(FormatError, match=r"must hold a TensorDict of the batch \[T\] or \[T, B\]"):
        torchrl.read(ring)
    flags = tensors() | {"next/terminated": np.full((11, 1), 7, np.uint8)}
    with pytest.raises(FormatError, match=r"`next/terminated` of .* must be 0 or 1"):
        torchrl.read(save(tmp_path / "flags", flags))
    assert not (tmp_path / "v").exists()


def test_pickles_are_named_and_left(tmp_path: Path):
    """What only a pickle holds is not read, and the card says so; texts are attributes."""
    path = save(tmp_path / "td", tensors())
    meta = json.loads((path / "meta.json").read_text())
    for name, inner in [("thing", {}), ("note", {"data": "hällo"})]:
        meta[name] = {"type": "NonTensorData"}
        (path / name).mkdir()
        (path / name / "meta.json").write_text(json.dumps({"_type": "NonTensorData"} | inner))
    (path / "thing/other.pickle").write_bytes(b"\x80\x04")
    (path / "meta.json").write_text(json.dumps(meta))
    convert(path, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.attributes == {"note": "hällo"}
        assert vault.card["provenance"]["source"]["left_out"] == ["thing"]


def test_what_tensordict_wrote_comes_back(tmp_path: Path):
    """Its own folder gives four episodes, and the same bytes again."""
    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    convert(SAMPLES, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == [40] * 4
        assert vault.episodes["truncated"].all()
        export(vault, tmp_path / "back", "torchrl")
    assert files(tmp_path / "back") == files(SAMPLES)


@pytest.mark.heavy
def test_torchrl_loads_what_is_written(tmp_path: Path):
    """TorchRL's own loaders give the tensors that went in, and what it dumps is read."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    data = pytest.importorskip("torchrl.data", reason="torchrl is not installed")
    tensordict = pytest.importorskip("tensordict", reason="tensordict is not installed")
    made = tensors()
    convert(save(tmp_path / "td", made), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, tmp_path / "back", "torchrl")
        export(vault, tmp_path / "rb", "torchrl", buffer=True)
    buffer = data.ReplayBuffer(storage=data.LazyMemmapStorage(11), batch_size=4)
    buffer.extend(tensordict.TensorDict.load_memmap(tmp_path / "td")[:1])
    buffer.loads(tmp_path / "rb")
    assert len(buffer) == 11
    for loaded in (tensordict.TensorDict.load_memmap(tmp_path / "back"), buffer.storage[:]):
        for name, values in made.items():
            got = loaded[tuple(name.split("/"))]
            assert got.shape == values.shape, name
            raw = got.contiguous().view(torch.uint8).numpy().tobytes()
            assert raw == np.ascontiguousarray(values).tobytes(), name
    ring = data.ReplayBuffer(storage=data.LazyMemmapStorage(7), batch_size=4)
    ring.extend(tensordict.TensorDict.load_memmap(tmp_path / "td")[:5])
    ring.extend(tensordict.TensorDict.load_memmap(tmp_path / "td")[5:])
    (tmp_path / "ring").mkdir()
    ring.dumps(tmp_path / "ring")
    convert(tmp_path / "ring", tmp_path / "again")
    with Vault.open(tmp_path / "again") as vault:
        rows = vault.read_numpy(leaves=["observation"])["observation"][0]
        np.testing.assert_array_equal(rows, made["observation"][4:], strict=True)
