"""The log as objects: a record is one object, and creating it is the commit.

```
# writer A   log/7 log/8                 log/9 refused: it is a claim, and not A's. A is told, and ends
# writer B               claim log/9 log/10 log/11 …
```
A store creates an object only where none stands, so of two writers one comes to have a number. A writer
*claims* the vault before its first change with an empty record; that stays for ever, so that the writer
before it, however long it slept, meets it at its next number. A dead writer leaves nothing that others
would have to wait for.
"""

import json
import logging
import os
import secrets
import socket
import struct
import threading

import numpy as np

from . import log
from .checksum import crc32c
from .errors import LockedError, StorageError
from .journal import Ends, end_of, first_needed
from .manifest import FILE as MANIFEST
from .objects import ObjectPath, write_all
from .record import HEADER, Record, encode
from .root import FILE, LOCK, Root, document
from .running import empty_rows
from .tail import State

_SESSION_BYTES = 8  # at the end of a record's header: a number of the writer's own

_logger = logging.getLogger(__name__)


class ObjectJournal:
    """The log of a vault on an object store.

    Args:
      path: of the vault.

    Raises:
      StorageError: if nothing can be written there.
    """

    holds_blocks = True

    def __init__(self, path: ObjectPath) -> None:
        path.check_writable()
        self._path, self._directory = path, path / log.DIRECTORY
        self.claimed = False
        self._session = secrets.token_bytes(_SESSION_BYTES)
        self._lost: str | None = None
        self._mutex = threading.RLock()

    def read(self) -> tuple[Root, list[Record]]:
        """Reads root and log as of one moment: the next number must be that of the writer before.

        Raises:
          LockedError: if another writer has the vault by now.
        """
        self._check_held()
        root, replayed = log.look(self._path)
        self._schema = root.schema
        self._ends: Ends = {number: end_of(record) for record, number in replayed.records}
        self._empty = {number for record, number in replayed.records if _is_claim(record)}
        self._older = [number for number in replayed.files if number < root.log]
        self._next = max([root.log, *(number + 1 for number in replayed.files)])
        return root, [record for record, _ in replayed.records]

    def tidy(self, root: Root) -> None:
        """Removes records that shards hold; claims stay."""
        del root
        if not self.claimed:
            return
        (self._path / MANIFEST).unlink()  # it will not hold any more
        files = [self._file(number) for number in self._older]
        pending = [file.bucket.read(file.key, 0, HEADER.size) for file in files]
        for file, future in zip(files, pending, strict=True):
            try:
                if not _is_claim_header(file.found(future)):
                    file.unlink()
            except FileNotFoundError:
                continue

    def claim(self, state: State) -> None:
        """Writes an empty record, and looks whether the store keeps the promise that all rests on."""
        schema, rows = self._schema, empty_rows(self._schema)
        none = [np.zeros((schema.streams, 0, *leaf.shape), leaf.dtype) for leaf in schema.leaves]
        leaves = dict(zip(schema.names, none, strict=True))
        number, length, episodes = state.sequence, state.length, state.episodes
        record = Record(number, length, 0, episodes, leaves, rows, state.running, state.added, ())
        file, data = self._file(self._next), self._encode(record)
        self._create(file, data)
        check_create_only(file, data)
        self.claimed = True
        owner = {"host": socket.gethostname(), "process": os.getpid(), "session": self._session.hex()}
        (self._path / LOCK).write_bytes(json.dumps(owner).encode())

    def check(self) -> None:
        """Looks whether the next number is free of others' claims."""
        self._check_held()
        number = self._next
        while (header := _header(self._file(number))) is not None:
            if header[-_SESSION_BYTES:] != self._session:
                self._give_up()
            number += 1

    def append(self, record: Record) -> None:
        """Creates an object."""
        self._check_held()
        number, data = self._next, self._encode(record)
        with self._mutex:
            self._ends[number] = end_of(record)
        self._create(self._file(number), data)
        self._next = number + 1

    def _encode(self, record: Record) -> bytes:
        header, *parts = encode(record, self._schema)
        signed = header[log.CHECKED : -_SESSION_BYTES] + self._session
        return b"".join([header[:4], struct.pack("<I", crc32c(signed)), signed, *parts])

    def _create(self, file: ObjectPath, data: bytes) -> None:
        """Creates an object; if another writer's stands there the vault is lost to this one."""
        try:
            done = file.put_new(data)
        except StorageError:
            # An answer may be lost on its way, while the store has the object.
            if _header(file) != data[: HEADER.size]:
                raise
            done = True
        if done:
            return
        there = _header(file)
        if there is None or there[-_SESSION_BYTES:] != self._session:
            self._give_up()
        elif there != data[: HEADER.size]:
            raise StorageError(
                f"A flush of {str(self._path)!r} that had failed was committed after all, a moment ago. "
                "Write again: it goes on behind that."
            )

    def _check_held(self) -> None:
        if self._lost is not None:
            raise LockedError(self._lost)

    def _give_up(self) -> None:
        try:
            owner = json.loads((self._path / LOCK).read_bytes())
            who = f"process {owner['process']} on {owner['host']}"
        except (OSError, ValueError, LookupError, TypeError):
            who = "another process"
        self._lost = (
            f"The vault {str(self._path)!r} is being written by {who}: one writer at a time. What this one "
            "committed is in it. Close this one; open with mode='r', or again with mode='a' to take over."
        )
        raise LockedError(self._lost)

    def rotate(self, length: int) -> None:
        """Does nothing: every record has an object of its own."""

    def first_beyond(self, stop: int, sequence: int) -> int:
        """Gives the number of the first object that is needed once a seal ends there."""
        with self._mutex:
            return first_needed(self._ends, stop, sequence, self._next)

    def drop(self, first: int) -> None:
        """Deletes the objects before a number, but for claims."""
        with self._mutex:
            numbers = [number for number in self._ends if number < first]
            for number in numbers:
                del self._ends[number]
        bucket = self._path.bucket
        pending = [bucket.delete(self._file(n).key) for n in numbers if n not in self._empty]
        for future in pending:
            try:
                bucket.wait(future, "delete from")
            except StorageError as error:
                _logger.warning("A log object is no longer needed, but stays: %s", error)

    def replace_root(self, root: Root) -> None:
        """Writes the root, after a look whether the vault is still this writer's."""
        self.check()
        (self._path / FILE).write_bytes(root.encode())

    def write_documents(self, root: Root) -> None:
        """Writes all of them."""
        write_all({self._path / array.path / FILE: document(array.to_dict()) for array in root.arrays()})

    def restore(self) -> None:
        """Does nothing: an object is there whole, or not at all."""

    def release(self) -> None:
        """Does nothing: whoever claims the vault next has it."""

    def _file(self, number: int) -> ObjectPath:
        return self._directory / log.file_name(number)


def _header(file: ObjectPath) -> bytes | None:
    try:
        return file.read_range(0, HEADER.size)
    except FileNotFoundError:
        return None


def check_create_only(file: ObjectPath, data: bytes) -> None:
    """Checks that a store refuses to create an object that is there.

    Raises:
      StorageError: if it overwrites it.
    """
    if file.put_new(data):
        raise StorageError(
            f"The store of {str(file)!r} overwrites an object where it was asked to create one "
            "(If-None-Match): two writers would destroy each other's steps. Where one process alone ever "
            "writes, say so with `storage={'single_writer': True}`; else write to a local path and copy it."
        )


def _is_claim(record: Record) -> bool:
    return record.steps == 0 and len(record.rows) == 0


def _is_claim_header(header: bytes) -> bool:
    _, _, _, _, steps, _, _, episodes, _ = HEADER.unpack(header)
    return steps == 0 and episodes == 0
