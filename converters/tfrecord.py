"""TFRecord files: records end to end, each framed by its length and two masked CRC-32C.

```
# u64 length | u32 crc of the length | data | u32 crc of the data      little endian
```
"""

import gzip
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ..vault.checksum import crc32c
from ..vault.errors import FormatError, NotFoundError

_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")
_GZIP = b"\x1f\x8b"
_MASK = 0xA282EAD8  # so that the checksum of data that holds checksums is no special value


def read_records(path: Path, first: int = 0) -> Iterator[bytes]:
    """Yields the records of a file, one in memory at a time.

    Args:
      path: of a file, gzipped or not.
      first: records before it are passed over: of them only the lengths are read.

    Raises:
      NotFoundError: if there is no file.
      FormatError: at the first record whose checksum is wrong, or that is cut off.

    Example:
      >>> write_records(Path("a.tfrecord"), [b"one", b""])
      [(2, 35)]
      >>> list(read_records(Path("a.tfrecord")))
      [b'one', b'']
      >>> list(read_records(Path("a.tfrecord"), first=1))
      [b'']
    """
    if not path.is_file():
        raise NotFoundError(f"`path` must be a TFRecord file; there is no file {path}.")
    with path.open("rb") as plain:
        if not _is_gzip(plain):
            yield from _records(plain, path, first, path.stat().st_size)
            return
        try:
            with gzip.GzipFile(fileobj=plain) as file:
                yield from _records(file, path, first, None)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FormatError(f"{path} cannot be unpacked: {error}. Fetch or copy it again.") from error


def _is_gzip(file: IO[bytes]) -> bool:
    """Says whether a file is gzipped; a record's length may begin with the same bytes, its checksum tells."""
    head = file.read(_HEAD.size)
    file.seek(0)
    framed = len(head) == _HEAD.size and masked_crc(head[:8]) == _HEAD.unpack(head)[1]
    return head.startswith(_GZIP) and not framed


def _records(file: IO[bytes] | gzip.GzipFile, path: Path, first: int, size: int | None) -> Iterator[bytes]:
    number = start = 0
    while head := file.read(_HEAD.size):
        if len(head) < _HEAD.size:
            raise _bad(path, number, start, "is cut off")
        length, crc = _HEAD.unpack(head)
        if masked_crc(head[:8]) != crc:
            raise _bad(path, number, start, "has a length whose checksum is wrong")
        start += _HEAD.size + length + _TAIL.size
        if size is not None and start > size:
            raise _bad(path, number, start, f"is cut off: it ends at byte {start} of {size}")
        number += 1
        if number <= first:
            if file.seek(start) != start:
                raise _bad(path, number - 1, start, "is cut off")
            continue
        data, tail = file.read(length), file.read(_TAIL.size)
        if len(tail) < _TAIL.size:
            raise _bad(path, number - 1, start, "is cut off")
        if masked_crc(data) != _TAIL.unpack(tail)[0]:
            raise _bad(path, number - 1, start, "has a checksum that is not that of its bytes")
        yield data


def write_records(path: Path, records: Iterable[bytes], limit: int | None = None) -> list[tuple[int, int]]:
    """Writes records to one file, or to several: `limit` bytes each, numbered `path.0`, `path.1`, ….

    Args:
      path: of the file.
      records: taken one after the other.
      limit: of bytes in a file; a new one begins with the record that would not fit.

    Returns:
      The records and the bytes of each file.

    Example:
      >>> write_records(Path("b.tfrecord"), [b"one", b"two"], limit=30)
      [(1, 19), (1, 19)]
      >>> list(read_records(Path("b.tfrecord.1")))
      [b'two']
    """
    written = [(0, 0)]
    file = _numbered(path, 0, limit).open("wb")
    try:
        for record in records:
            framed = frame(record)
            count, size = written[-1]
            if limit is not None and count and size + len(framed) > limit:
                file.close()
                file = _numbered(path, len(written), limit).open("wb")
                written.append((0, 0))
                count = size = 0
            file.write(framed)
            written[-1] = (count + 1, size + len(framed))
    finally:
        file.close()
    return written


def _numbered(path: Path, number: int, limit: int | None) -> Path:
    return path if limit is None else path.with_name(f"{path.name}.{number}")


def frame(record: bytes) -> bytes:
    """Returns a record with its length and checksums around it."""
    length = struct.pack("<Q", len(record))
    return b"".join([length, _TAIL.pack(masked_crc(length)), record, _TAIL.pack(masked_crc(record))])


def masked_crc(data: bytes) -> int:
    """Returns the checksum as TFRecord has it.

    Example:
      >>> f"{masked_crc(b'123456789'):08x}"
      'c78ab0e5'
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def _bad(path: Path, number: int, start: int, what: str) -> FormatError:
    return FormatError(
        f"Record {number} of {path} {what} (byte {start}). A TFRecord file has a checksum at each record: "
        "this one is damaged or none; fetch or copy it again."
    )
