"""A TFDS dataset's folder: `dataset_info.json`, `features.json`, and the shards of its splits.

```
# toy/1.0.0/dataset_info.json     name, version, file format; splits and how many records a shard has
#           features.json         what a record holds
#           toy-train.tfrecord-00000-of-00002
```
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..vault.errors import FormatError, NotFoundError
from .extra import extra
from .tfrecord import read_records

INFO, FEATURES, MARK = "dataset_info.json", "features.json", "strongbax.json"
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
FILE_FORMATS = ("tfrecord", "array_record")


@dataclass(frozen=True)
class Shard:
    """One file of a split.

    Attributes:
      path: of the file.
      split: its name.
      records: that it must hold.
    """

    path: Path
    split: str
    records: int


@dataclass(frozen=True)
class Folder:
    """A version of a dataset.

    Attributes:
      path: of the folder.
      info: what `dataset_info.json` says.
      features: what `features.json` says.
      mark: what our own writer noted beside them, or nothing.
      shards: the files to be read, in order.
      absent: splits that are named and of which no file is there.
    """

    path: Path
    info: Mapping[str, Any]
    features: Mapping[str, Any]
    mark: Mapping[str, Any]
    shards: tuple[Shard, ...]
    absent: tuple[str, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits to be read."""
        return tuple(dict.fromkeys(shard.split for shard in self.shards))


def find(path: Path) -> Path | None:
    """Returns the folder of a version: the path itself, or the only one below it; None if there is none.

    Example:
      >>> find(Path("nowhere")) is None
      True
    """
    if not path.is_dir():
        return None
    if (path / FEATURES).is_file() and (path / INFO).is_file():
        return path
    below = sorted(entry.parent for pattern in ("*", "*/*") for entry in path.glob(f"{pattern}/{FEATURES}"))
    return below[0] if len(below) == 1 and (below[0] / INFO).is_file() else None


def open_folder(path: Path, split: str | None = None) -> Folder:
    """Looks at a dataset's folder.

    Args:
      path: of the version, or of a folder with only one.
      split: to read; None reads all of which files are there.

    Raises:
      FormatError: if the folder is not laid out as TFDS's are, or a shard is missing.
      ValueError: if there is no such split.
    """
    folder = find(path)
    if folder is None:
        raise FormatError(
            f"{path} is no folder of one TFDS dataset: {INFO} and {FEATURES} are wanted in it, or in the "
            "only version below it. Name the version's folder, the one with these two files."
        )
    info = load_json(folder / INFO)
    mark = load_json(folder / MARK) if (folder / MARK).is_file() else {}
    form = info.get("fileFormat") or "tfrecord"
    if form not in FILE_FORMATS:
        raise FormatError(f"{folder / INFO}: the file format {form!r} is none of {list(FILE_FORMATS)}.")
    known = [str(each.get("name")) for each in info.get("splits", [])]
    if split is not None and split not in known:
        raise ValueError(f"`split` must be one of {known}, the splits of {folder}; got {split!r}.")
    shards: list[Shard] = []
    absent: list[str] = []
    for each in info.get("splits", []):
        if split is None or each.get("name") == split:
            found = _shards(folder, info, each, form)
            shards += found
            if not found:
                absent.append(str(each.get("name")))
    if not shards:
        raise NotFoundError(f"None of the shards that {folder / INFO} names is there (splits {known}).")
    return Folder(folder, info, load_json(folder / FEATURES), mark, tuple(shards), tuple(absent))


def read_shard(shard: Shard, first: int = 0) -> Iterator[bytes]:
    """Yields the records of a shard.

    Args:
      shard: to read.
      first: the record to begin with.

    Raises:
      FormatError: if they are not as many as the dataset says, or damaged.
      MissingExtraError: for ArrayRecord, without its library.
    """
    number = first - 1
    reader = _array_records if ".array_record" in shard.path.name else read_records
    for number, record in enumerate(reader(shard.path, first), first):  # noqa: B007 - counted
        yield record
    if number + 1 != shard.records:
        raise FormatError(
            f"{shard.path} has {number + 1} records where {INFO} says {shard.records}: it is cut off, or of "
            "another version; fetch or copy it again."
        )


def load_json(path: Path) -> dict[str, Any]:
    """Returns what a JSON file holds.

    Raises:
      FormatError: if it is no JSON object.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} is no JSON: {error}. Fetch or copy it again.") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path} must be a JSON object; it is a {type(found).__name__}.")
    return found


def shard_name(template: str, name: str, split: str, form: str, number: int, count: int) -> str:
    """Returns the name of a shard.

    Example:
      >>> shard_name(TEMPLATE, "toy", "train", "tfrecord", 0, 2)
      'toy-train.tfrecord-00000-of-00002'
    """
    parts = {
        "DATASET": name,
        "SPLIT": split,
        "FILEFORMAT": form,
        "SHARD_INDEX": f"{number:05d}",
        "NUM_SHARDS": f"{count:05d}",
        "SHARD_X_OF_Y": f"{number:05d}-of-{count:05d}",
    }
    for key, text in parts.items():
        template = template.replace("{" + key + "}", text)
    return template


def _shards(folder: Path, info: Mapping[str, Any], split: Mapping[str, Any], form: str) -> Sequence[Shard]:
    """The files of a split; none where not one of them is there."""
    try:
        lengths = [int(length) for length in split.get("shardLengths", [])]
    except (TypeError, ValueError) as error:
        raise FormatError(f"{folder / INFO}: `shardLengths` must be numbers: {error}.") from error
    template = split.get("filepathTemplate") or TEMPLATE
    names = [
        shard_name(template, str(info.get("name")), str(split["name"]), form, number, len(lengths))
        for number in range(len(lengths))
    ]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing and len(missing) < len(names):
        raise FormatError(
            f"{folder} has {len(names) - len(missing)} of the {len(names)} shards of the split "
            f"{split['name']!r}; {missing[0]} is missing. Fetch or copy it."
        )
    if missing:
        return []
    return [
        Shard(folder / name, str(split["name"]), length) for name, length in zip(names, lengths, strict=True)
    ]


def _array_records(path: Path, first: int) -> Iterator[bytes]:
    module = extra("array_record.python.array_record_module", "rlds", "Reading ArrayRecord")
    reader = module.ArrayRecordReader(str(path))
    try:
        for number in range(first, reader.num_records()):
            yield bytes(reader.read([number])[0])
    except (OSError, ValueError, RuntimeError, IndexError) as error:
        raise FormatError(
            f"{path} cannot be read as ArrayRecord: {error}. Fetch or copy it again."
        ) from error
    finally:
        with suppress(RuntimeError):  # of a damaged file it raises once more
            reader.close()
