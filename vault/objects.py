"""Objects: the files of a vault that lies on an object store, seen as paths.

`ObjectPath` has of `pathlib.Path` what a vault needs, so reading is the same code for both. An object is
written whole or not at all, and `put_new` writes it only where none stands: that is all that a commit needs.
"""

import fnmatch
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from .errors import StorageError

_NO_OBJECT = b"\x02"  # TensorStore's generation of a key that holds nothing
_LOST = b""  # the generation that a refused write gives
_PATIENCE = 60.0  # seconds for one request and its retries; a store that swallows packets answers never
_REFUSALS = re.compile(
    "ABORTED|UNAVAILABLE|DEADLINE_EXCEEDED|PERMISSION_DENIED|UNAUTHENTICATED|RESOURCE_EXHAUSTED|[Cc]redential"
    "|ignored by server"  # of a part that was asked for
)
_MENDS = {
    "NoSuchBucket": "Make the bucket, or look at its name. ",
    "PERMISSION_DENIED|UNAUTHENTICATED|[Cc]redential|code='40[13]'": "Look at the credentials: for s3 "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or `storage={'credentials': …}`. ",
    "ignored by server": "The web server must answer requests for a part of a file (Range); nginx does. ",
    "CURL|retry attempts|UNAVAILABLE|resolve|did not answer": "Look whether it can be reached, and at "
    "`storage={'endpoint': …}`. ",
}
_CACHED_BYTES = 64 << 20  # indexes of shards, which every short read needs


@dataclass(frozen=True)
class Bucket:
    """An object store.

    Attributes:
      url: of the store, without a key.
      spec: TensorStore's description of it, as JSON text.
      single_writer: whether the user vouches that one process alone ever writes, so that looking whether an
        object is there before it is created is enough.
    """

    url: str
    spec: str
    single_writer: bool = False

    @property
    def lists(self) -> bool:
        """Whether it tells which objects it has; web servers do not."""
        return not self.url.startswith("http")

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Any:
        """Begins to read bytes of an object; the future gives None where there is none."""
        return self._kv().read(key, byte_range=slice(start, stop) if start or stop is not None else None)

    def put(self, key: str, data: bytes) -> Any:
        """Begins to write an object, in the place of one that may stand there."""
        return self._kv().write(key, data)

    def put_new(self, key: str, data: bytes) -> Any:
        """Begins to write an object where none stands."""
        return self._kv(exact=True).write(key, data, if_equal=_NO_OBJECT)

    def delete(self, key: str) -> Any:
        """Begins to delete an object."""
        return self._kv().write(key, None)

    def keys(self, prefix: str) -> list[str]:
        """Gives the keys that begin with a prefix, in order."""
        import tensorstore as ts

        upper = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else ""
        found = self.wait(self._kv().list(ts.KvStore.KeyRange(prefix, upper)), "list")
        return sorted(key.decode() for key in found)

    def wait(self, future: Any, doing: str) -> Any:
        """Waits for a request.

        Raises:
          StorageError: if the store does not answer, or refuses.
        """
        try:
            return future.result(timeout=_PATIENCE)
        except (ValueError, OSError, RuntimeError, NotImplementedError, KeyError) as error:
            raise storage_error(error, self.url, doing) from error

    def _kv(self, *, exact: bool = False) -> Any:
        return _open(self.spec, exact)


def storage_error(error: Exception, where: str, doing: str) -> StorageError:
    """Says in a sentence what an object store refused."""
    text = str(error) or "it did not answer"
    mend = next((mend for pattern, mend in _MENDS.items() if re.search(pattern, text)), "")
    said = text.split(" [", maxsplit=1)[0][:300]  # the rest is where in TensorStore, and the whole answer
    return StorageError(f"Could not {doing} {where!r}: {said}. {mend}Nothing that was committed is lost.")


def is_refusal(error: Exception) -> bool:
    """Says whether an error of TensorStore tells of the store and not of the bytes in it."""
    return _REFUSALS.search(str(error)[:400]) is not None


@functools.cache
def context() -> Any:
    """TensorStore's context for object stores, in which `memory://` is one store."""
    import tensorstore as ts

    return ts.Context({"cache_pool": {"total_bytes_limit": 0}, "memory_key_value_store": {}})


@functools.cache
def cached_context() -> Any:
    """The same for reading shards, which remembers their indexes."""
    import tensorstore as ts

    return ts.Context({"cache_pool": {"total_bytes_limit": _CACHED_BYTES}}, parent=context())


@functools.cache
def _open(spec: str, exact: bool) -> Any:
    import tensorstore as ts

    return ts.KvStore.open(_conditional(json.loads(spec), exact=exact), context=context()).result()


def _conditional(spec: dict[str, Any], *, exact: bool) -> dict[str, Any]:
    # Left to itself TensorStore asks with If-Match, which Ceph 16 always refuses.
    return spec | {"use_conditional_write": exact} if spec["driver"] == "s3" else spec


@dataclass(frozen=True)
class ObjectPath:
    """An object, or a folder of objects, by its key.

    Attributes:
      bucket: that it is in.
      key: without a slash at either end.

    Example:
      >>> from strongbax.vault.location import location_of
      >>> path = location_of("memory://runs/hopper.vault")
      >>> (path / "log" / "00000007.log").write_bytes(b"record")
      >>> [str(file) for file in (path / "log").glob("*.log")]
      ['memory://runs/hopper.vault/log/00000007.log']
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

    def found(self, future: Any) -> bytes:
        """Waits for a read that was begun, and gives its bytes; raises as `read_bytes`."""
        found = self.bucket.wait(future, "read")
        if found.state != "value":
            raise FileNotFoundError(f"There is no object {str(self)!r}.")
        return found.value

    def is_file(self) -> bool:
        """Says whether there is such an object."""
        try:
            self.read_range(0, 1)
        except FileNotFoundError:
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
        self.bucket.wait(self.bucket.put(self.key, data), "write to")

    def put_new(self, data: bytes) -> bool:
        """Writes the object where none stands; says whether it did."""
        if self.bucket.single_writer:
            if self.is_file():
                return False
            self.write_bytes(data)
            return True
        return self.bucket.wait(self.bucket.put_new(self.key, data), "write to").generation != _LOST

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Deletes the object; that it is not there is no error."""
        del missing_ok  # stores do not tell
        self.bucket.wait(self.bucket.delete(self.key), "delete from")

    def kvstore(self) -> dict[str, Any]:
        """Describes the folder to TensorStore, for data that one writer writes."""
        spec = _conditional(json.loads(self.bucket.spec), exact=False)
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
