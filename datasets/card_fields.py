"""The fields of a card: what each must be, and how a wrong one is told."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

KINDS = ("gymnasium", "brax", "gymnax", "jumanji", "custom")

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*-v\d+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Baseline:
    """What an algorithm reached when it learned from the dataset.

    Attributes:
      name: of the algorithm.
      score: mean undiscounted return of an episode.
      source: where the number stands: a paper, a URL.
    """

    name: str
    score: float
    source: str


def parse_dataset_id(value: object) -> str | None:
    """Returns the id if it reads `namespace/name-vN`, namespaces as many as one likes, or None.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_dataset_id("D4RL/hopper/medium-v2")
      'D4RL/hopper/medium-v2'
    """
    if value is None or (isinstance(value, str) and _ID.fullmatch(value)):
        return value
    raise bad("dataset_id", "`namespace/name-vN`", value)


def parse_text(name: str, value: object) -> str | None:
    """Returns the text if it is one and not empty, or None.

    Raises:
      ValueError: otherwise.
    """
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise bad(name, "a text", value)


def parse_texts(name: str, value: object) -> tuple[str, ...]:
    """Returns the texts as a tuple; a single one is one of them, None is none.

    Raises:
      ValueError: if something else is among them.

    Example:
      >>> parse_texts("author", "Ada"), parse_texts("author", ["Ada", "Bo"])
      (('Ada',), ('Ada', 'Bo'))
    """
    texts: list[Any] = [value] if isinstance(value, str) else [*cast("Any", value)] if _is_list(value) else []
    if not all(isinstance(text, str) and text for text in texts) or not (
        value is None or texts or value == []
    ):
        raise bad(name, "a list of texts", value)
    return tuple(texts)


def parse_count(name: str, value: object) -> int | None:
    """Returns the number if it is whole and above 0, or None.

    Raises:
      ValueError: otherwise.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise bad(name, "a whole number above 0", value)


def parse_score(name: str, value: object) -> float | None:
    """Returns the number as a float if it is finite, or None.

    Raises:
      ValueError: otherwise.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise bad(name, "a finite number", value)
    return float(value)


def parse_environment(name: str, value: object) -> Mapping[str, Any] | None:
    """Returns the specification of an environment with its `kind`, or None.

    Gymnasium's own specifications, which have an `entry_point`, say no kind: it is gymnasium. Others that say
    none are custom. A text of JSON, as robomimic has it, is what it says.

    Raises:
      ValueError: if it is no object, or of a kind that is not known.

    Example:
      >>> parse_environment("env_spec", {"kind": "brax", "id": "ant"})
      {'kind': 'brax', 'id': 'ant'}
    """
    if value is None:
        return None
    said: Any = _said(value) if isinstance(value, str) else value
    spec = dict(cast("Mapping[str, Any]", said)) if isinstance(said, Mapping) else {}
    kind = spec.get("kind", "gymnasium" if "entry_point" in spec else "custom")
    if not spec or kind not in KINDS:
        raise bad(name, f"an object whose `kind` is one of {', '.join(KINDS)}", value)
    return {"kind": kind} | spec


def parse_baselines(value: object) -> tuple[Baseline, ...]:
    """Returns the baselines as a tuple, an empty one for None.

    Raises:
      ValueError: if one has not exactly a name, a score and a source.

    Example:
      >>> parse_baselines([{"name": "BC", "score": 1500, "source": "arXiv:2004.07219"}])[0].score
      1500.0
    """
    found: list[Baseline] = []
    for one in [*cast("Any", value)] if _is_list(value) else [] if value is None else [value]:
        if not isinstance(one, Mapping) or set(cast("Mapping[str, Any]", one)) != {"name", "score", "source"}:
            raise bad("baselines", "a list of objects of `name`, `score` and `source`", value)
        facts = cast("Mapping[str, Any]", one)
        name, source = parse_text("baselines", facts["name"]), parse_text("baselines", facts["source"])
        score = parse_score("baselines", facts["score"])
        if name is None or source is None or score is None:
            raise bad("baselines", "complete: each with `name`, `score` and `source`", value)
        found.append(Baseline(name, score, source))
    return tuple(found)


def parse_provenance(value: object) -> Mapping[str, Any] | None:
    """Returns the provenance if it is an object whose sha256, if it has one, is one; or None.

    Raises:
      ValueError: otherwise.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise bad("provenance", "a JSON object", value)
    origin = dict(cast("Mapping[str, Any]", value))
    if "sha256" in origin and not (isinstance(origin["sha256"], str) and _SHA256.fullmatch(origin["sha256"])):
        raise bad("provenance/sha256", "64 hexadecimal digits in lower case", origin["sha256"])
    return origin


def _said(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def bad(name: str, wanted: str, got: object) -> ValueError:
    """Words what is wrong with a field."""
    return ValueError(f"`{name}` of a card must be {wanted}; got {got!r}.")
