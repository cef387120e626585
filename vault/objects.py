"""Objects: the files of a vault that lies on an object store, seen as paths.

`ObjectPath` has of `pathlib.Path` what a vault needs, so reading is the same code for both. An object is
written whole or not at all, and `put_new` writes it only where none stands: that is all that a commit needs.
"""

import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from .bucket import LOST, Bucket, conditional
from .errors import StorageError


@dataclass(frozen=True)
class ObjectPath:
    """An object, or a folder of objects, by its key.

    Attributes:
      bucket: that it is in.
      key: without a slash at either end.

    Example:
      >>> from strongbax.vault.location import location_of
      >>> path = location_of("memory://an/example.vault")
      >>> (path / "log" / "00000007.log").write_bytes(b"record")
      >>> [str(file) for file in (path / "log").glob("*.log")]
      ['memory://an/example.vault/log/00000007.log']
    """

    bucket: Bucket
    key: str

    def __str__(self) -> str:
        return f"{self.bucket.url}{self.key}"

    def __truediv__(self, name: str) -> "ObjectPath":
        return ObjectPath(self.bucket, f"{self.key}/{name}" if self.key else name)

    def __lt__(self, other: "ObjectPath") -> bool:
        return self.key < other.key

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """What follows the last dot of the name, with it."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "ObjectPath":
        """The folder that it is in."""
        return ObjectPath(self.bucket, self.key.rpartition("/")[0])

    def as_posix(self) -> str:
        """Gives the URL."""
        return str(self)

    # -- reading

    def read_bytes(self) -> bytes:
        """Reads the object.

        Raises:
          FileNotFoundError: if there is none.
          StorageError: if the store does not answer, or refuses.
        """
        return self.found(self.bucket.read(self.key))

    def read_range(self, start: int, stop: int) -> bytes:
        """Reads bytes `[start, stop)` of the object; it has as many.

        Raises:
          FileNotFoundError, StorageError: as `read_bytes`.
        """
        return self.found(self.bucket.read(self.key, start, stop))

    def found(self, future: Any, size: int = 0) -> bytes:
        """Waits for a read that was begun, of at most so many bytes; raises as `read_bytes`."""
        found = self.bucket.wait(future, "read", size)
        if found.state != "value":
            raise FileNotFoundError(f"There is no object {str(self)!r}.")
        return found.value

    def is_file(self) -> bool:
        """Says whether there is such an object."""
        try:
            self.read_range(0, 1)
        except FileNotFoundError:
            return False
        except StorageError as error:
            # A public bucket that may not be listed does not tell what it lacks from what it hides.
            if self.bucket.lists or "PERMISSION_DENIED" not in str(error):
                raise
            return False
        return True

    def is_dir(self) -> bool:
        """Says whether there is an object below; where a store cannot tell, no."""
        return bool(self.below())

    def exists(self) -> bool:
        """Says whether it is an object or a folder."""
        return self.is_file() or self.is_dir()

    def iterdir(self) -> Iterator["ObjectPath"]:
        """Gives what is in the folder."""
        names = dict.fromkeys(key.split("/", 1)[0] for key in self.below())
        return (self / name for name in names)

    def glob(self, pattern: str) -> Iterator["ObjectPath"]:
        """Gives the objects in the folder whose name fits; the pattern may begin with names of folders."""
        folders, _, last = pattern.rpartition("/")
        place = self / folders if folders else self
        names = [key for key in place.below() if "/" not in key]
        return (place / name for name in names if fnmatch.fnmatchcase(name, last))

    def rglob(self, name: str) -> Iterator["ObjectPath"]:
        """Gives the objects of a name in this folder and below."""
        return (self / key for key in self.below() if key.rpartition("/")[2] == name)

    def below(self) -> list[str]:
        """Gives what is below, by its way from here."""
        if not self.bucket.lists:
            return []
        prefix = f"{self.key}/" if self.key else ""
        return [key[len(prefix) :] for key in self.bucket.keys(prefix)]

    # -- writing

    def write_bytes(self, data: bytes) -> None:
        """Writes the object, in the place of one that may stand there."""
        self.bucket.wait(self.bucket.put(self.key, data), "write to", len(data))

    def put_new(self, data: bytes) -> bool:
        """Writes the object where none stands; says whether it did."""
        if self.bucket.single_writer:
            if self.is_file():
                return False
            self.write_bytes(data)
            return True
        written = self.bucket.wait(self.bucket.put_new(self.key, data), "write to", len(data))
        return written.generation != LOST

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Deletes the object; that it is not there is no error."""
        del missing_ok  # stores do not tell
        self.bucket.wait(self.bucket.delete(self.key), "delete from")

    def kvstore(self) -> dict[str, Any]:
        """Describes the folder to TensorStore, for data that one writer writes."""
        spec = conditional(json.loads(self.bucket.spec), exact=False)
        return spec | {"path": f"{spec.get('path', '')}{self.key}/"}

    def check_writable(self) -> None:
        """Checks that objects can be written there at all.

        Raises:
          StorageError: on a web server.
        """
        if not self.bucket.lists:
            raise StorageError(
                f"{str(self)!r} is on a web server, which takes no writes. Open it with mode='r', or "
                "write to a local path or a bucket."
            )


def write_all(contents: Mapping[ObjectPath, bytes]) -> None:
    """Writes objects all at once, each in the place of one that may stand there.

    Raises:
      StorageError: if one cannot be written; others may be.
    """
    pending = [(path.bucket, path.bucket.put(path.key, data)) for path, data in contents.items()]
    for bucket, future in pending:
        bucket.wait(future, "write to")


def delete_all(paths: Sequence[ObjectPath]) -> None:
    """Deletes objects all at once.

    Raises:
      StorageError: if one cannot be deleted; others may be.
    """
    pending = [(path.bucket, path.bucket.delete(path.key)) for path in paths]
    for bucket, future in pending:
        bucket.wait(future, "delete from")
