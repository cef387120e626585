"""What an episode's last action led to comes from its final row, in batches as in single reads."""

import numpy as np
import pytest
from strongbax.vault import Ends, Vault, concat, shards
from vault_rings import same


def written(path, codec, lengths, *, seed):
    """Writes episodes of frames with final rows, the second half unsealed; gives the vault and the finals."""
    random = np.random.default_rng(seed)
    step = {"frame": np.zeros((30, 40), np.uint8), "wide": np.zeros((), np.float64)}
    vault = Vault.create(path, steps=step, codec=codec, block=16, finals=["frame", "wide"])
    finals = {
        "frame": random.integers(0, 256, (len(lengths), 30, 40)).astype(np.uint8),
        "wide": random.normal(size=len(lengths)),
    }
    for place, length in enumerate(lengths):
        steps = {
            "frame": random.integers(0, 256, (length, 30, 40)).astype(np.uint8),
            "wide": random.normal(size=length),
        }
        one = {name: rows[place : place + 1] for name, rows in finals.items()}
        ends = Ends(np.array([length]), np.array([True]), np.array([False]), final=one)
        vault.extend(steps, ends)
        if place == len(lengths) // 2:
            vault.close()
            vault = Vault.open(path, mode="a")
    return vault, finals


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_finals_of_a_batch_come_in_one_read(tmp_path, codec, monkeypatch):
    """Sealed or not, compressed or not, of one vault or several: each is the row that was given."""
    lengths = [3, 5, 1, 2, 6, 4, 1, 7]
    first, a = written(tmp_path / "a.vault", codec, lengths, seed=1)
    second, b = written(tmp_path / "b.vault", codec, lengths, seed=2)
    view = concat([first, second.select([7, 0, 3])])
    expected = {name: np.concatenate([a[name], b[name][[7, 0, 3]]]) for name in a}
    reads = []
    read_rows = shards.read_rows
    monkeypatch.setattr(shards, "read_rows", lambda *given: reads.append(given[1].path) or read_rows(*given))
    sample = view.loader(200, 2, short="pad", next_observation=True).batch_numpy(0)
    if codec == "zstd":
        assert sorted(reads) == ["final/frame", "final/frame", "final/wide", "final/wide"]  # one a vault
    ends = view.episodes["start"] + view.episodes["length"] - 1
    window, step = np.nonzero(sample.mask & np.isin(sample.indices[:, None] + np.arange(2), ends))
    episode = np.searchsorted(ends, sample.indices[window] + step)
    assert set(episode.tolist()) == set(range(11))
    assert sample.next_mask[window, step].all()
    for name, rows in expected.items():
        assert same(sample.next_observation[name][window, step], rows[episode]), name
    first.close()
    second.close()
