"""The fields of a catalogue's entry: what each may be, one `parse_*` a field."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from .published import PublishedFile, bad

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*/[A-Za-z0-9][\w.-]*-v\d+")

# Where reference scores stand; `ref_source` names it.
SOURCES = ("infos", "registration", "package", "third-party")


def parse_id(value: object) -> str:
    """Returns the id if it reads `namespace/env/quality-vN`.

    Raises:
      ValueError: otherwise.

    Example:
      >>> parse_id("D4RL/hopper/medium-v2")
      'D4RL/hopper/medium-v2'
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise bad("id", "`namespace/env/quality-vN`, such as D4RL/hopper/medium-v2", value)
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
        raise bad("aliases", "a list of different texts", value)
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
        raise bad("files", "a list of files of different paths", value)
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
        raise bad("options", "a JSON object", value)
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
        raise bad(field, "a text", value)
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
        raise bad(field, "a whole number above 0", value)
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
        raise bad(field, "a finite number", value)
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
        raise bad("ref_source", f"one of {', '.join(SOURCES)}", value)
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
        raise bad(field, "true or false", value)
    return value


def or_default(default: Any, parse: Callable[[object], Any], value: object) -> Any:
    """Returns the field, or its default where it is None."""
    return default if value is None else parse(value)
