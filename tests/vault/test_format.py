"""docs/format.md is complete: a reader written from it alone reads what the library writes."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import plain_reader
import pytest
from strongbax.vault import Ends, Vault
from vault_rings import Ring, Source, one_step, same

STEP = {
    "observation": {"a/b": np.zeros(2, ml_dtypes.bfloat16), "text": np.zeros((), "U3")},
    "frame": np.zeros((8, 8), np.uint8),
    "when": np.zeros((), "M8[ms]"),
    "complex": np.zeros((), np.complex64),
    "lz4": np.zeros(3, np.float64),
    "blosc": np.zeros(3, np.int16),
    "gzip": np.zeros(3, np.int8),
    "nothing": np.zeros((0, 2), np.float32),
    "reward": np.zeros(2, np.float32),
    "terminated": np.zeros((), np.bool_),
}
CODECS = {"frame": "zstd", "lz4": "lz4", "blosc": "blosc", "gzip": "gzip", "nothing": "zstd"}


def block(count: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)

    def values(leaf: np.ndarray) -> np.ndarray:
        numbers = random.integers(0, 100, (count, *leaf.shape))
        return numbers.astype(leaf.dtype)

    steps = {name: values(leaf) for name, leaf in STEP.items() if isinstance(leaf, np.ndarray)}
    observation = {name: values(leaf) for name, leaf in STEP["observation"].items()}
    return steps | {"observation": observation, "terminated": np.zeros(count, np.bool_)}


def ends(count: int, stops: list[int]) -> Ends:
    number = len(stops)
    return Ends(
        np.array(stops, np.int64),
        np.ones(number, np.bool_),
        np.zeros(number, np.bool_),
        final={
            "observation/a%2Fb": np.full((number, 2), count, ml_dtypes.bfloat16),
            "observation/text": np.full(number, "é→", "U3"),
        },
        final_known=np.arange(number) % 2 == 0,
        columns={"seed": np.arange(number), "name": np.array(["ü"] * number, "U2")},
        attributes=[{"count": count, "stop": stop, "ö": [None]} for stop in stops],
    )


def check(path: Path) -> None:
    """Compares the plain reader with the library, array by array."""
    found, vault = plain_reader.read_vault(path), Vault.open(path)
    steps = vault.read_numpy(leaves=vault.leaves)
    for name, values in steps.items():
        assert same(found["arrays"][f"steps/{name}"], values), name
    for name in vault.schema.finals:
        assert same(found["arrays"][f"final/{name}"], vault.finals(name)), name
    table = vault.episodes
    for name in table.columns:
        if name != "id":
            assert same(found["arrays"][f"episodes/{name}"], table[name]), name
    texts = [json.loads(text) for text in found["texts"]]
    assert texts == [table.attributes(row) for row in range(len(table))]
    assert found["gaps"] == [[gap.time, gap.lost] for gap in vault.gaps]
    runs = found["start"] < vault.length
    assert found["start"][runs].tolist() == vault.open_episodes["start"].tolist()
    if vault.roles.reward is not None:
        totals = found["total"].reshape(vault.streams, -1)[runs]
        assert totals.ravel().tolist() == vault.open_episodes["return"].ravel().tolist()
    assert found["root"]["attributes"] == vault.attributes
    assert found["root"]["card"] == vault.card


PIECES = [(3, [1, 3]), (0, []), (4, []), (2, [0, 2]), (19, [5, 5, 12]), (1, []), (6, [6]), (3, [])]


@pytest.mark.parametrize("pieces", range(len(PIECES) + 1))
def test_a_plain_reader_reads_log_and_shards(tmp_path, pieces):
    """After any number of flushes the reader that knows only the page holds what the library holds."""
    path, columns = tmp_path / "a.vault", {"seed": np.int64, "name": "U2"}
    with Vault.create(
        path, steps=STEP, codec=CODECS, columns=columns, attributes={"crc32c": "00000000"}, block=8
    ) as vault:
        for seed, (count, stops) in enumerate(PIECES[:pieces]):
            vault.extend(block(count, seed), ends(count, stops))
        vault.write_card({"name": "é"})
        check(path)
    check(path)


@pytest.mark.parametrize("streams", [1, 3])
def test_a_plain_reader_reads_flushed_buffers(tmp_path, streams):
    """Streams, gaps and running episodes of flushed rings are where the page says."""
    path, ring, source = tmp_path / "a.vault", Ring(streams, 7), Source(streams)
    with Vault.create(path, steps=one_step(), streams=streams, codec={"pixels": "zstd"}, block=8) as vault:
        for count in (3, 7, 9, 2, 5, 8, 1):
            ring.add(source.steps(count))
            vault.write(ring.state(), on_gap="record")
            check(path)
        assert len(vault.gaps) == 2
    check(path)


def test_the_page_names_every_field(tmp_path):
    """Every field of the root, the schema and a leaf is explained on the page."""
    page = (Path(__file__).parents[2] / "docs" / "format.md").read_text("utf-8")
    with Vault.create(tmp_path / "a.vault", steps=STEP, columns={"seed": int}) as vault:
        own = plain_reader.read_root(vault.path)["attributes"]["strongbax"]
    for field in (*own, *own["schema"], *own["schema"]["leaves"][0], *own["running"]):
        assert f"`{field}`" in page, field
    for name in plain_reader.OWN_COLUMNS:
        assert f"`episodes/{name}`" in page, name
