"""Things are made once, whoever asks, and how many at a time."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from strongbax.vault import shards
from view_model import make


def test_shards_are_mapped_once(tmp_path, monkeypatch):
    """Threads that read for the first time at once share each map: none reads one that is gone."""
    vault, _ = make(tmp_path / "a.vault", [30, 40])
    expected = vault.loader(64, 3, seed=1).batch_numpy(0)
    opened, start = [], threading.Barrier(4)

    class Slow(shards.ShardFile):
        def __init__(self, path, array):
            opened.append(path)
            time.sleep(0.01)
            super().__init__(path, array)

    monkeypatch.setattr(shards, "ShardFile", Slow)
    loader = vault.select(range(2)).loader(64, 3, seed=1)
    loader._reader.selected.sources[0]._readers.clear()

    def read(_):
        start.wait()
        return loader.batch_numpy(0)

    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(read, range(4)))
    assert len(opened) == len(set(opened)) > 0
    for batch in batches:
        assert all((batch.experience[name] == leaf).all() for name, leaf in expected.experience.items())
