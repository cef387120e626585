"""Minari itself reads what we write, and writes what we read. Needs Minari, Pillow and pyarrow."""

import json
from pathlib import Path

import minari_files as made
import numpy as np
import pytest
from strongbax.converters import convert
from strongbax.converters.exporting import export
from strongbax.vault.vault import Vault

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),  # Minari's and Gymnasium's own
]
minari = pytest.importorskip("minari", reason="Minari is the oracle here; it is no dependency")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    return tmp_path / "root"


def same(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            same(value, other[key])
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, list):
        assert one == list(other)
    else:
        np.testing.assert_array_equal(one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype


@pytest.mark.parametrize("write", [made.write_plain, made.write_nested])
def test_minari_reads_what_we_write(tmp_path: Path, root: Path, write):
    """`load_dataset` opens an exported vault, and its episodes are those of the dataset it came from."""
    src = write(tmp_path / "toy-v0")
    convert(src, tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        export(vault, root / "toys" / "random-v1", "minari", dataset_id="toys/random-v1")
    ours = minari.load_dataset("toys/random-v1")
    assert (ours.total_episodes, ours.total_steps, ours.env_spec.id) == (3, 9, "Toy-v0")
    assert list(minari.list_local_datasets()) == ["toys/random-v1"]
    theirs = minari.MinariDataset(src / "data")
    for one, other in zip(ours.iterate_episodes(), theirs.iterate_episodes(), strict=True):
        for what in ("observations", "actions", "rewards", "terminations", "truncations", "infos"):
            same(getattr(one, what), getattr(other, what))
        assert len(one.rewards) == made.LENGTHS[one.id]
    assert next(iter(ours.storage.get_episode_metadata([2])))["seed"] == 42


def test_minari_reads_a_training_vault(tmp_path: Path, root: Path):
    """A vault that never was Minari's opens too, its spaces fit its data, and its episodes can be sampled."""
    from test_minari import training_vault

    with Vault.open(training_vault(tmp_path / "v")) as vault:
        export(vault, root / "mine-v0", "minari", dataset_id="mine-v0")
        steps = vault[1].steps
    dataset = minari.load_dataset("mine-v0")
    episode = dataset[1]
    same(episode.observations["pos"][:4], steps["obs"]["pos"])
    assert episode.observations["word"] == ["ja", "nein", "", "ö", "Ende"]
    for row in range(5):
        one = {key: values[row] for key, values in episode.observations.items()}
        assert dataset.observation_space.contains(one)
    assert all(dataset.action_space.contains(np.int64(action)) for action in episode.actions)
    assert len(dataset.sample_episodes(2)) == 2


def buffers(rng, lengths, image):
    from minari.data_collector import EpisodeBuffer

    for number, n in enumerate(lengths):
        pixels = [rng.integers(0, 255, (40, 33, 3)).astype(np.uint8) for _ in range(n + 1)]
        yield EpisodeBuffer(
            id=None,
            seed=number,
            options={"level": number},
            observations={
                "arm": (rng.normal(size=(n + 1, 2, 3)).astype(np.float32), rng.integers(0, 4, n + 1)),
                "bits": rng.integers(0, 2, (n + 1, 5)).astype(np.int8),
                "task": ["öffne", "", "ab", "c", "d"][: n + 1],
                **({"pixels": pixels} if image else {}),
            },
            actions=rng.integers(0, 3, (n, 2)),
            rewards=rng.normal(size=n).tolist(),
            terminations=[i == n - 1 for i in range(n)],
            truncations=[False] * n,
            infos={"x": rng.normal(size=(n + 1, 2, 2)), "nested": {"k": list(rng.random(n + 1))}},
        )


@pytest.mark.parametrize("form", ["hdf5", "arrow", "parquet"])
@pytest.mark.parametrize("jpeg", [True, False, None])
def test_we_read_what_minari_writes(tmp_path: Path, root: Path, form: str, jpeg: bool | None):
    """Dict, Tuple, Text and pictures, raw or JPEG, in all three storages, give what Minari gives."""
    from gymnasium import spaces

    space = {
        "arm": spaces.Tuple([spaces.Box(-np.inf, np.inf, (2, 3)), spaces.Discrete(4)]),
        "bits": spaces.MultiBinary(5),
        "task": spaces.Text(9, charset="öfneabcd"),
    }
    if jpeg is not None:
        space["pixels"] = spaces.Box(0, 255, (40, 33, 3), np.uint8)
    dataset = minari.create_dataset_from_buffers(
        "toys/all-v0",
        list(buffers(np.random.default_rng(0), [3, 1, 4], jpeg is not None)),
        observation_space=spaces.Dict(space),
        action_space=spaces.MultiDiscrete([3, 3]),
        data_format=form,
        **({} if jpeg is None else {"jpeg_encoding": jpeg}),
        algorithm_name="a",
        author="me",
        author_email="me@example.org",
        code_permalink="x",
    )
    convert(root / "toys/all-v0", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        for mine, theirs in zip(vault, dataset.iterate_episodes(), strict=True):
            n = len(theirs.rewards)
            seen = theirs.observations
            for key, get in {
                "bits": lambda s: s["bits"],
                "task": lambda s: s["task"],
                "0": lambda s: s["arm"]["0"],
                "1": lambda s: s["arm"]["1"],
            }.items():
                whole = [*get(mine.steps["observation"]), get(mine.final["observation"])]
                wanted = seen["arm"][int(key)] if key.isdecimal() else seen[key]
                np.testing.assert_array_equal(np.array(whole), wanted)
            if jpeg is not None:
                np.testing.assert_array_equal(mine.steps["observation"]["pixels"], seen["pixels"][:n])
                np.testing.assert_array_equal(mine.final["observation"]["pixels"], seen["pixels"][n])
            same(mine.steps["action"], theirs.actions)
            same(mine.steps["reward"], theirs.rewards)
            same(mine.steps["terminated"], theirs.terminations)
            assert mine.steps["infos"]["x"].shape == (n, 2, 2)
            assert mine.attributes["options"] == {"level": mine.id}
        export(vault, root / "toys/back-v0", "minari", dataset_id="toys/back-v0")
    back = minari.load_dataset("toys/back-v0")
    for one, other in zip(back.iterate_episodes(), dataset.iterate_episodes(), strict=True):
        same(one.observations["arm"], other.observations["arm"])
        assert one.observations["task"] == other.observations["task"]
        same(one.rewards, other.rewards)
    facts = json.loads((root / "toys/back-v0/data/metadata.json").read_text())
    assert facts["algorithm_name"] == "a"


@pytest.mark.parametrize("form", ["hdf5", "parquet"])
def test_odd_shapes_both_ways(tmp_path: Path, root: Path, form: str):
    """Numbers without axes, bool and int64, tuples in dicts, in episodes of one step and of ten thousand."""
    from gymnasium import spaces
    from minari.data_collector import EpisodeBuffer

    rng, lengths = np.random.default_rng(0), (1, 10_000, 2)
    axes = () if form == "hdf5" else (1,)  # without axes its own reader cannot read Parquet's infos
    made = [
        EpisodeBuffer(
            id=None,
            observations={
                "deep": {"pair": (rng.normal(size=(n + 1, 1)), rng.integers(0, 2**62, n + 1))},
                "bits": rng.integers(0, 2, (n + 1, 3)).astype(np.int8),
                "word": ["größe 大"] * (n + 1),
            },
            actions=(rng.integers(0, 5, n), rng.normal(size=(n, 2, 2)).astype(np.float32)),
            rewards=rng.normal(size=n).tolist(),
            terminations=[False] * n,
            truncations=[i == n - 1 for i in range(n)],
            infos={
                "ok": rng.random((n + 1, *axes)) < 0.5,
                "count": rng.integers(-(2**63), 2**63 - 1, (n + 1, *axes)),
            },
        )
        for n in lengths
    ]
    pair = spaces.Tuple([spaces.Box(-np.inf, np.inf, (1,), np.float64), spaces.Discrete(2**62)])
    dataset = minari.create_dataset_from_buffers(
        "toys/odd-v0",
        made,
        observation_space=spaces.Dict(
            {
                "deep": spaces.Dict({"pair": pair}),
                "bits": spaces.MultiBinary(3),
                "word": spaces.Text(9, charset="größe 大"),
            }
        ),
        action_space=spaces.Tuple([spaces.Discrete(5), spaces.Box(-np.inf, np.inf, (2, 2), np.float32)]),
        data_format=form,
        algorithm_name="a",
        author="me",
        author_email="me@example.org",
        code_permalink="x",
    )
    convert(root / "toys/odd-v0", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == list(lengths)
        export(vault, root / "toys/back-v0", "minari", dataset_id="toys/back-v0")
    back = minari.load_dataset("toys/back-v0")
    assert back.observation_space == dataset.observation_space
    for one, other in zip(back.iterate_episodes(), dataset.iterate_episodes(), strict=True):
        for what in ("observations", "actions", "rewards", "terminations", "truncations", "infos"):
            same(getattr(one, what), getattr(other, what))
