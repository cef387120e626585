"""The command that describes: `strongbax describe`; `add_to` gives it to the command line."""

from pathlib import Path
from typing import Annotated

import typer

from . import console
from .arguments import Json, VaultFolder
from .converting import parse_options

MISSING = 1  # exit code: the card lacks what a published dataset must have


def add_to(app: typer.Typer) -> None:
    """Gives a command line the commands of this file."""
    app.command("describe")(describe)


def describe(
    path: VaultFolder,
    *,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Fact to write into the card; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="README to write; else it is printed.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="End with 1 if something is missing that publishing needs.")
    ] = False,
    json: Json = False,
) -> None:
    """Shows the card of a vault as the README of a dataset, having written into it what is given.

    Example: strongbax describe hopper.vault --set licence=CC0-1.0 --set author='["Ada"]'
    """
    from ..vault import Vault
    from .card import Card
    from .readme import readme

    new = parse_options(set_ or (), "--set")
    with Vault.open(path, mode="a" if new else "r") as vault:
        facts = Card.from_dict(vault.card | new)
        if new:
            vault.write_card(facts.to_dict())
        text = readme(vault)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    if json:
        console.print_json({"card": facts.to_dict(), "missing": facts.missing()})
    elif out is None:
        for line in text.splitlines():
            console.print_line(line)
    if check and facts.missing():
        for name in facts.missing():
            console.print_error(f"The card has no `{name}`: a dataset is not published without one.")
        raise typer.Exit(MISSING)
