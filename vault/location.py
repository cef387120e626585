"""Where a vault lies: in a folder, or on an object store. A URL says which, and how to reach it."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

import numpy as np

from .bucket import Bucket
from .dtypes import NpArray
from .errors import LockedError, StorageError
from .files import make_directories, replace
from .mapped import map_file
from .objects import ObjectPath

_RETRIES = {"max_retries": 5, "initial_delay": "100ms", "max_delay": "1s"}  # TensorStore's own take minutes
_LARGE = 1 << 29  # bytes that a record or a shard may have, as far as the patience for it goes
_BROKEN_URL = re.compile(r"(s3|gs|memory|https?|file):/")
_URL = re.compile(r"([a-z][a-z0-9+]*)://(.*)", re.DOTALL)

Location: TypeAlias = Path | ObjectPath  # where a vault lies


def location_of(path: str | Path | ObjectPath, storage: Mapping[str, Any] | None = None) -> Location:
    """Makes a place of what a user gave: a URL, or a path, made independent of the working directory.

    Args:
      path: of a vault.
      storage: how to reach an object store: `endpoint`, `region`, `credentials`, or TensorStore's own names;
        `single_writer` where it cannot create an object only if none is there.

    Raises:
      ValueError: if the URL names no vault, or a store that this version does not know.
    """
    if isinstance(path, ObjectPath):
        return path
    if isinstance(path, Path) and _BROKEN_URL.match(str(path)):
        raise ValueError(f"`path` must be text where it is a URL: the Path {str(path)!r} has lost a slash.")
    match = _URL.fullmatch(path) if isinstance(path, str) else None
    if match is None or match[1] == "file":
        if storage:
            raise ValueError(f"`storage` is for object stores: {str(path)!r} is a local path.")
        local = Path(path if match is None else _file_path(match[2])).expanduser()
        return Path(os.path.abspath(local))  # noqa: PTH100 - Path.resolve would follow links
    scheme, rest = match[1], match[2]
    if scheme not in _MAKERS:
        raise ValueError(
            "`path` must be a local path or a URL that begins with one of "
            f"{[*_MAKERS, 'file']}: got {path!r}."
        )
    return _MAKERS[scheme](f"{scheme}://{rest}", dict(storage or {}))


def folder_of(path: str | Path | ObjectPath) -> Path:
    """Makes a path of what a user gave, where it must be one.

    Raises:
      StorageError: if it is on an object store.

    Example:
      >>> folder_of("file:///runs/a.vault")
      PosixPath('/runs/a.vault')
    """
    place = location_of(path)
    if not isinstance(place, Path):
        raise StorageError(
            f"`path` must be of a folder: {str(place)!r} is on an object store. Copy it to or from a folder."
        )
    return place


def _file_path(rest: str) -> str:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise ValueError(f"`path` must be an absolute one in a file URL, 'file:///…': got 'file://{rest}'.")
    return f"/{unquote(path)}"


def _clean(key: str, url: str) -> str:
    parts = [part for part in key.split("/") if part]
    if not parts or not {".", ".."}.isdisjoint(parts):
        raise ValueError(
            f"`path` must name a vault below its store, 's3://bucket/runs/my.vault': got {url!r}."
        )
    return "/".join(parts)


def _s3(url: str, storage: dict[str, Any]) -> ObjectPath:
    bucket, _, key = url.partition("://")[2].partition("/")
    spec: dict[str, Any] = {"driver": "s3", "bucket": bucket, "s3_request_retries": _RETRIES}
    region = storage.pop("region", None) or ("us-east-1" if "endpoint" in storage else None)
    credentials = storage.pop("credentials", "environment")
    spec |= {"aws_region": region} if region else {}
    spec["aws_credentials"] = {"type": credentials} if isinstance(credentials, str) else credentials
    return ObjectPath(_bucket(f"s3://{bucket}/", spec | storage), _clean(key, url))


def _gs(url: str, storage: dict[str, Any]) -> ObjectPath:
    bucket, _, key = url.partition("://")[2].partition("/")
    spec = {"driver": "gcs", "bucket": bucket, "gcs_request_retries": _RETRIES}
    return ObjectPath(_bucket(f"gs://{bucket}/", spec | storage), _clean(key, url))


def _memory(url: str, storage: dict[str, Any]) -> ObjectPath:
    return ObjectPath(
        _bucket("memory://", {"driver": "memory"} | storage), _clean(url.partition("://")[2], url)
    )


def _web(url: str, storage: dict[str, Any]) -> ObjectPath:
    split = urlsplit(url)
    if split.query or split.fragment:
        raise ValueError(f"`path` must be a URL without a query: got {url!r}.")
    base = f"{split.scheme}://{split.netloc}"
    spec = {"driver": "http", "base_url": base, "path": "/", "http_request_retries": _RETRIES}
    return ObjectPath(_bucket(f"{base}/", spec | storage), _clean(split.path, url))


def _bucket(url: str, spec: dict[str, Any]) -> Bucket:
    single = bool(spec.pop("single_writer", False))
    try:
        return Bucket(url, json.dumps(spec, sort_keys=True), single)
    except TypeError as error:
        raise TypeError(f"`storage` must hold what JSON can hold: {error}.") from error


_MAKERS = {"s3": _s3, "gs": _gs, "memory": _memory, "http": _web, "https": _web}


# -- what is done to files and to objects alike


def contents_of(file: Location) -> NpArray:
    """Gives the bytes of a file, mapped, or of an object, uint8 `[size]`, read-only.

    Raises:
      FileNotFoundError: if it is not there.
      ValueError: if it is empty.
      StorageError: if an object store does not answer.
    """
    if isinstance(file, Path):
        return map_file(file)
    return np.frombuffer(file.found(file.bucket.read(file.key), _LARGE), np.uint8)


def size_of(file: Location, *, deep: bool) -> int:
    """Gives a file's size in bytes; an object's where `deep`, as only reading it tells, else 0."""
    if isinstance(file, Path):
        return file.stat().st_size
    return len(file.read_bytes()) if deep else 0


def can_append(folder: Location) -> bool:
    """Says whether files in a folder may be found half written."""
    return isinstance(folder, Path) or not folder.bucket.lists


def can_list(folder: Location) -> bool:
    """Says whether it can be told what is in a folder."""
    return isinstance(folder, Path) or folder.bucket.lists


def read_all(files: Sequence[Location]) -> Iterable[bytes]:
    """Reads files one by one, objects all at once.

    Raises:
      FileNotFoundError: if one is not there.
    """
    pending = [file.bucket.read(file.key) if isinstance(file, ObjectPath) else None for file in files]
    for file, future in zip(files, pending, strict=True):
        yield file.found(future, _LARGE) if isinstance(file, ObjectPath) else file.read_bytes()


def create_whole(file: Location, data: bytes) -> None:
    """Writes a file or an object that is not there, durably: a reader sees it whole or not at all.

    Raises:
      LockedError: if somebody else wrote such an object at the same time.
      StorageError: if an object store does not answer, or refuses.
    """
    if isinstance(file, Path):
        make_directories(file.parent)
        replace(file, data)
    elif not file.put_new(data) and file.read_bytes() != data:
        raise LockedError(f"Another process made {str(file)!r} at the same time: one writer at a time.")
