"""Blocks of steps and whole episodes: checked on their way in, hung in containers on their way out."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .committed import Committed
from .dtypes import NpArray, as_contiguous
from .episodes import Ends, Episode, EpisodeTable
from .roles import read_flags
from .schema import COLUMNS, Schema
from .states import check_leaf, order_of, to_numpy
from .tree import BARE, flatten

_PERCENT = 100


def leaves_of(schema: Schema, steps: Any, what: str) -> dict[str, NpArray]:
    """Checks a pytree of steps, leaves `[T, ...]`, and gives its leaves by name.

    Raises:
      ValueError: if leaves, dtypes, shapes or lengths are not those wanted.
    """
    import jax

    values, treedef = jax.tree_util.tree_flatten(steps)
    arrays = [values[place] for place in order_of(treedef, schema)]
    out: dict[str, NpArray] = {}
    for leaf, value in zip(schema.leaves, arrays, strict=True):
        shape = np.shape(value)
        if not shape:
            raise ValueError(f"The leaf {leaf.name!r} of `{what}` must have an axis of time: got a scalar.")
        dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
        check_leaf(leaf, dtype, shape[1:], f"`{what}`")
        out[leaf.name] = as_contiguous(to_numpy(value))
    lengths = {name: len(values) for name, values in out.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"The leaves of `{what}` must have one length: got {lengths} steps.")
    return out


def check_ends(schema: Schema, ends: Ends, steps: int) -> None:
    """Checks where episodes end in a block of `steps` steps.

    Raises:
      ValueError: saying what does not fit.
    """
    stop = np.asarray(ends.stop)
    if stop.ndim != 1 or (stop.dtype.kind not in "iu" and stop.size):
        raise ValueError(f"`ends.stop` must be int64 [E]: got {stop.dtype} {list(stop.shape)}.")
    if len(stop) and ((np.diff(stop) < 0).any() or stop[0] < 0 or stop[-1] > steps):
        raise ValueError(
            f"`ends.stop` must rise within 0 and the block's {steps} steps: got {stop.tolist()[:10]}."
        )
    lengths = {"terminated": len(ends.terminated), "truncated": len(ends.truncated)}
    lengths |= {name: len(rows) for name, rows in (ends.final or {}).items()}
    lengths |= {name: len(column) for name, column in ends.columns.items()}
    lengths |= {"attributes": len(ends.attributes)} if ends.attributes else {}
    lengths |= {} if ends.final_known is None else {"final_known": len(ends.final_known)}
    wrong = {name: length for name, length in lengths.items() if length != len(stop)}
    if wrong:
        raise ValueError(f"`ends` names {len(stop)} stops, but the lengths of {wrong} differ.")
    unknown = [name for name in ends.columns if name not in schema.columns]
    if unknown:
        raise ValueError(
            f"The columns {unknown} are not in the vault: it has {[*COLUMNS, *schema.columns]}. "
            "Declare them with `Vault.create(columns=...)`, or put the facts into `attributes`."
        )
    for name, column in ends.columns.items():
        fit_column(name, column, schema.columns[name])
    for name, rows in (ends.final or {}).items():
        if name not in schema.finals:
            raise ValueError(
                f"`final` names the leaf {name!r}: those with final rows are {list(schema.finals)}."
            )
        leaf = schema.leaf(name)
        check_leaf(leaf, rows.dtype, rows.shape[1:], "`final`")


def join_episodes(schema: Schema, episodes: Sequence[Episode]) -> tuple[dict[str, NpArray], Ends]:
    """Lays episodes end to end: leaves `[1, T, ...]` and the end of each.

    Raises:
      ValueError: if an episode does not fit the vault.
    """
    parts = [leaves_of(schema, episode.steps, "episode.steps") for episode in episodes]
    empty = {leaf.name: np.zeros((0, *leaf.shape), leaf.dtype) for leaf in schema.leaves}
    leaves = {name: np.concatenate([empty[name], *(part[name] for part in parts)]) for name in schema.names}
    flags = [_flags(schema, episode, part) for episode, part in zip(episodes, parts, strict=True)]
    finals = [_final(schema, episode.final) for episode in episodes]
    stops = np.cumsum([len(next(iter(part.values()))) for part in parts], dtype=np.int64)
    columns: dict[str, NpArray] = {}
    for name in dict.fromkeys(name for episode in episodes for name in episode.columns):
        zero = np.zeros((), schema.columns.get(name, np.dtype(np.int64)))[()]
        columns[name] = np.asarray([episode.columns.get(name, zero) for episode in episodes])
    ends = Ends(
        stop=stops,
        terminated=np.array([terminated for terminated, _ in flags], np.bool_),
        truncated=np.array([truncated for _, truncated in flags], np.bool_),
        final={
            name: np.stack([_row(schema, name, final) for final in finals])
            for name in (schema.finals if episodes else ())
        },
        final_known=np.array([final is not None for final in finals], np.bool_),
        columns=columns,
        attributes=[episode.attributes for episode in episodes],
    )
    check_ends(schema, ends, int(stops[-1]) if episodes else 0)
    return {name: values[None] for name, values in leaves.items()}, ends


def fit_column(name: str, values: Any, dtype: np.dtype[Any]) -> NpArray:
    """Casts the values of a user column, `[E]`, if nothing is lost by it.

    Raises:
      ValueError: if something would be.
    """
    given = np.asarray(values)
    try:
        cast = given.astype(dtype)
        same = (
            bool((cast == given).all())
            if given.dtype.kind != "f"
            else np.array_equal(cast, given, equal_nan=True)
        )
    except (TypeError, ValueError, OverflowError):
        cast, same = given, False
    if not same or given.ndim != 1:
        example = given.reshape(-1)[:3].tolist()
        raise ValueError(
            f"The column {name!r} must hold one {dtype} an episode: got {example} ({given.dtype})."
        )
    return cast


def read_episode(snapshot: Committed, table: EpisodeTable, row: int) -> Episode:
    """Reads an episode by its row in the table."""
    schema = snapshot.schema
    stream, start, length = (int(table[name][row]) for name in ("stream", "start", "length"))
    place = slice(stream, stream + 1)
    leaves = [snapshot.read(name, start, start + length, place)[0] for name in schema.names]
    final: Any = None
    if schema.finals and table["final_known"][row]:
        final = {name: snapshot.final(name, row) for name in schema.finals}
        final = _hang_final(schema, final)
    return Episode(
        steps=schema.tree.rebuild(leaves),
        final=final,
        terminated=bool(table["terminated"][row]),
        truncated=bool(table["truncated"][row]),
        columns={name: table[name][row] for name in schema.columns},
        attributes=table.attributes(row),
        id=row,
        stream=stream,
        start=start,
        return_=table["return"][row],
    )


def span(
    length: int,
    start: int | None,
    stop: int | None,
    timesteps: int | None,
    percentiles: tuple[float, float] | None,
) -> tuple[int, int]:
    """Gives the rows `[start, stop)` that a reader asks for, of `length`.

    Raises:
      ValueError: if they are asked for in two ways, or do not lie in the vault.
    """
    if sum(way is not None for way in ((start, stop) != (None, None) or None, timesteps, percentiles)) > 1:
        raise ValueError(
            "Give `start` and `stop`, or `timesteps`, or `percentiles`: got more than one of them."
        )
    if timesteps is not None:
        start = length - timesteps
        if not 0 <= timesteps <= length:
            raise ValueError(
                f"`timesteps` must be between 0 and the vault's {length} steps: got {timesteps}."
            )
    if percentiles is not None:
        low, high = percentiles
        if not 0 <= low < high <= _PERCENT:
            raise ValueError(f"`percentiles` must rise within 0 and 100: got {percentiles}.")
        start, stop = int(length * low / _PERCENT), int(length * high / _PERCENT)
    first, last, _ = slice(start, stop).indices(length)
    asked = (0 if start is None else start, length if stop is None else stop)
    if any(not -length <= bound <= length for bound in asked) or first > last:
        raise ValueError(f"`start` and `stop` must rise within the vault's {length} steps: got {asked}.")
    return first, last


def run_of(streams: slice, count: int) -> slice:
    """Checks a run of streams.

    Raises:
      ValueError: if it is none, or not within the vault.
    """
    first, last, step = streams.indices(count)
    if step != 1 or first >= last or (streams.stop is not None and streams.stop > count):
        raise ValueError(f"`streams` must be a run within the vault's {count} streams: got {streams}.")
    return slice(first, last)


def checked_json(data: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Checks that JSON can hold a mapping, and gives a copy.

    Raises:
      ValueError: if it cannot.
    """
    try:
        return json.loads(json.dumps(dict(data), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{what}` must be what JSON can hold: {error}. Turn arrays into lists, NaN into None."
        ) from None


def _flags(schema: Schema, episode: Episode, leaves: Mapping[str, NpArray]) -> tuple[bool, bool]:
    """Gives whether an episode terminated and was truncated: as said, else by its last step's flags."""
    steps = len(next(iter(leaves.values())))
    terminated = truncated = False
    if steps and schema.roles.ends:
        last = {name: values[None, -1:] for name, values in leaves.items()}
        flags = read_flags(schema.roles, last, 1, 1)
        terminated = bool(flags.terminated[0, 0])
        truncated = flags.truncated is not None and bool(flags.truncated[0, 0])
    return (
        terminated if episode.terminated is None else episode.terminated,
        truncated if episode.truncated is None else episode.truncated,
    )


def _final(schema: Schema, final: Any) -> dict[str, NpArray] | None:
    """Gives final rows by leaf name; a bare array is the only such leaf's.

    Raises:
      ValueError: if they are not those of the vault.
    """
    if final is None:
        return None
    values, tree = flatten(final)
    names = schema.finals if tree.names == (BARE,) and len(schema.finals) == 1 else tree.names
    if sorted(names) != sorted(schema.finals):
        raise ValueError(f"`final` must have the leaves {list(schema.finals)}: got {list(names)}.")
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def _row(schema: Schema, name: str, final: Mapping[str, NpArray] | None) -> NpArray:
    leaf = schema.leaf(name)
    if final is None:
        return np.zeros(leaf.shape, leaf.dtype)
    row = final[name]
    check_leaf(leaf, row.dtype, row.shape, "`episode.final`")
    return row


def _hang_final(schema: Schema, final: Mapping[str, NpArray]) -> Any:
    """Hangs final rows in nested dicts by their leaves' paths."""
    hung: dict[str, Any] = {}
    for name, row in final.items():
        *groups, last = name.split("/")
        place = hung
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = row
    del schema
    return hung
