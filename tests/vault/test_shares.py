"""Shares: whoever writes which steps, and in whatever blocks, the vault is the same, file by file."""

import itertools
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strongbax.vault import Vault
from strongbax.vault.assembly import assemble, prepare, sign
from strongbax.vault.describe import describe
from strongbax.vault.episodes import Ends
from strongbax.vault.errors import CorruptionError
from strongbax.vault.share import Share, ShareWriter, Span
from strongbax.vault.share_reader import ShareReader

BLOCK = 8
TOTAL = 45
STOPS = np.array([3, 8, 8, 20, 21, 40, TOTAL])  # of the episodes; the third has no steps
STEP = {
    "frame": np.zeros((2, 600), np.uint8),  # compressed
    "half": np.zeros(3, ml_dtypes.bfloat16),
    "none": np.zeros((2, 0), np.float32),
    "reward": np.zeros((), np.float64),
    "text": np.zeros((), "U3"),
}
SCHEMA = describe(STEP, 1, roles=None, finals=["half"], codec=None, columns={"seed": np.int16}, block=BLOCK)


def rows(start: int, stop: int) -> tuple[dict, Ends]:
    """Steps of the dataset, and what ends among them; at the very start of a block nothing does."""
    rng = np.random.default_rng(0)
    whole = {
        name: rng.integers(0, 99, (TOTAL, *leaf.shape)).astype(leaf.dtype) for name, leaf in STEP.items()
    }
    here = (start < STOPS) & (stop >= STOPS)
    finals = {"half": np.arange(3 * len(STOPS)).reshape(-1, 3).astype(ml_dtypes.bfloat16)[here]}
    odd = np.arange(len(STOPS)) % 2 == 1
    ends = Ends(
        STOPS[here] - start,
        odd[here],
        ~odd[here],
        finals,
        odd[here],
        {"seed": np.arange(len(STOPS))[here]},
        [{"name": "é" * n} for n in np.flatnonzero(here).tolist()],
    )
    return {name: values[start:stop] for name, values in whole.items()}, ends


def write(folder: Path, bounds: list[int], size: int) -> list[Share]:
    """Writes shares, the last one first."""
    prepare(folder, SCHEMA)
    shares = []
    for start, stop in reversed(list(itertools.pairwise(bounds))):
        beside = folder.parent / f"{folder.name}-{start}"
        with ShareWriter(folder, beside, SCHEMA, Span(start, stop, TOTAL)) as writer:
            for at in range(start, stop, size):
                writer.extend(*rows(at, min(stop, at + size)))
            made = writer.close()
        shares.append(Share.from_dict(beside, made.to_dict()))
    return shares[::-1]


def files(folder: Path) -> dict[str, bytes]:
    """All files of a vault with their bytes."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vault of one share."""
    path = tmp_path_factory.mktemp("alone") / "v"
    sign(path, assemble(path, SCHEMA, write(path, [0, TOTAL], TOTAL), {"a": 1}), {"b": 2})
    return path


@given(
    bounds=st.sets(st.sampled_from(STOPS[:-1].tolist()), max_size=5),
    size=st.integers(1, 20),
    seed=st.integers(0, 10**9),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_vault_does_not_depend_on_its_shares(
    tmp_path: Path, alone: Path, bounds: set[int], size: int, seed: int
):
    """Byte for byte, every file is what one writer alone makes, wherever shares and blocks begin."""
    path = tmp_path / f"{seed}-{size}-{len(bounds)}" / "v"
    if path.exists():
        return
    shares = write(path, [0, *sorted(bounds), TOTAL], size)
    for share in shares:
        reader = ShareReader(path, SCHEMA, share)
        start, stop = share.span.start, share.span.stop
        wanted, _ = rows(start, stop)
        for name, values in wanted.items():
            np.testing.assert_array_equal(reader.rows(name, start, stop), values, strict=True)
            np.testing.assert_array_equal(reader.rows(name, stop - 1, stop), values[-1:], strict=True)
    root = assemble(path, SCHEMA, shares, {"a": 1})
    sign(path, root, {"b": 2})
    found, wanted = files(path), files(alone)
    assert found.keys() == wanted.keys()
    assert [name for name in found if found[name] != wanted[name]] == []


def test_it_is_what_a_vaults_own_writer_makes(tmp_path: Path, alone: Path):
    """Every array, column, final row and text reads as from a vault that was written step by step."""
    with Vault.create(
        tmp_path / "v", steps=STEP, finals=["half"], columns={"seed": np.int16}, block=BLOCK
    ) as made:
        made.extend(*rows(0, TOTAL))
    with Vault.open(tmp_path / "v") as one, Vault.open(alone) as other:
        assert other.verify().ok
        assert (other.attributes, other.card) == ({"a": 1}, {"b": 2})
        for name, values in one.read_numpy().items():
            np.testing.assert_array_equal(values, other.read_numpy(leaves=[name])[name], strict=True)
        for name, values in one.episodes.items():
            np.testing.assert_array_equal(values, other.episodes[name], strict=True)
        np.testing.assert_array_equal(one.finals("half"), other.finals("half"), strict=True)
        assert list(one.episodes.texts()) == list(other.episodes.texts())
        assert other.open_episodes["id"].size == 0


def test_assembling_again_after_a_kill_is_harmless(tmp_path: Path, alone: Path):
    """What a killed assembly and killed writers left does not show."""
    path = tmp_path / "v"
    shares = write(path, [0, 20, TOTAL], 7)
    (path / "steps/reward/c.0.1.abcd.new").write_bytes(b"torn")
    assemble(path, SCHEMA, shares, {"a": 1})
    sign(path, assemble(path, SCHEMA, shares, {"a": 1}), {"b": 2})
    assert files(path) == files(alone)


def test_what_is_missing_or_damaged_is_told(tmp_path: Path):
    """Shares that do not meet, steps that did not come, bytes that changed: each is an error."""
    path = tmp_path / "v"
    first, last = write(path, [0, 20, TOTAL], 7)
    with pytest.raises(CorruptionError, match="must follow one another"):
        assemble(path, SCHEMA, [last], {})
    with ShareWriter(path, tmp_path / "x", SCHEMA, Span(0, 20, TOTAL)) as writer:
        writer.extend(*rows(0, 8))
        with pytest.raises(CorruptionError, match="8 steps came where 20 were announced"):
            writer.close()
        with pytest.raises(CorruptionError, match="More steps came than the 20"):
            writer.extend(*rows(8, 21))
    raw = first.raw["tail/reward"]
    raw.path.write_bytes(b"\1" * raw.size)
    with pytest.raises(CorruptionError, match="it is not what was written there"):
        assemble(path, SCHEMA, [first, last], {})
