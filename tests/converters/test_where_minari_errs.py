"""Where Minari errs we do not. Needs Minari and Gymnasium (`make peers`)."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strongbax.converters import convert, export
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]  # Minari's and Gymnasium's own
minari = pytest.importorskip("minari", reason="needs Minari: `make peers`")


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    return tmp_path / "root"


def made(form: str, *episodes: dict[str, Any], space: Any = None, **options: Any) -> Any:
    """A dataset that Minari writes of episodes of numbers."""
    from gymnasium import spaces
    from minari.data_collector import EpisodeBuffer

    count = {"actions": np.int64, "rewards": np.float64, "terminations": np.bool_, "truncations": np.bool_}
    buffers = []
    for episode in episodes:
        n = len(episode["observations"]) - 1
        rest = {name: np.zeros(n, dtype) for name, dtype in count.items()} | episode
        buffers.append(EpisodeBuffer(id=None, seed=None, options=None, **({"infos": {}} | rest)))
    return minari.create_dataset_from_buffers(
        "toys/made-v0",
        buffers,
        observation_space=space or spaces.Box(-np.inf, np.inf, (1,)),
        action_space=spaces.Discrete(2),
        data_format=form,
        algorithm_name="a",
        author="me",
        author_email="me@example.org",
        code_permalink="x",
        **options,
    )


LONG = 140_000


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads for PyArrow."""
    import pyarrow as pa

    before = pa.cpu_count()
    pa.set_cpu_count(count)
    yield
    pa.set_cpu_count(before)


def long_dataset(form: str) -> Any:
    """Episodes of 140,000 and of 5 steps, each observation its number."""
    rows = [np.arange(n + 1, dtype=np.float32)[:, None] for n in (LONG, 5)]
    return made(form, *[{"observations": one} for one in rows])


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_a_long_episode_is_whole(tmp_path: Path, root: Path, form: str):
    """Minari takes the first batch of a file for the episode, and the second batch for the next episode."""
    with threads(1):  # with more Minari may write rows in another order: the next test
        dataset = long_dataset(form)
    found = [len(episode.rewards) for episode in dataset.iterate_episodes()]
    assert found[0] < LONG
    assert found[1] > 5
    convert(root / "toys/made-v0", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        assert vault.episodes["length"].tolist() == [LONG, 5]
        np.testing.assert_array_equal(vault[0].steps["observation"][:, 0], np.arange(LONG))


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_steps_out_of_order_are_refused(tmp_path: Path, root: Path, form: str):
    """Minari writes the batches of a long episode in any order; which came first is lost."""
    path = root / "toys/made-v0"
    with threads(4):
        for _ in range(100):
            shutil.rmtree(path, ignore_errors=True)
            long_dataset(form)
            if not in_order(path / "data" / "0" / f"part-0.{form}"):
                break
        else:
            pytest.fail("a hundred times Minari kept the order")
    with pytest.raises(FormatError, match=r"data/0/part-0\.\w+ are out of order"):
        convert(path, tmp_path / "v")
    assert not (tmp_path / "v").exists()


def in_order(path: Path) -> bool:
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(path, format=path.suffix[1:]).to_table()
    return bool((np.diff(np.concatenate(table["observations"].to_pylist())) == 1).all())


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_infos_in_infos_are_arrays(tmp_path: Path, root: Path, form: str):
    """Minari leaves a group within the infos as an array of dicts, a Python object a step."""
    goal = np.arange(8.0).reshape(4, 2)
    infos = {"deep": {"goal": goal}}
    dataset = made(form, {"observations": np.zeros((4, 1), np.float32), "infos": infos})
    found = next(iter(dataset.iterate_episodes())).infos["deep"]
    assert found.dtype == object
    convert(root / "toys/made-v0", tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        np.testing.assert_array_equal(vault[0].steps["infos"]["deep"]["goal"], goal[:-1], strict=True)
        np.testing.assert_array_equal(vault[0].final["infos"]["deep"]["goal"], goal[-1], strict=True)


def test_pictures_are_exact(tmp_path: Path, root: Path):
    """Minari compresses pictures as JPEG unless it is told not to: they are others than were recorded."""
    from gymnasium import spaces

    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    space = spaces.Box(0, 255, (32, 32, 3), np.uint8)
    dataset = made("hdf5", {"observations": list(pixels)}, space=space)
    assert (next(iter(dataset.iterate_episodes())).observations != pixels).mean() > 0.5
    steps = {"observation": pixels[:2], "action": np.zeros(2, np.int64), "reward": np.zeros(2)}
    ends = {"terminated": np.array([False, True]), "truncated": np.zeros(2, np.bool_)}
    with Vault.create(
        tmp_path / "v", steps={name: values[0] for name, values in (steps | ends).items()}
    ) as vault:
        vault.extend(steps | ends)
    with Vault.open(tmp_path / "v") as vault:
        export(vault, root / "toys/mine-v0", "minari", dataset_id="toys/mine-v0")
    again = next(iter(minari.load_dataset("toys/mine-v0").iterate_episodes())).observations
    np.testing.assert_array_equal(again[:2], pixels[:2], strict=True)
