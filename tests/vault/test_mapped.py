"""Maps: a file's bytes without a copy, without a descriptor, and gone when nobody looks at them."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest
from strongbax.vault import Vault
from strongbax.vault.mapped import map_file

DESCRIPTORS, MAPS = Path("/proc/self/fd"), Path("/proc/self/maps")
needs_proc = pytest.mark.skipif(not MAPS.exists(), reason="only Linux tells what a process has mapped")


def test_a_map_is_the_file(tmp_path: Path):
    """The bytes are the file's, nobody can change them, and a view outlives the array."""
    data = os.urandom(10_000)
    (tmp_path / "file").write_bytes(data)
    view = map_file(tmp_path / "file")[123:]
    gc.collect()
    assert view.tobytes() == data[123:]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_nothing_to_map_is_an_error(tmp_path: Path):
    """A file that is empty, absent or a folder has no map."""
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="is empty"):
        map_file(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        map_file(tmp_path / "absent")
    with pytest.raises(OSError, match=str(tmp_path)):
        map_file(tmp_path)


@needs_proc
def test_a_map_goes_with_its_last_view(tmp_path: Path):
    """While a view is held the file is mapped, after that it is not."""
    (tmp_path / "file").write_bytes(bytes(10_000))
    view = map_file(tmp_path / "file")[5:10]
    assert str(tmp_path) in MAPS.read_text()
    del view
    assert str(tmp_path) not in MAPS.read_text()


@needs_proc
def test_a_vault_of_many_shards_needs_no_descriptor_each(tmp_path: Path):
    """Reading 50 shards leaves no file open, and closing the vault leaves none mapped."""
    with Vault.create(tmp_path / "v", steps={"reward": np.float32(0)}, block=4) as vault:
        vault.extend({"reward": np.arange(200, dtype=np.float32)})
    vault = Vault.open(tmp_path / "v")
    before = len(list(DESCRIPTORS.iterdir()))
    assert vault.read_numpy()["reward"].tolist() == [list(range(200))]
    assert len(list(DESCRIPTORS.iterdir())) <= before
    assert MAPS.read_text().count(f"{tmp_path}/v/steps/reward") == 50
    vault.close()
    del vault
    gc.collect()
    assert str(tmp_path) not in MAPS.read_text()
