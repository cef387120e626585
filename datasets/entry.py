"""One entry of the catalogue: what is known about a dataset before any byte of it is fetched.

An entry is a plain value read from the catalogue's JSON, one `parse_*` function a field. What
nobody has published (a checksum, a reference score) is None, never a guess.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from . import entry_fields as fields
from .published import PublishedFile, bad


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


def _check_scores(entry: DatasetEntry) -> DatasetEntry:
    scores = (entry.ref_min_score, entry.ref_max_score)
    known = entry.ref_source is not None
    if any((score is not None) != known for score in scores):
        raise bad("ref_source", f"given exactly where both scores are, {scores}", entry.ref_source)
    if scores[0] is not None and scores[1] is not None and scores[0] >= scores[1]:
        raise bad("ref_max_score", f"above `ref_min_score`, {scores[0]}", scores[1])
    return entry


_PARSERS: dict[str, Callable[[object], Any]] = {
    "id": fields.parse_id,
    "aliases": fields.parse_aliases,
    "files": fields.parse_files,
    "format": partial(fields.parse_text, "format"),
    "family": partial(fields.parse_text, "family"),
    "horizon": partial(fields.or_default, None, partial(fields.parse_count, "horizon")),
    "licence": partial(fields.or_default, None, partial(fields.parse_text, "licence")),
    "citation": partial(fields.or_default, None, partial(fields.parse_text, "citation")),
    "options": partial(fields.or_default, {}, fields.parse_options),
    "steps": partial(fields.or_default, None, partial(fields.parse_count, "steps")),
    "episodes": partial(fields.or_default, None, partial(fields.parse_count, "episodes")),
    "ref_min_score": partial(fields.or_default, None, partial(fields.parse_score, "ref_min_score")),
    "ref_max_score": partial(fields.or_default, None, partial(fields.parse_score, "ref_max_score")),
    "ref_source": partial(fields.or_default, None, fields.parse_ref_source),
    "reward_type": partial(fields.or_default, None, partial(fields.parse_text, "reward_type")),
    "deprecated": partial(fields.or_default, False, partial(fields.parse_flag, "deprecated")),
    "listed": partial(fields.or_default, True, partial(fields.parse_flag, "listed")),
}
