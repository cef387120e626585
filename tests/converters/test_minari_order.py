"""Minari's long episodes in Arrow and Parquet: batches that show that they are out of order are refused."""

import json
from pathlib import Path

import minari_files
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc
from pyarrow import parquet as pq
from strongbax.converters import convert
from strongbax.converters.minari_arrow import BATCH
from strongbax.vault.errors import FormatError
from strongbax.vault.vault import Vault


def episode(path: Path, sizes: list[int]) -> None:
    """An episode in batches of so many rows."""
    path.parent.mkdir(parents=True)
    count = sum(sizes)
    columns = {
        "observations": pa.array(np.arange(count, dtype=np.float32)),
        "actions": pa.array(np.zeros(count, np.int64)),
        "rewards": pa.array(np.arange(count, dtype=np.float64)),
        **{key: pa.array(np.zeros(count, np.bool_)) for key in ("terminations", "truncations")},
    }
    table = pa.table(columns)
    starts = np.cumsum([0, *sizes]).tolist()
    pieces = [table.slice(start, size) for start, size in zip(starts, sizes, strict=False)]
    if path.suffix == ".arrow":
        with ipc.new_file(path, table.schema) as file:
            for piece in pieces:
                file.write_table(piece)
    else:
        with pq.ParquetWriter(path, table.schema) as file:
            for piece in pieces:
                file.write_table(piece)


def dataset(folder: Path, form: str, sizes: list[int]) -> Path:
    """A long episode, and one of three steps."""
    data = folder / "toy-v0" / "data"
    episode(data / "0" / f"part-0.{form}", sizes)
    episode(data / "1" / f"part-0.{form}", [4])
    steps = sum(sizes) - 1 + 3
    spaces = {key: json.dumps(minari_files.DISCRETE) for key in ("observation_space", "action_space")}
    facts = minari_files.metadata(data_format=form, total_episodes=2, total_steps=steps, **spaces)
    (data / "metadata.json").write_text(json.dumps(facts))
    return folder / "toy-v0"


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_a_short_batch_amid_an_episode_is_refused(tmp_path: Path, form: str):
    """Only the last batch may be shorter; with `skip_bad` the other episode is kept."""
    src = dataset(tmp_path, form, [BATCH, 10, BATCH])
    with pytest.raises(
        FormatError, match=rf"data/0/part-0\.{form} are out of order: .* \[32768, 10, 32768\] rows"
    ):
        convert(src, tmp_path / "v")
    report = convert(src, tmp_path / "v", skip_bad=True)
    assert ([one["unit"] for one in report.skipped], report.num_steps) == ([0], 3)


@pytest.mark.parametrize("form", ["arrow", "parquet"])
@pytest.mark.parametrize("sizes", [[BATCH, BATCH, 10], [BATCH, BATCH], [7, 5, 9]])
def test_batches_in_order_are_read(tmp_path: Path, form: str, sizes: list[int]):
    """Whole batches and a last one, or batches of another writer's; of long episodes the card warns."""
    convert(dataset(tmp_path, form, sizes), tmp_path / "v")
    with Vault.open(tmp_path / "v") as vault:
        rewards = vault[0].steps["reward"]
        np.testing.assert_array_equal(rewards, np.arange(sum(sizes) - 1.0))
        remarks = " ".join(vault.card["provenance"]["source"]["remarks"])
    assert ("may write out of order" in remarks) == (sum(sizes) > BATCH)
