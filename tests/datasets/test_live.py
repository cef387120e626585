"""What `strongbax view` makes of a vault that is not plain files: its log, its parts, an object store."""

import itertools
import json

import ml_dtypes
import numpy as np
import pytest
import zarr
from strongbax.datasets.live import Live
from strongbax.vault import Episode, Vault
from strongbax.vault.location import location_of

STEP = {
    "observation": np.zeros((2, 3), np.float32),
    "half": np.zeros((), ml_dtypes.bfloat16),
    "say": np.array("", "<U5"),
    "reward": np.float32(0),
}


def episode(length: int, seed: int) -> Episode:
    draw = np.random.default_rng(seed)
    steps = {
        "observation": draw.normal(size=(length, 2, 3)).astype(np.float32),
        "half": draw.normal(size=length).astype(ml_dtypes.bfloat16),
        "say": np.array([f"s{seed}é"] * length, "<U5"),
        "reward": draw.normal(size=length).astype(np.float32),
    }
    final = {"observation": np.full((2, 3), seed, np.float32)}
    return Episode(steps, final=final, terminated=True, truncated=False, attributes={"seed": seed})


def downloaded(live: Live) -> tuple[dict, zarr.Group]:
    """The root's own facts, and the whole vault as zarr-python reads it."""
    document = json.loads(live.root())
    base = document["attributes"]["strongbax"]["live"]["base"]
    files = {"zarr.json": live.root()}
    for path, node in document["consolidated_metadata"]["metadata"].items():
        if node["node_type"] == "array" and 0 not in node["shape"]:
            sizes = zip(node["shape"], node["chunk_grid"]["configuration"]["chunk_shape"], strict=True)
            for places in itertools.product(*(range(-(-size // chunk)) for size, chunk in sizes)):
                key = f"{path}/c.{'.'.join(map(str, places))}"
                files[key] = live.chunk(base + key)
    assert None not in files.values()
    buffers = {key: zarr.core.buffer.cpu.Buffer.from_bytes(data) for key, data in files.items()}
    store = zarr.storage.MemoryStore(buffers)
    return document["attributes"]["strongbax"], zarr.open_group(store, mode="r", use_consolidated=True)


def check(live: Live, wanted: list[Episode], running: int = 0) -> None:
    """Every episode is there, in order, with its steps, final row and attributes; then those that run."""
    own, group = downloaded(live)
    assert own["episodes"] == len(wanted) + running
    assert own["length"] == group["steps/reward"].shape[1]
    stops = [0, *group["episodes/attributes_stop"][...].tolist()]
    for place, one in enumerate(wanted):
        start, length = group["episodes/start"][place], group["episodes/length"][place]
        rows = slice(start, start + length)
        np.testing.assert_array_equal(group["steps/observation"][0, rows], one.steps["observation"])
        half = group["steps/half"][0, rows].view(ml_dtypes.bfloat16)
        np.testing.assert_array_equal(half, one.steps["half"])
        said = group["steps/say"][0, rows].view("<U5")[:, 0]
        np.testing.assert_array_equal(said, one.steps["say"])
        np.testing.assert_array_equal(group["final/observation"][place], one.final["observation"])
        text = group["episodes/attributes"][stops[place] : stops[place + 1]].tobytes()
        assert json.loads(text) == one.attributes
        total = one.steps["reward"].sum(dtype=np.float64)
        assert group["episodes/return"][place] == pytest.approx(total)


def test_a_sealed_vault_is_its_own_files(tmp_path):
    """Of a vault without log or parts nothing is made: its files are served as they lie."""
    with Vault.create(tmp_path / "toy.vault", steps=STEP) as vault:
        vault.append(episode(4, 0))
    assert Live(tmp_path / "toy.vault").root() is None


def test_the_log_is_shown(tmp_path):
    """Of a vault that is being written every committed step is there, later ones at the next look."""
    live, episodes = Live(tmp_path / "toy.vault"), [episode(n, n) for n in (3, 70, 1)]
    with Vault.create(tmp_path / "toy.vault", steps=STEP) as vault:
        vault.append(episodes[0])
        check(live, episodes[:1])
        for one in episodes[1:]:
            vault.append(one)
        check(live, episodes)


def test_what_a_root_told_of_stays(tmp_path):
    """A page that was loaded before reads what it was told of, until four newer ones were loaded."""
    live = Live(tmp_path / "toy.vault")
    with Vault.create(tmp_path / "toy.vault", steps=STEP) as vault:
        vault.append(episode(3, 1))
        base = json.loads(live.root())["attributes"]["strongbax"]["live"]["base"]
        first = live.chunk(f"{base}steps/reward/c.0.0")
        vault.append(episode(5, 2))
        for _ in range(3):
            live.root()
            assert live.chunk(f"{base}steps/reward/c.0.0") == first
        live.root()
        assert live.chunk(f"{base}steps/reward/c.0.0") is None


def test_running_episodes_are_told(tmp_path):
    """Episodes that have not ended are the last ones, and are named as running."""
    step = {"reward": np.float32(0), "terminated": np.bool_(0)}
    with Vault.create(tmp_path / "toy.vault", steps=step) as vault:
        vault.extend({"reward": np.ones(5, np.float32), "terminated": np.arange(5) == 1})
        own, group = downloaded(Live(tmp_path / "toy.vault"))
    assert own["live"]["running"] == [1]
    assert group["episodes/length"][...].tolist() == [2, 3]
    assert group["episodes/terminated"][...].tolist() == [True, False]


def test_parts_are_shown(tmp_path):
    """The episodes of all parts are there, those of the vault itself first."""
    path, episodes = tmp_path / "toy.vault", [episode(n, n) for n in (3, 5, 2)]
    with Vault.create(path, steps=STEP) as vault:
        vault.append(episodes[0])
    for name, one in (("a", episodes[1]), ("b", episodes[2])):
        with Vault.open(path, mode="a", part=name) as part:
            part.append(one)
    check(Live(path), episodes)


def test_object_stores_are_shown():
    """A vault that is not on this machine's disk is shown too."""
    episodes = [episode(n, n) for n in (3, 5)]
    with Vault.create("memory://live/toy.vault", steps=STEP) as vault:
        for one in episodes:
            vault.append(one)
    check(Live(location_of("memory://live/toy.vault")), episodes)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "live/1/steps/reward/c.0.9",
            "live/1/steps/reward/c.1.0",
            "live/1/steps/reward/c.0",
            "live/1/zarr.json",
        ),
        *(
            "live/1/steps/no/c.0.0",
            "live/2/steps/reward/c.0.0",
            "live/x/steps/reward/c.0.0",
            "live/1/steps/reward/",
        ),
        *("live/1/steps/reward/c.-1.0", "live/1/steps/reward/c.0.x", "dead/1/steps/reward/c.0.0", "live", ""),
    ],
)
def test_what_is_not_there_is_not_made(tmp_path, target):
    """Places outside an array, other arrays and other roots are answered by nothing."""
    live = Live(tmp_path / "toy.vault")
    with Vault.create(tmp_path / "toy.vault", steps=STEP) as vault:
        vault.append(episode(3, 1))
        live.root()
        assert live.chunk("live/1/steps/reward/c.0.0") is not None
        assert live.chunk(target) is None
