"""The sheet of a vault or a dataset: its facts as a person reads them in a terminal."""

from collections.abc import Mapping
from typing import Any

from . import console


def print_vault(facts: Mapping[str, Any]) -> None:
    """Writes the facts of a vault.

    Args:
      facts: of `strongbax.datasets.facts.vault_facts`.
    """
    summary = facts["summary"]
    ends = ("terminated", "truncated", "cut", "final_known")
    counts = {name: facts[name] for name in ("streams", "steps", "episodes", "open_episodes")}
    shown = {"path": facts["path"], **counts}
    if facts["bytes"] is not None:
        shown["size on disk"] = f"{console.show_bytes(facts['bytes'])} in {facts['files']} files"
    console.print_facts(shown)
    if facts["gaps"]:
        console.print_rows(facts["gaps"], "Gaps: where the next row is not the next step")
    leaves = [leaf | {"shape": str(leaf["shape"])} for leaf in facts["leaves"]]
    console.print_rows(leaves, "Leaves")
    console.print_facts({name: summary[name] for name in ends}, "Ends of episodes")
    spread = [{"": name} | summary[name] for name in ("return", "length") if summary[name]]
    if spread:
        console.print_rows(spread, "Episodes")
    for part, shown in (("attributes", facts["attributes"]), ("card", short_card(facts["card"]))):
        if shown:
            console.print_facts(shown, part.capitalize())


def short_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a card without what only a program compares: hashes, and each key of the source.

    Example:
      >>> short_card({"licence": "CC0-1.0", "check": {"num_steps": 5, "sha256": {"reward": "6c3f"}}})
      {'licence': 'CC0-1.0', 'check': {'num_steps': 5}}
    """
    left_out = {"check": ("sha256", "final_sha256"), "provenance": ("source",)}
    return {
        name: {key: item for key, item in value.items() if key not in left_out.get(name, ())}
        if isinstance(value, Mapping)
        else value
        for name, value in card.items()
        if name != "stats"
    }


def print_conversion(facts: Mapping[str, Any]) -> None:
    """Writes what a conversion did.

    Args:
      facts: `source`, and the fields of `strongbax.converters.ConversionReport`.
    """
    hidden = ("sha256", "notes", "skipped")
    leaves = console.plural(len(facts["sha256"]), "leaf").replace("leafs", "leaves")
    shown = {name: value for name, value in facts.items() if name not in hidden}
    console.print_facts(shown | {"checked": f"{leaves}, equal to the source"})
    for note in facts["notes"]:
        console.print_line(f"Note: {note}")
    for one in facts["skipped"]:
        units = f"{one['count']} from number {one['unit']} on" if "unit" in one else one["file"]
        console.print_line(f"Left out, {units}: {one['why']}")


def print_rank(facts: Mapping[str, Any]) -> None:
    """Writes what one rank of a conversion did.

    Args:
      facts: `source`, `target`, and the fields of `strongbax.converters.RankReport`.
    """
    console.print_facts(facts)
    if not facts["missing"]:
        console.print_line(
            f"All is written: `strongbax convert {facts['source']} {facts['target']}` finishes."
        )


def print_export(facts: Mapping[str, Any]) -> None:
    """Writes what an export did.

    Args:
      facts: `source`, and the fields of `strongbax.converters.ExportReport`.
    """
    shown = {name: value for name, value in facts.items() if name != "notes"}
    console.print_facts(shown | {"checked": "read back, equal to the vault"})
    for note in facts["notes"]:
        console.print_line(f"Note: {note}")


def print_dataset(facts: Mapping[str, Any]) -> None:
    """Writes what the catalogue knows about a dataset.

    Args:
      facts: of `strongbax.datasets.facts.dataset_facts`.
    """
    shown = {name: fact for name, fact in facts.items() if name != "files"}
    shown |= {"size": console.show_bytes(facts["size"]), "converter": facts["converter"] or "none yet"}
    console.print_facts(shown)
    rows = [file | {"urls": " ".join(file["urls"])} for file in facts["files"]]
    names = ("path", "size", "sha256", "md5", "urls")
    console.print_rows([{name: row.get(name) for name in names} for row in rows], "Files")
