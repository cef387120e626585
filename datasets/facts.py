"""Facts: what can be said of a vault, as plain values that JSON can hold.

The command line shows these as tables or prints them as they are.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .console import plain
from .local import size_on_disk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..vault import EpisodeTable, LeafStats, Vault
    from ..vault.location import Location

_SHOWN_QUANTILES = (0.05, 0.5, 0.95)  # in a table; JSON has all


def vault_facts(vault: "Vault", path: "Location") -> dict[str, Any]:
    """Returns what a vault holds.

    Args:
      vault: open.
      path: where it lies.

    Returns:
      `path`, `bytes`, `files` (both None on an object store), `streams`, `steps`, `episodes`,
      `open_episodes`, `gaps`, `leaves` (see `leaf_facts`), `summary` (see `episode_summary`), `attributes`,
      `card`.
    """
    size, files = size_on_disk(path) if isinstance(path, Path) else (None, None)
    return {
        "path": str(path),
        "bytes": size,
        "files": files,
        "streams": vault.streams,
        "steps": vault.num_steps,
        "episodes": vault.num_episodes,
        "open_episodes": len(vault.open_episodes),
        "gaps": [plain(vars(gap)) for gap in vault.gaps],
        "leaves": leaf_facts(vault),
        "summary": episode_summary(vault.episodes),
        "attributes": plain(dict(vault.attributes)),
        "card": plain(dict(vault.card)),
    }


def vault_line(path: Path) -> dict[str, Any]:
    """Returns the few facts of a vault that fit a line.

    Returns:
      `path`, `streams`, `steps`, `episodes`, `bytes`, and `problem`: None, or why it cannot be opened
      (the counts are None then).
    """
    from ..vault import StrongbaxError, Vault

    facts = {"path": str(path), "streams": None, "steps": None, "episodes": None}
    size = size_on_disk(path)[0]
    try:
        with Vault.open(path) as vault:
            facts |= {"streams": vault.streams, "steps": vault.num_steps, "episodes": vault.num_episodes}
    except StrongbaxError as error:
        return facts | {"bytes": size, "problem": str(error)}
    return facts | {"bytes": size, "problem": None}


def dataset_facts(name: str) -> dict[str, Any]:
    """Returns what the catalogue knows about a dataset.

    Args:
      name: its id or an alias.

    Returns:
      The fields of its entry, `size` in bytes, and `converter`: its name, or None where there is none for
      the format yet.

    Raises:
      NotFoundError: if neither a path nor a dataset has that name.

    Example:
      >>> dataset_facts("hopper-medium-v2")["id"]
      'D4RL/hopper/medium-v2'
    """
    from ..vault.errors import NotFoundError
    from .catalogue import find

    try:
        entry = find(name)
    except NotFoundError as error:
        hint = str(error).partition(f"got {name!r}. ")[2]
        raise NotFoundError(f"There is no file, folder or dataset {name!r}. {hint}") from None
    from ..converters.formats import FORMATS

    converter = entry.format if any(form.name == entry.format for form in FORMATS) else None
    return entry.to_dict() | {"size": entry.size, "converter": converter}


def leaf_facts(vault: "Vault") -> list[dict[str, Any]]:
    """Returns name, dtype, shape, role, codec and bytes a step of each leaf."""
    roles = {name: role for role, name in vars(vault.roles).items() if isinstance(name, str)}
    return [
        {
            "name": leaf.name,
            "dtype": str(leaf.dtype),
            "shape": list(leaf.shape),
            "role": roles.get(leaf.name),
            "codec": leaf.codec,
            "bytes_a_step": leaf.row_bytes,
            "final_rows": leaf.name in vault.schema.finals,
        }
        for leaf in vault.schema.leaves
    ]


def episode_summary(table: "EpisodeTable") -> dict[str, Any]:
    """Returns how the episodes ended, and the spread of their returns and lengths.

    Returns:
      `terminated`, `truncated`, `cut`, `final_known`: numbers of episodes. `return`, `length` (in
      steps): `min median mean max` each, None without episodes or rewards. A return with an entry
      an agent is summed over them.
    """
    ended = table["terminated"] | table["truncated"]
    returns = table["return"]
    returns = returns.sum(axis=tuple(range(1, returns.ndim)))
    return {
        "terminated": int(table["terminated"].sum()),
        "truncated": int(table["truncated"].sum()),
        "cut": int((~ended).sum()),
        "final_known": int(table["final_known"].sum()),
        "return": _spread(returns),
        "length": _spread(table["length"]),
    }


def episode_rows(table: "EpisodeTable", count: int) -> list[dict[str, Any]]:
    """Returns the first `count` rows of the episode table, attributes included."""
    rows = range(min(count, len(table)))
    columns = {name: table[name] for name in table.columns}
    return [
        {name: plain(column[row]) for name, column in columns.items()} | {"attributes": table.attributes(row)}
        for row in rows
    ]


def step_rows(vault: "Vault", count: int) -> list[dict[str, Any]]:
    """Returns the first `count` steps of the first stream, one value a leaf."""
    stop = min(count, vault.length)
    leaves: Mapping[str, Any] = vault.read_numpy(
        start=0, stop=stop, streams=slice(0, 1), leaves=list(vault.leaves)
    )
    return [
        {"step": time} | {name: plain(leaf[0, time]) for name, leaf in leaves.items()} for time in range(stop)
    ]


def stats_rows(described: "Mapping[str, LeafStats]") -> list[dict[str, Any]]:
    """Returns one row a described value: which one, mean, spread, range and three quantiles.

    Args:
      described: by leaf, as `Vault.stats` gives it.

    Example:
      >>> from strongbax.vault.view import example
      >>> rows = stats_rows(example(lengths=[5, 3]).stats(leaves=["reward"]))
      >>> [(row["leaf"], row["count"], row["mean"]) for row in rows]
      [('reward', 8, 1.0)]
    """
    return [
        {"leaf": f"{name}[{place}]" if found.count.ndim else name} | _stats_row(found, place)
        for name, found in described.items()
        for place in range(found.count.size)
    ]


def _stats_row(found: "LeafStats", place: int) -> dict[str, Any]:
    def value(array: Any) -> Any:
        return plain(np.ravel(array)[place])

    names = ("count", "nan", "mean", "std", "min")
    shown = {f"{q:.0%}": value(values) for q, values in found.quantiles.items() if q in _SHOWN_QUANTILES}
    return {name: value(getattr(found, name)) for name in names} | shown | {"max": value(found.max)}


def _spread(values: Any) -> dict[str, float] | None:
    if not len(values) or not np.isfinite(values).any():
        return None
    measures = {"min": np.min, "median": np.median, "mean": np.mean, "max": np.max}
    return {name: float(measure(values)) for name, measure in measures.items()}
