"""Every whole record of a log that may be damaged anywhere, and what is missing between them.

Opening a vault stops at damage, since it may not pass over what was committed. Here whoever asks wants what
is left, and is told what is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import CorruptionError
from .log import DIRECTORY, file_name, file_numbers
from .record import MAGIC, Record, decode
from .schema import Schema


@dataclass(frozen=True)
class Found:
    """What is left of a log.

    Attributes:
      records: whole ones, by their sequence, none twice.
      broken: file and byte where something stands that is no whole record.
    """

    records: tuple[Record, ...]
    broken: tuple[tuple[str, int], ...]

    def jumps(self, sequence: int) -> list[tuple[int, int]]:
        """Gives the runs of records that are missing between others, or before the first, by their sequence.

        Args:
          sequence: of the record that comes first behind the shards, at the latest.
        """
        runs: list[tuple[int, int]] = []
        for record in self.records:
            if record.sequence > sequence:
                runs.append((sequence, record.sequence))
            sequence = record.sequence + 1
        return runs

    def missing(self, length: int, committed: int) -> list[tuple[int, int]]:
        """Gives the runs of rows that neither shards nor records hold.

        Args:
          length: rows that the shards hold.
          committed: rows that are known to have been committed; at least `length`.
        """
        runs: list[tuple[int, int]] = []
        for record in self.records:
            if record.row > length:
                runs.append((length, record.row))
            length = max(length, record.stop)
        return [*runs, (length, committed)] if committed > length else runs


def scan_log(path: Path, schema: Schema, first: int) -> Found:
    """Reads the log files with a number of at least `first`, past all damage.

    Args:
      path: folder of the vault.
      schema: of its records.
      first: number of the first file that counts.
    """
    records: dict[int, Record] = {}
    broken: list[tuple[str, int]] = []
    for number in file_numbers(path / DIRECTORY):
        if number >= first:
            file = path / DIRECTORY / file_name(number)
            try:
                found, wrong = _scan(file.read_bytes(), schema)
            except OSError:
                found, wrong = [], [0]
            records |= {record.sequence: record for record in found}
            broken += [(file.name, offset) for offset in wrong]
    return Found(_in_order(list(records.values())), tuple(broken))


def _in_order(records: Sequence[Record]) -> tuple[Record, ...]:
    """Puts records in order, and leaves out those that do not follow what stands before them."""
    kept: list[Record] = []
    for record in sorted(records, key=lambda record: record.sequence):
        if not kept or record.row >= kept[-1].stop:
            kept.append(record)
    return tuple(kept)


def _scan(data: bytes, schema: Schema) -> tuple[list[Record], list[int]]:
    records: list[Record] = []
    broken: list[int] = []
    view, offset, whole = memoryview(data), 0, True
    while 0 <= offset < len(data):
        try:
            found = decode(view, offset, schema)
        except CorruptionError:
            found = None
        if found is not None:
            records.append(found[0])
            offset, whole = found[1], True
            continue
        if whole and any(data[offset:]):  # zeros at the end are room that was reserved
            broken.append(offset)
        offset, whole = data.find(MAGIC, offset + 1), False
    return records, broken
