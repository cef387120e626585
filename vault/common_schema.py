"""The common schema of vaults that are joined: their leaves and roles, and what all keep of the rest."""

from collections.abc import Sequence
from dataclasses import replace

from .reader import Snapshot
from .schema import Schema


def common_schema(sources: Sequence[Snapshot]) -> Schema:
    """Gives what sources have in common: their leaves, and the columns and final rows that all keep.

    A source without any final rows is passed over: its episodes' final rows are then not known.

    Raises:
      ValueError: if there is no source, or naming a leaf or role that differs.
    """
    if not sources:
        raise ValueError("`vaults` must name at least one vault or view to join: got none.")
    first = sources[0].schema
    for source in sources[1:]:
        _check_same(first, source.schema, sources[0], source)
    keeping = [set(s.schema.finals) for s in sources if s.schema.finals]
    kept = set.intersection(*keeping) if keeping else set[str]()
    shared = [s.schema.columns for s in sources]
    columns = {n: d for n, d in first.columns.items() if all(other.get(n) == d for other in shared)}
    finals = tuple(name for name in first.names if name in kept)
    return replace(first, streams=1, columns=columns, finals=finals)


def _check_same(first: Schema, other: Schema, a: Snapshot, b: Snapshot) -> None:
    forms = [
        {leaf.name: (str(leaf.dtype), list(leaf.shape), leaf.prng) for leaf in schema.leaves}
        for schema in (first, other)
    ]
    for name in dict.fromkeys([*forms[0], *forms[1]]):
        one, two = (form.get(name) for form in forms)
        if one != two:
            raise ValueError(
                f"`vaults` must hold the same leaves: {name!r} is {_form(one)} in {str(a.path)!r} and "
                f"{_form(two)} in {str(b.path)!r}. Convert one of them, or join those that fit."
            )
    if first.roles != other.roles:
        raise ValueError(
            f"`vaults` must have the same roles: {str(a.path)!r} has {first.roles.to_dict()}, "
            f"{str(b.path)!r} has {other.roles.to_dict()}."
        )


def _form(form: tuple[str, list[int], str | None] | None) -> str:
    if form is None:
        return "not there"
    dtype, shape, prng = form
    return f"{dtype} {shape}" + (f" of {prng} keys" if prng else "")
