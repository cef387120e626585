"""What becomes of each feature of an RLDS dataset: a leaf, a column, an attribute, or a flag."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError
from ..vault.tree import component
from .json_arrays import to_json
from .naming import TAKEN, column_names, identifier
from .recorded import Recorded
from .rlds_features import TEXT, Feature
from .rlds_folder import Folder
from .rlds_scan import FLAGS, Record, Scan

METADATA = "episode_metadata/"


@dataclass(frozen=True)
class Plan:
    """How records become episodes.

    Attributes:
      final: a last row that says `is_last` is what the last action led to, and no step.
      leaves: the leaf of each feature of the steps that becomes one, by name.
      widths: dtype of the leaves that are texts, by leaf.
      finals: leaves that have final rows.
      texts: features of the steps that are one text an episode, an attribute.
      columns: the column of each feature that becomes one, by path.
      attributes: the attribute of each feature that becomes one, by path.
      packed: path of the text that holds further attributes as JSON, or None.
      split: whether the split is an attribute.
      squeeze: whether rewards of shape `[1]` lose their axis.
    """

    final: bool
    leaves: Mapping[str, str]
    widths: Mapping[str, np.dtype[Any]]
    finals: tuple[str, ...]
    texts: tuple[str, ...]
    columns: Mapping[str, str]
    attributes: Mapping[str, str]
    packed: str | None
    split: bool
    squeeze: bool

    def episode(self, record: Record) -> Recorded:
        """Returns a record as an episode."""
        final = self.final and record.ends_last
        length = record.length - final
        rows = {
            leaf: self._leaf(leaf, record.rows[name])
            for name, leaf in self.leaves.items()
            if name in record.rows
        }
        terminated = bool("is_terminal" in record.rows and record.rows["is_terminal"].any())
        truncated = record.ends_last and not terminated
        steps = {leaf: values[:length] for leaf, values in rows.items()}
        for flag, value in (("terminated", terminated), ("truncated", truncated)):
            steps[flag] = np.zeros(length, np.bool_)
            steps[flag][-1:] = value
        return Recorded(
            steps,
            terminated,
            truncated,
            {leaf: rows[leaf][-1] for leaf in self.finals} if final else None,
            {column: self._column(record, path) for path, column in self.columns.items()},
            self._attributes(record),
        )

    def _leaf(self, leaf: str, values: NpArray) -> NpArray:
        if self.squeeze and leaf == "reward" and values.shape[1:] == (1,):
            return values.reshape(len(values))
        dtype = self.widths.get(leaf)
        if dtype is None:
            return values
        if dtype.kind == "U":
            values = np.array([text.decode() for text in values.flat], object).reshape(values.shape)
        return values.astype(dtype)

    def _column(self, record: Record, path: str) -> Any:
        if path not in record.rest:
            raise record.error(f"it has no `{path}`, which the first has")
        return record.rest[path]

    def _attributes(self, record: Record) -> dict[str, Any]:
        found: dict[str, Any] = {"split": record.shard.split} if self.split else {}
        for path, name in self.attributes.items():
            if path in record.rest:
                found[name] = _json(record.rest[path])
        for name in self.texts:
            if name in record.rows and record.length:
                found[self.attributes[f"steps/{name}"]] = _text(record.rows[name].flat[0])
        if self.packed is not None and self.packed in record.rest:
            try:
                found |= json.loads(_text(record.rest[self.packed].item()))
            except ValueError as error:
                raise record.error(f"`{self.packed}` must be a JSON object: {error}") from error
        return found


def plan_of(folder: Folder, features: Sequence[Feature], found: Scan, last_row: str | None) -> Plan:
    """Decides what becomes of each feature.

    Args:
      folder: of the dataset.
      features: of it.
      found: what its records amount to.
      last_row: `final` or `step`; None goes by our writer's note, else by what the last rows hold.
    """
    texts = {
        feature.name: _text_dtype(folder.mark, feature, found)
        for feature in features
        if feature.in_steps and feature.dtype == TEXT
    }
    known: Mapping[str, str] = {path: name for name, path in folder.mark.get("places", {}).items()}
    constant = {
        name for name in texts if name not in found.varying and name not in folder.mark.get("dtypes", {})
    }
    steps = [f for f in features if f.in_steps and f.name not in FLAGS and f.name not in constant]
    leaves = {feature.name: "/".join(map(component, feature.name.split("/"))) for feature in steps}
    final = _is_final(folder.mark, found, last_row)
    rest = [f for f in features if not f.in_steps and f.path != folder.mark.get("attributes")]
    columns = [f.path for f in rest if not f.shape and f.dtype != TEXT and not f.optional]
    others = [f.path for f in rest if f.path not in columns] + [f"steps/{name}" for name in sorted(constant)]
    for clash in ("terminated", "truncated"):
        if clash in leaves.values():
            raise FormatError(
                f"{folder.path} has the feature `{clash}` in its steps, which is what the vault calls its "
                f"own flag. `skip=({clash!r},)` leaves it out."
            )
    return Plan(
        final,
        leaves,
        {leaves[name]: dtype for name, dtype in texts.items() if name in leaves},
        _finals(folder.mark, leaves, found) if final else (),
        tuple(sorted(constant)),
        _named(columns, known, identifiers=True),
        _named(others, known, identifiers=False),
        folder.mark.get("attributes"),
        len(folder.splits) > 1,
        squeeze=not folder.mark,
    )


def _is_final(mark: Mapping[str, Any], found: Scan, last_row: str | None) -> bool:
    if last_row not in (None, "final", "step"):
        raise ValueError(f"`last_row` must be 'final' or 'step': got {last_row!r}.")
    chosen = last_row or mark.get("last_row")
    return chosen == "final" if chosen else found.lasts > 0 and found.carrying == 0


def _finals(mark: Mapping[str, Any], leaves: Mapping[str, str], found: Scan) -> tuple[str, ...]:
    noted = mark.get("finals")
    if noted is not None:
        return tuple(leaves[name] for name in noted if name in leaves)
    return tuple(
        leaf
        for name, leaf in leaves.items()
        if name.split("/", maxsplit=1)[0] == "observation" or name in found.nonzero
    )


def _text_dtype(mark: Mapping[str, Any], feature: Feature, found: Scan) -> np.dtype[Any]:
    noted = mark.get("dtypes", {}).get(feature.name)
    return np.dtype(noted or f"S{found.widths.get(feature.name, 1)}")


def _named(paths: Iterable[str], known: Mapping[str, str], *, identifiers: bool) -> dict[str, str]:
    """Names features: their last keys where these are free, else all of their path."""
    found: dict[str, str] = {}
    for path in paths:
        short = path.removeprefix(METADATA).removeprefix("steps/")
        name = known.get(path) or (identifier(short) if identifiers else short)
        if name in found.values() or (identifiers and name in TAKEN):
            name = identifier(path) if identifiers else path
        found[path] = name
    return column_names(found, found) if identifiers else found


def _json(values: NpArray) -> Any:
    if values.dtype != TEXT:
        return to_json(values)
    if values.ndim == 0:
        return _text(values.item())
    return [_json(np.asarray(value, object)) for value in values]


def _text(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return to_json(np.frombuffer(data, np.uint8))
