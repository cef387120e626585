"""`.npz` files read row by row, and written: what NumPy reads and writes, without a pickle."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from strongbax.converters.npz import columns_of, is_npz, read_array, read_rows, require_rows
from strongbax.converters.npz_file import NpzWriter
from strongbax.vault.errors import FormatError, NotFoundError

ARRAYS = {
    "vectors": np.arange(35, dtype=np.float32).reshape(7, 5),
    "fortran": np.asfortranarray(np.arange(42.0).reshape(7, 3, 2)),
    "big": np.arange(7, dtype=">i4"),
    "flags": np.arange(7) % 2 == 0,
    "texts": np.array(["ä", "öffne", "", "x", "y", "z", "ß"]),
    "nothing": np.zeros((7, 0)),
    "frames": np.zeros((7, 4, 4, 3), np.uint8),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_rows_are_what_numpy_reads(tmp_path: Path, save, rows: int):
    """In blocks of any size, compressed or not, every dtype and order comes as `numpy.load` gives it."""
    path = tmp_path / "a.npz"
    save(path, **ARRAYS, seed=np.int64(3))
    columns = columns_of(path)
    assert require_rows(columns, ARRAYS, path) == 7
    blocks = list(read_rows(path, columns, ARRAYS, rows))
    assert [len(block["big"]) for block in blocks] == [min(rows, 7 - start) for start in range(0, 7, rows)]
    for key, values in ARRAYS.items():
        got = np.concatenate([block[key] for block in blocks])
        np.testing.assert_array_equal(got, values.astype(values.dtype.newbyteorder("=")), strict=True)
        np.testing.assert_array_equal(read_array(path, columns[key]), got, strict=True)
    assert read_array(path, columns["seed"]) == 3


@pytest.mark.parametrize("compressed", [True, False])
def test_numpy_reads_what_is_written(tmp_path: Path, compressed: bool):
    """What is written part by part is what `numpy.load` gives, and what we read."""
    path = tmp_path / "a.npz"
    with NpzWriter(path, compressed=compressed) as file:
        for key, values in ARRAYS.items():
            file.add(key, values.dtype, values.shape[1:], 7, iter([values[:3], values[3:]]))
        file.add_array("seed", np.array(3))
    with np.load(path, allow_pickle=False) as found:
        assert found.files == [*ARRAYS, "seed"]
        for key, values in ARRAYS.items():
            np.testing.assert_array_equal(found[key], values)
            assert found[key].dtype == values.dtype
    assert is_npz(path)


def test_a_pickle_is_never_loaded(tmp_path: Path):
    """An array of objects is seen for what it is by its header, and refused."""
    path = tmp_path / "a.npz"
    np.savez(path, infos=np.array([{}, {"a": 1}], object))
    column = columns_of(path)["infos"]
    assert column.is_pickle
    with pytest.raises(FormatError, match=r"`infos` of .*a\.npz holds Python objects"):
        read_array(path, column)
    with pytest.raises(FormatError, match="it is not done"):
        require_rows({"infos": column}, ["infos"], path)


def test_damage_is_told_by_file_and_key(tmp_path: Path):
    """No file, another file, a cut one, and one damaged within are four sentences."""
    with pytest.raises(NotFoundError, match=r"no file .*gone\.npz"):
        columns_of(tmp_path / "gone.npz")
    (tmp_path / "page.npz").write_text("<html>")
    assert not is_npz(tmp_path / "page.npz")
    with pytest.raises(FormatError, match=r"page\.npz \(6 bytes\) is no \.npz"):
        columns_of(tmp_path / "page.npz")
    path = tmp_path / "whole.npz"
    np.savez(path, rewards=np.random.default_rng(0).normal(size=3000))
    data = bytearray(path.read_bytes())
    (tmp_path / "cut.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match=r"cut\.npz .*cut off"):
        is_npz(tmp_path / "cut.npz")
    data[9000] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"`rewards` of .*whole\.npz cannot be read: Bad CRC"):
        list(read_rows(path, columns_of(path), ["rewards"], 1000))


def test_a_short_member_and_one_that_is_no_array_are_told(tmp_path: Path):
    """A header that promises more rows than there are, and bytes that are no array, are refused."""
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.zeros(100))
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        archive.writestr("rewards.npy", buffer.getvalue()[:-80])
        archive.writestr("actions.npy", b"hello")
    with pytest.raises(FormatError, match=r"`actions` of .*short\.npz is no array"):
        columns_of(tmp_path / "short.npz")
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        archive.writestr("rewards.npy", buffer.getvalue()[:-80])
    with pytest.raises(FormatError, match=r"`rewards` of .* 80 bytes are missing"):
        list(read_rows(tmp_path / "short.npz", columns_of(tmp_path / "short.npz"), ["rewards"], 60))


def test_keys_of_other_lengths_are_told(tmp_path: Path):
    """Rows that disagree, and a key without rows, are named."""
    path = tmp_path / "a.npz"
    np.savez(path, rewards=np.zeros(3), actions=np.zeros(2), seed=np.int64(1))
    columns = columns_of(path)
    with pytest.raises(FormatError, match=r"`actions` of .* has 2 rows where `rewards` has 3"):
        require_rows(columns, ["rewards", "actions"], path)
    with pytest.raises(FormatError, match=r"`seed` of .* must have one row a step"):
        require_rows(columns, ["seed"], path)
