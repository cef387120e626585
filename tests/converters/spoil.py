"""Ways to spoil a small dataset: missing keys, other lengths, NaN, damaged bytes."""

import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Spoil = Callable[[Any], Any]
ABSENT = "absent"  # among the rows: a key that is described and not stored


@dataclass(frozen=True)
class Example:
    """A dataset of one format.

    Attributes:
      format: its name.
      rows: what is in it: keys to arrays, or a list or dict of such, an episode each.
      save: writes rows into a folder, and returns the path to be converted.
      data: the file with the data below that path; none: the path itself.
      missing: how to leave out a key that is needed, and what is said then.
      uneven: how to make a key a row too short, and what is said then.
      nan: how to make one reward NaN, where there are rewards.
      damage: changes some bytes amid the data, where the format has means to tell.
    """

    format: str
    rows: Callable[[], Any]
    save: Callable[[Path, Any], Path]
    missing: tuple[Spoil, str]
    uneven: tuple[Spoil, str]
    nan: Spoil | None = None
    data: str = ""
    damage: Callable[[Path], None] | None = None

    def write(self, folder: Path, spoil: Spoil | None = None) -> Path:
        """Writes the dataset, spoilt or not."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = self.rows()
        return self.save(folder, rows if spoil is None else spoil(rows))

    def file(self, path: Path) -> Path:
        """The file with the data of a dataset."""
        return next(path.glob(self.data)) if self.data else path


def without(key: str) -> Spoil:
    return lambda rows: {name: values for name, values in rows.items() if name != key}


def shorter(key: str) -> Spoil:
    return lambda rows: rows | {key: rows[key][:-1]}


def absent(key: str) -> Spoil:
    """Describes a key that is not stored."""
    return lambda rows: rows | {ABSENT: key}


def with_nan(key: str, row: int = 1) -> Spoil:
    def spoil(rows: dict[str, Any]) -> dict[str, Any]:
        values = np.array(rows[key], copy=True)
        values.reshape(-1)[row] = np.nan
        return rows | {key: values}

    return spoil


def within(episode: Any, spoil: Spoil) -> Spoil:
    """Spoils one episode of a list, or of a dict by name."""

    def spoilt(rows: Any) -> Any:
        if isinstance(rows, dict):
            return rows | {episode: spoil(rows[episode])}
        return [spoil(one) if place == episode else one for place, one in enumerate(rows)]

    return spoilt


def flip(path: Path, at: int | None = None) -> None:
    """Changes a few bytes amid a file."""
    data = bytearray(path.read_bytes())
    at = len(data) // 2 if at is None else at
    for place in range(at, at + 8):
        data[place] ^= 0x5A
    path.write_bytes(data)


def flip_chunk(key: str) -> Callable[[Path], None]:
    """Damages a gzipped chunk of an HDF5 file's key."""

    def damage(path: Path) -> None:
        with h5py.File(path, "a") as file:
            values = file[key][()]
            del file[key]
            file.create_dataset(key, data=values, compression="gzip", chunks=(1, *values.shape[1:]))
        with h5py.File(path) as file:
            chunk = file[key].id.get_chunk_info(file[key].id.get_num_chunks() // 2)
        flip(path, chunk.byte_offset + chunk.size // 2)

    return damage


def flip_member(key: str) -> Callable[[Path], None]:
    """Damages the bytes of a key in an .npz file."""

    def damage(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            names = [one.filename for one in archive.infolist()]
            ends = [one.header_offset for one in archive.infolist()[1:]] + [archive.start_dir]
        flip(path, ends[names.index(f"{key}.npy")] - 9)

    return damage


def flip_column(key: str) -> Callable[[Path], None]:
    """Damages the bytes of a column of a Parquet file."""

    def damage(path: Path) -> None:
        group = pq.ParquetFile(path).metadata.row_group(0)
        columns = [group.column(at) for at in range(group.num_columns)]
        chunk = next(one for one in columns if one.path_in_schema.split(".list")[0] == key)
        flip(path, chunk.data_page_offset + chunk.total_compressed_size - 9)

    return damage


def flip_record(number: int) -> Callable[[Path], None]:
    """Damages the bytes of a record of a TFRecord file."""

    def damage(path: Path) -> None:
        data, at = path.read_bytes(), 0
        for _ in range(number):
            at += 16 + struct.unpack_from("<Q", data, at)[0]
        flip(path, at + 20)

    return damage


def hf_dt_with(key: str, change: Callable[[list[Any]], list[Any]]) -> Spoil:
    """Changes the first trajectory's list of a column."""

    def spoil(rows: dict[str, Any]) -> dict[str, Any]:
        first, *rest = rows[key].to_pylist()
        return rows | {key: pa.array([change(first), *rest], rows[key].type)}

    return spoil
