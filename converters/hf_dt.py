"""Decision Transformer's datasets on the Hugging Face hub: Parquet, a trajectory a row.

```
# observations : [[o0, o1, o2], [o0, o1], ...]    -> observation
# actions      : [[a0, a1, a2], [a0, a1], ...]    -> action
# rewards      : [[r0, r1, r2], [r0, r1], ...]    -> reward
# dones        : [[ 0,  0,  1], [ 0,  0], ...]    -> terminated; a trajectory without it was truncated
```
The final observation of a trajectory was not kept by those who made them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vault.dtypes import NpArray
from ..vault.errors import FormatError, NotFoundError
from ..vault.tree import component
from .arrow_columns import arrow, batches_of, dtype_of, is_rows, is_scalar, is_text, lengths_of, values_of
from .bad import Bad
from .naming import column_names
from .recorded import Recorded, blocks_of
from .source import Source

if TYPE_CHECKING:
    from ..datasets.entry import DatasetEntry

NAME = "hf_dt"
OPTIONS = ("skip",)
LEAVES = {
    "observations": "observation",
    "actions": "action",
    "rewards": "reward",
    "dones": "terminated",
    "terminals": "terminated",
    "timeouts": "truncated",
    "next_observations": "next_observation",
}
_NEEDED = ("observations", "actions", "rewards")
_ENDS = ("dones", "terminals")
_TRAJECTORIES = 16  # read at a time
_MAGIC = b"PAR1"


def detect(path: Path) -> bool:
    """Says whether a Parquet file, or the first of a folder, has a trajectory a row.

    Raises:
      MissingExtraError: for Parquet, without PyArrow.

    Example:
      >>> detect(Path("nowhere.parquet"))
      False
    """
    files = _files(path)
    if not files or not _is_parquet(files[0]):
        return False
    schema = _open(files[0]).schema_arrow
    return all(name in schema.names and is_rows(schema.field(name).type) for name in _NEEDED)


def read(
    path: Path,
    entry: "DatasetEntry | None" = None,  # noqa: ARG001 - every format takes it
    *,
    skip: Sequence[str] = (),
    bad: Bad | None = None,
) -> Source:
    """Opens a file, or a folder of a dataset's files, as a source.

    Args:
      path: of the file or the folder.
      entry: what the catalogue knows of it.
      skip: columns to leave out.
      bad: takes what cannot be read and may be left out; none may by default.

    Raises:
      FormatError: if the files are not laid out so, now or while they are read.
      MissingExtraError: without PyArrow.
      ValueError: if `skip` names no column that can be spared.

    Example:
      >>> pa = arrow()
      >>> rows = {"observations": [[[0.5], [1.5]]], "actions": [[[1.0], [2.0]]]}
      >>> table = pa.table(rows | {"rewards": [[1.0, 1.0]], "dones": [[False, True]]})
      >>> arrow("pyarrow.parquet").write_table(table, "one.parquet")
      >>> [block.ends.terminated.tolist() for block in read(Path("one.parquet")).blocks(10)]
      [[True]]
    """
    files = _files(path)
    if not files:
        raise NotFoundError(f"`path` must be a Parquet file or a folder with some; there is none at {path}.")
    schema = _open(files[0]).schema_arrow
    _check(schema, files, skip)
    fields = {name: schema.field(name).type for name in schema.names if name not in skip}
    bad = bad or Bad()
    lengths, facts = _look(files, fields, bad)
    if not lengths.any():
        raise FormatError(f"{path} has no step: there is nothing to convert.")
    longest = np.argsort(-lengths, kind="stable").tolist()
    first = bad.first(longest, lambda unit: next(_episodes(files, fields, unit, unit + 1)))
    example = {leaf: np.zeros(values.shape[1:], values.dtype) for leaf, values in first.steps.items()}
    names = column_names(name for name, kind in fields.items() if is_scalar(kind))
    columns = {column: dtype_of(fields[name]) for name, column in names.items()}
    return Source(
        example=example,
        lengths=lengths,
        finals=(),
        blocks=blocks_of(partial(_whole, files, fields, example, names), len(lengths), example, (), columns),
        facts=facts
        | {"files": [file.name for file in files], "columns": {n: str(k) for n, k in fields.items()}},
        columns=columns,
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _open(path: Path) -> Any:
    parquet = arrow("pyarrow.parquet")
    if not _is_parquet(path):
        raise FormatError(f"{path} does not begin like a Parquet file. Fetch or copy it again.")
    try:
        return parquet.ParquetFile(path, page_checksum_verification=True)
    except (OSError, arrow().ArrowInvalid) as error:
        raise FormatError(
            f"{path} begins like a Parquet file but cannot be opened: {error}. It is probably cut off; fetch "
            "or copy it again."
        ) from error


def _check(schema: Any, files: Sequence[Path], skip: Sequence[str]) -> None:
    names = ", ".join(schema.names)
    for name in skip:
        if name in _NEEDED or name not in schema.names:
            raise ValueError(
                f"`skip` must name columns of {files[0]} that can be spared; got {name!r}. "
                f"It has {names}, of which {', '.join(_NEEDED)} are needed."
            )
    missing = [name for name in _NEEDED if name not in schema.names]
    ends = [name for name in _ENDS if name in schema.names and name not in skip]
    if missing or not ends:
        raise FormatError(f"{files[0]} has no column `{missing[0] if missing else 'dones'}`; it has {names}.")
    leaves = [LEAVES.get(name, name) for name in schema.names if name not in skip]
    double = next((leaf for leaf in leaves if leaves.count(leaf) > 1), None)
    if double:
        raise FormatError(
            f"{files[0]} has two columns that would be the leaf `{double}`; leave one out: `skip=`."
        )
    for name in schema.names:
        kind = schema.field(name).type
        rows = name in LEAVES
        if name not in skip and not (is_rows(kind) or (not rows and (is_scalar(kind) or is_text(kind)))):
            raise FormatError(
                f"The column `{name}` of {files[0]} is {kind}, where a list with an element a step is wanted."
                f"{'' if name in _NEEDED else f' `skip=({name!r},)` leaves it out.'}"
            )
    for file in files[1:]:
        other = _open(file).schema_arrow
        if not other.equals(schema):
            raise FormatError(f"{file} has other columns than {files[0]}: {other.names} instead of {names}.")


def _look(files: Sequence[Path], fields: dict[str, Any], bad: Bad) -> tuple[NpArray, dict[str, Any]]:
    """Returns the lengths of trajectories, int64 `[E]`, and counts, from the columns of numbers alone."""
    end = next(name for name in _ENDS if name in fields)
    every = np.zeros(sum(_open(file).metadata.num_rows for file in files), np.int64)
    nan = unfinished = 0
    for number, row in bad.each(len(every), partial(_rows, files, ["rewards", end])):
        rewards, ends = row.column("rewards"), row.column(end)
        flat = rewards.flatten()
        every[number] = lengths_of(rewards)[0]
        if arrow().types.is_floating(flat.type):
            nan += int(np.isnan(flat.to_numpy(zero_copy_only=False)).sum())
        unfinished += sum(not (one and one[-1]) for one in ends.to_pylist())
    return every, {
        "steps": int(every.sum()),
        "trajectories": len(every),
        "nan_rewards": nan,
        "trajectories_without_done": unfinished,
    }


def _batches(files: Sequence[Path], columns: list[str], first: int = 0) -> Iterator[tuple[Path, Any]]:
    """Yields some trajectories at a time, and their file, from a trajectory on."""
    damaged = (OSError, arrow().ArrowInvalid)
    for file in files:
        opened = _open(file)
        skip, first = first, max(0, first - opened.metadata.num_rows)
        try:
            for batch in batches_of(opened, columns, _TRAJECTORIES, skip):
                yield file, batch
        except damaged as error:
            raise FormatError(
                f"{file} cannot be read: {error}. It is damaged; fetch or copy it again."
            ) from error


def _rows(files: Sequence[Path], columns: list[str], first: int) -> Iterator[Any]:
    """Yields trajectories one by one, from one on."""
    for _, batch in _batches(files, columns, first):
        for row in range(batch.num_rows):
            yield batch.slice(row, 1)


def _episodes(files: Sequence[Path], fields: dict[str, Any], start: int, stop: int) -> Iterator[Recorded]:
    number = start
    for file, batch in _batches(files, list(fields), start) if start < stop else ():
        for row in range(min(batch.num_rows, stop - number)):
            yield _episode(batch.slice(row, 1), fields, f"trajectory {number} of {file}")
            number += 1
        if number == stop:
            return


def _whole(
    files: Sequence[Path],
    fields: dict[str, Any],
    example: dict[str, NpArray],
    names: dict[str, str],
    start: int,
    stop: int,
) -> Iterator[Recorded]:
    """Gives columns their names, and the leaves of trajectories without a step their shape."""
    for episode in _episodes(files, fields, start, stop):
        steps = dict(episode.steps)
        for name, values in steps.items():
            if not len(values) and name in example:
                steps[name] = np.zeros((0, *example[name].shape), example[name].dtype)
        columns = {names[name]: value for name, value in episode.columns.items()}
        yield replace(episode, steps=steps, columns=columns)


def _episode(row: Any, fields: dict[str, Any], where: str) -> Recorded:
    steps: dict[str, NpArray] = {}
    columns: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for name, kind in fields.items():
        column = row.column(name)
        try:
            if is_text(kind):
                attributes[name] = column[0].as_py()
            elif is_scalar(kind):
                columns[name] = values_of(column)[0]
            else:
                steps[LEAVES.get(name) or component(name)] = values_of(column)[0]
        except FormatError as error:
            mend = "Mend the file first" + ("" if name in _NEEDED else f", or `skip=({name!r},)`")
            raise FormatError(f"`{name}` of {where}: {error}. {mend}.") from error
    lengths = {name: len(values) for name, values in steps.items()}
    if len(set(lengths.values())) > 1:
        raise FormatError(f"The columns of {where} have different lengths: {lengths}.")
    return _ended(steps, columns, attributes, where)


def _ended(
    steps: dict[str, NpArray], columns: dict[str, Any], attributes: dict[str, Any], where: str
) -> Recorded:
    """Reads the flags: a trajectory ends in a done, or was stopped."""
    length = len(steps["reward"])
    given = "truncated" in steps
    steps.setdefault("truncated", np.zeros(length, np.bool_))
    for flag in ("terminated", "truncated"):
        values = steps[flag].reshape(length)
        if values.dtype != np.bool_ and not ((values == 0) | (values == 1)).all():
            raise FormatError(f"`{flag}` of {where} must be 0 or 1 in every step. Mend the file first.")
        steps[flag] = values = values != 0
        if values[:-1].any():
            raise FormatError(
                f"The trajectory goes on after step {int(values.argmax())}, which is `{flag}` already: "
                f"{where}. A trajectory is an episode; cut it there first."
            )
    terminated = bool(steps["terminated"][-1:].any())
    if not given and length:
        steps["truncated"][-1] = not terminated
    if steps["reward"].ndim == 2 and steps["reward"].shape[1:] == (1,):
        steps["reward"] = steps["reward"][:, 0]
    truncated = bool(steps["truncated"][-1:].any())
    return Recorded(steps, terminated, truncated, None, columns, attributes)
