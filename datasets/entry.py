"""One entry of the catalogue: what is known about a dataset before any byte of it is fetched.

An entry is a plain value read from the catalogue's JSON, one `parse_*` function a field. What
nobody has published (a checksum, a reference score) is None, never a guess.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, cast

from .published import PublishedFile
from .published import bad as _bad

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*/[A-Za-z0-9][\w.-]*-v\d+")

# Where reference scores stand; `ref_source` names it.
SOURCES = ("infos", "registration", "package", "third-party")


@dataclass(frozen=True)
class DatasetEntry:
    """Knows one dataset: where it is, how to recognise it, and what its numbers mean.

    Attributes:
      id: `namespace/env/quality-vN`, for example `D4RL/hopper/medium-v2`.
      aliases: other names for the same dataset; D4RL's own name comes first.
      files: what is published. Several datasets may share one file.
      format: of the files; the converter that reads it has the same name, where there is one.
      family: the group of environments whose files have the same keys.
      horizon: steps after which the environment stops an episode, or None.
      licence: SPDX identifier of the data's licence, or None where its makers name none.
      citation: the work to cite when the data is used, or None.
      options: of the converter.
      steps: in the dataset as its makers count them, or None.
      episodes: in the dataset as its makers count them, or None.
      ref_min_score: return of a random policy, or the least in the data; or None.
      ref_max_score: return of an expert, or the greatest in the data; or None.
      ref_source: where the two scores stand: `infos` (D4RL's table of scores), `registration`
        (the environment's registration, where the table has none), `package` (the makers' own
        package), `third-party` (somebody else's table), or None without scores.
      reward_type: `sparse`, `dense` and so on where one environment has several, else None.
      deprecated: its makers advise against it, mostly for a newer version.
      listed: it stands in D4RL's own list of datasets; the others are only registered.
    """

    id: str
    aliases: tuple[str, ...]
    files: tuple[PublishedFile, ...]
    format: str
    family: str
    horizon: int | None = None
    licence: str | None = None
    citation: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    steps: int | None = None
    episodes: int | None = None
    ref_min_score: float | None = None
    ref_max_score: float | None = None
    ref_source: str | None = None
    reward_type: str | None = None
    deprecated: bool = False
    listed: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """All names it answers to, the id first."""
        return (self.id, *self.aliases)

    @property
    def url(self) -> str:
        """Where its first file is published."""
        return self.files[0].urls[0]

    @property
    def file(self) -> str:
        """The name of its first file."""
        return self.files[0].name

    @property
    def size(self) -> int | None:
        """Bytes of all files, or None where one's size was never published."""
        sizes = [file.size for file in self.files if file.size is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None

    @property
    def sha256(self) -> str | None:
        """The checksum of its file in hexadecimal; None where it has several, or none was published."""
        return self.files[0].sha256 if len(self.files) == 1 else None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "DatasetEntry":
        """Reads an entry from its JSON object.

        Args:
          data: the JSON object; fields that may be None may be missing.

        Raises:
          ValueError: if a field is missing, unknown, or not what it should be.

        Example:
          >>> from strongbax.datasets.catalogue import find
          >>> entry = find("D4RL/hopper/medium-v2")
          >>> DatasetEntry.from_dict(entry.to_dict()) == entry
          True
        """
        unknown = set(data) - set(_PARSERS)
        if unknown:
            raise ValueError(
                f"A dataset's entry has the fields {', '.join(_PARSERS)}; got {sorted(unknown)} "
                "too. Remove or rename them."
            )
        entry = cls(**{name: parse(data.get(name)) for name, parse in _PARSERS.items()})
        return _check_scores(entry)

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry as a JSON object, fields that are None left out.

        Example:
          >>> from strongbax.datasets.catalogue import find
          >>> find("hopper-medium-v2").to_dict()["horizon"]
          1000
        """
        data = {name: value for name, value in asdict(self).items() if value not in (None, {})}
        return data | {"aliases": list(self.aliases), "files": [file.to_dict() for file in self.files]}


def parse_id(value: object) -> str:
    """Returns the id if it reads `namespace/env/quality-vN`.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_id("D4RL/hopper/medium-v2")
      'D4RL/hopper/medium-v2'
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise _bad("id", "`namespace/env/quality-vN`, such as D4RL/hopper/medium-v2", value)
    return value


def parse_aliases(value: object) -> tuple[str, ...]:
    """Returns the other names as a tuple, an empty one for None.

    Raises:
      ValueError: if they are not a list of different texts.

    Example:
      >>> parse_aliases(["hopper-medium-v2"])
      ('hopper-medium-v2',)
    """
    if value is None:
        return ()
    names: list[Any] = [*value] if isinstance(value, list | tuple) else [None]
    if len(set(names)) != len(names) or not all(isinstance(name, str) and name for name in names):
        raise _bad("aliases", "a list of different texts", value)
    return tuple(names)


def parse_files(value: object) -> tuple[PublishedFile, ...]:
    """Returns the files as a tuple if they are one or more of different paths.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_files([{"path": "a.npz", "urls": ["https://example.org/a.npz"]}])[0].path
      'a.npz'
    """
    files = tuple(map(PublishedFile.from_dict, value)) if isinstance(value, list | tuple) else ()
    if not files or len({file.path for file in files}) != len(files):
        raise _bad("files", "a list of files of different paths", value)
    return files


def parse_options(value: object) -> Mapping[str, Any]:
    """Returns the options if they are a JSON object.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_options({"horizon": 1000})
      {'horizon': 1000}
    """
    if not isinstance(value, Mapping):
        raise _bad("options", "a JSON object", value)
    return cast("dict[str, Any]", json.loads(json.dumps(dict(value))))


def parse_text(field: str, value: object) -> str:
    """Returns the text if it is one and not empty.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_text("family", "gym_mujoco")
      'gym_mujoco'
    """
    if not isinstance(value, str) or not value.strip():
        raise _bad(field, "a text", value)
    return value


def parse_count(field: str, value: object) -> int:
    """Returns the number if it is whole and above 0.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_count("horizon", 1000)
      1000
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _bad(field, "a whole number above 0", value)
    return value


def parse_score(field: str, value: object) -> float:
    """Returns the number as a float if it is finite.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_score("ref_max_score", 4)
      4.0
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _bad(field, "a finite number", value)
    return float(value)


def parse_ref_source(value: object) -> str:
    """Returns where the scores stand if it is one of the places that have them.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_ref_source("infos")
      'infos'
    """
    if value not in SOURCES:
        raise _bad("ref_source", f"one of {', '.join(SOURCES)}", value)
    return str(value)


def parse_flag(field: str, value: object) -> bool:
    """Returns the value if it is true or false.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_flag("deprecated", True)
      True
    """
    if not isinstance(value, bool):
        raise _bad(field, "true or false", value)
    return value


def _check_scores(entry: DatasetEntry) -> DatasetEntry:
    scores = (entry.ref_min_score, entry.ref_max_score)
    known = entry.ref_source is not None
    if any((score is not None) != known for score in scores):
        raise _bad("ref_source", f"given exactly where both scores are, {scores}", entry.ref_source)
    if scores[0] is not None and scores[1] is not None and scores[0] >= scores[1]:
        raise _bad("ref_max_score", f"above `ref_min_score`, {scores[0]}", scores[1])
    return entry


def _or(default: Any, parse: Callable[[object], Any], value: object) -> Any:
    return default if value is None else parse(value)


_PARSERS: dict[str, Callable[[object], Any]] = {
    "id": parse_id,
    "aliases": parse_aliases,
    "files": parse_files,
    "format": partial(parse_text, "format"),
    "family": partial(parse_text, "family"),
    "horizon": partial(_or, None, partial(parse_count, "horizon")),
    "licence": partial(_or, None, partial(parse_text, "licence")),
    "citation": partial(_or, None, partial(parse_text, "citation")),
    "options": partial(_or, {}, parse_options),
    "steps": partial(_or, None, partial(parse_count, "steps")),
    "episodes": partial(_or, None, partial(parse_count, "episodes")),
    "ref_min_score": partial(_or, None, partial(parse_score, "ref_min_score")),
    "ref_max_score": partial(_or, None, partial(parse_score, "ref_max_score")),
    "ref_source": partial(_or, None, parse_ref_source),
    "reward_type": partial(_or, None, partial(parse_text, "reward_type")),
    "deprecated": partial(_or, False, partial(parse_flag, "deprecated")),
    "listed": partial(_or, True, partial(parse_flag, "listed")),
}
