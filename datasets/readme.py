"""A dataset's README: its card and its numbers, for people; its header is what Hugging Face's Hub reads."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .card import Card
from .console import show
from .facts import episode_summary, leaf_facts

if TYPE_CHECKING:
    from ..vault import Vault

# What the Hub names as we do but for the case; any other licence is "other" there, with its name.
_HUB_LICENCES = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "cc0-1.0", "cc-by-4.0"),
    *("cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "odc-by", "odbl", "pddl"),
)
_SIZES = (
    *(("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6)),
    *(("1M<n<10M", 10**7), ("10M<n<100M", 10**8), ("100M<n<1B", 10**9), ("1B<n<10B", 10**10)),
)


def readme(vault: "Vault", *, table: str | None = None) -> str:
    """Returns the README.md of a vault: Markdown, after a YAML header for Hugging Face's Hub.

    Args:
      vault: open; its card is what is told.
      table: Parquet file of the episode table beside it, which the Hub shows.

    Raises:
      ValueError: if a field of its card is not what it should be.

    Example:
      >>> import numpy as np
      >>> from ..vault import Vault
      >>> with Vault.create("toy.vault", steps={"observation": np.zeros(3, np.float32)}) as vault:
      ...     vault.write_card({"dataset_id": "toy/walk-v0", "licence": "MIT"})
      ...     print(readme(vault).splitlines()[1], "...", readme(vault).splitlines()[8])
      license: "mit" ... # toy/walk-v0
    """
    card = Card.from_dict(vault.card)
    title = card.dataset_id or "A dataset without a name"
    parts = [
        header(card, vault.num_steps, table),
        f"# {title}",
        card.description or "",
        _table(("", ""), _about(card, vault)),
        "## Steps\n\n" + _leaves(vault),
        _episodes(vault),
        _baselines(card),
        _use(card),
        f"## Citation\n\n{card.citation}" if card.citation else "",
        _origin(card),
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def header(card: Card, steps: int, table: str | None = None) -> str:
    """Returns the YAML header.

    Args:
      card: of the dataset.
      steps: that it has.
      table: Parquet file of the episode table beside it, or None.

    Example:
      >>> print(header(Card("toy/walk-v0", licence="CC-BY-4.0"), 5000))
      ---
      license: "cc-by-4.0"
      pretty_name: "toy/walk-v0"
      task_categories: ["reinforcement-learning"]
      tags: ["offline-rl", "zarr", "strongbax"]
      size_categories: ["1K<n<10K"]
      ---
    """
    licence = (card.licence or "unknown").lower()
    on_hub = licence in _HUB_LICENCES or card.licence is None
    facts: dict[str, Any] = {"license": licence if on_hub else "other"}
    facts |= {} if on_hub else {"license_name": licence}
    facts |= {"pretty_name": card.dataset_id} if card.dataset_id else {}
    facts["task_categories"] = ["reinforcement-learning"]
    facts["tags"] = ["offline-rl", "zarr", "strongbax"]
    facts["size_categories"] = [next((name for name, most in _SIZES if steps < most), "10B<n<100B")]
    if table is not None:
        facts["configs"] = [{"config_name": "episodes", "data_files": table}]
    # JSON is YAML: whatever stands in a card, it cannot leave its quotes.
    lines = [f"{name}: {json.dumps(fact, ensure_ascii=False)}" for name, fact in facts.items()]
    return "\n".join(["---", *lines, "---"])


def _about(card: Card, vault: "Vault") -> list[tuple[str, Any]]:
    environment = card.env_spec or {}
    facts = {
        "environment": " ".join(str(environment[key]) for key in ("kind", "id") if key in environment),
        "steps": vault.num_steps,
        "episodes": vault.num_episodes,
        "streams": vault.streams,
        "horizon": card.horizon,
        "algorithm": card.algorithm_name,
        "authors": ", ".join(card.author),
        "contact": ", ".join(card.author_email),
        "code": card.code_permalink,
        "needs": ", ".join(card.requirements),
        "score of a random policy": card.ref_min_score,
        "score of an expert": card.ref_max_score,
        "licence": card.licence,
    }
    return [(name, fact) for name, fact in facts.items() if fact not in (None, "")]


def _leaves(vault: "Vault") -> str:
    names = ("name", "dtype", "shape", "role")
    rows = [[str(leaf["shape"]) if n == "shape" else leaf[n] for n in names] for leaf in leaf_facts(vault)]
    return _table(("leaf", "dtype", "shape", "role"), rows)


def _episodes(vault: "Vault") -> str:
    summary = episode_summary(vault.episodes)
    measures = ("min", "median", "mean", "max")
    rows = [(name, *(summary[name][m] for m in measures)) for name in ("return", "length") if summary[name]]
    if not rows:
        return ""
    ends = ", ".join(f"{summary[name]:,} {name}" for name in ("terminated", "truncated", "cut"))
    return f"## Episodes\n\n{_table(('', *measures), rows)}\n\nTheir ends: {ends}."


def _baselines(card: Card) -> str:
    rows = [(one.name, one.score, one.source) for one in card.baselines]
    return "## Baselines\n\n" + _table(("algorithm", "return", "source"), rows) if rows else ""


def _use(card: Card) -> str:
    name = "".join(c for c in (card.dataset_id or "dataset").rpartition("/")[2] if c.isalnum() or c in "-_.")
    code = f'from strongbax import Vault\n\nwith Vault.open("{name}.vault") as vault:\n    first = vault[0]'
    return (
        "## Use\n\nA [Zarr](https://zarr.dev) group that any Zarr reader opens, and a Strongbax vault:\n\n"
        f"```python\n{code}\n```"
    )


def _origin(card: Card) -> str:
    origin = card.provenance or {}
    rows = [(name, origin[name]) for name in ("file", "url", "sha256", "converter") if origin.get(name)]
    return "## Made of\n\n" + _table(("", ""), rows) if rows else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, Mapping) else show(value)
    return " ".join(text.split()).replace("|", "\\|")
