"""TensorStore, set up for a vault: it writes every shard, and reads the compressed ones.

Its own file locks are off: a stale `<key>.__lock` that a crash leaves behind would lend its bytes to a
later, shorter value (TensorStore 0.1.70 to 0.1.86). The vault's own lock admits one writer.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .arrays import ArraySpec
from .bucket import cached_context, context
from .dtypes import NpArray
from .location import Location
from .objects import ObjectPath

UNBOUNDED = 1 << 50  # TensorStore's view of the growing axis; the committed length is ours to keep
STALE_LOCK = "*.__lock"
ALIGNMENT = 64  # jax.device_put of such a buffer is zero-copy on CPU


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NpArray:
    """Allocates an array whose memory JAX can take over without a copy."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % ALIGNMENT
    return raw[offset : offset + size].view(dtype).reshape(shape)


@functools.cache
def _first_user() -> int:
    """The process that used TensorStore first: this one, or one that it was forked from."""
    return os.getpid()


@functools.cache
def _context() -> Any:
    import tensorstore as ts

    return ts.Context({"cache_pool": {"total_bytes_limit": 0}, "file_io_locking": {"mode": "none"}})


def open_store(root: Location, array: ArraySpec, *, writable: bool = False) -> Any:
    """Opens an array, of unbounded length where it is to be written."""
    import tensorstore as ts

    if _first_user() != os.getpid():
        raise RuntimeError(
            "A forked process cannot read compressed leaves here: TensorStore, which was used before the "
            "fork, would abort it. Spawn workers, in PyTorch by `multiprocessing_context='spawn'`."
        )
    folder = root / array.path
    remote = isinstance(folder, ObjectPath)
    spec = array.grown(UNBOUNDED) if writable else array
    metadata = spec.to_dict()
    del metadata["node_type"], metadata["attributes"]
    description = {
        "driver": "zarr3",
        "kvstore": folder.kvstore() if remote else {"driver": "file", "path": f"{folder}/"},
        "metadata": metadata,
        "assume_metadata": True,
        "open": True,
        "store_data_equal_to_fill_value": True,
        "fill_missing_data_reads": False,
        # An index that was fetched before an array was opened may be of a shard that was replaced since.
        "recheck_cached_data": "open" if remote else False,
    }
    where = (context() if writable else cached_context()) if remote else _context()
    return ts.open(description, context=where, read=True, write=writable).result()


def begin_write(store: Any, array: ArraySpec, start: int, values: NpArray) -> Any:
    """Begins to write rows from `start` on.

    Returns:
      A future; when it is done, the shards are durable under their names. `values` must not change
      before that.
    """
    stored = array.stored.to_disk(values)
    rows = slice(start, start + values.shape[array.axis])
    place = (slice(None),) * array.axis + (rows,)
    return store[place].write(stored, can_reference_source_data_indefinitely=True)


def read_into(store: Any, array: ArraySpec, place: tuple[slice, ...], out: NpArray) -> None:
    """Reads a slice into `out`, in parallel over inner chunks.

    Raises:
      ValueError: TensorStore's, if a chunk is missing or damaged.
    """
    import tensorstore as ts

    stored = array.stored
    if stored.base == stored.dtype and out.flags.c_contiguous:
        ts.array(out).write(store[place], can_reference_source_data_indefinitely=True).result()
    else:
        out[...] = stored.from_disk(store[place].read().result())


def read_rows(store: Any, array: ArraySpec, rows: NpArray) -> NpArray:
    """Reads rows of a table, int64 `[N]`, each inner chunk once.

    Raises:
      ValueError: TensorStore's, if a chunk is missing or damaged.
    """
    return array.stored.from_disk(store[rows].read().result())


def read_many(store: Any, array: ArraySpec, parts: Sequence[tuple[tuple[slice, ...], NpArray]]) -> None:
    """Reads slices into arrays, all at once.

    Raises:
      ValueError: TensorStore's, if a chunk is missing or damaged.
    """
    import tensorstore as ts

    stored = array.stored
    if stored.base == stored.dtype:
        reads = [
            ts.array(out).write(store[place], can_reference_source_data_indefinitely=True)
            for place, out in parts
        ]
        for read in reads:
            read.result()
        return
    pending = [(store[place].read(), out) for place, out in parts]
    for read, out in pending:
        out[...] = stored.from_disk(read.result())
