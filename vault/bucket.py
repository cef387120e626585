"""A bucket: how TensorStore reaches an object store, and what a request that failed means."""

import functools
import json
import re
from dataclasses import dataclass
from typing import Any

from .errors import StorageError

_NO_OBJECT = b"\x02"  # TensorStore's generation of a key that holds nothing
LOST = b""  # the generation that a refused write gives
_PATIENCE = 60.0  # seconds for one request and its retries; a store that swallows packets answers never
_SLOWEST = 1 << 20  # bytes a second, of what is large
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

    def wait(self, future: Any, doing: str, size: int = 0) -> Any:
        """Waits for a request, of at most so many bytes; longer where they are many.

        Raises:
          StorageError: if the store does not answer, or refuses.
        """
        try:
            return future.result(timeout=_PATIENCE + size / _SLOWEST)
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

    return ts.KvStore.open(conditional(json.loads(spec), exact=exact), context=context()).result()


def conditional(spec: dict[str, Any], *, exact: bool) -> dict[str, Any]:
    """Says whether creations ask the store to refuse them where an object stands."""
    # Left to itself TensorStore asks with If-Match, which Ceph 16 always refuses.
    return spec | {"use_conditional_write": exact} if spec["driver"] == "s3" else spec
