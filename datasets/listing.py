"""The commands that list: `strongbax list remote` and `strongbax list local`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from . import console
from .arguments import Json


def add_to(app: typer.Typer) -> None:
    """Gives a command line the commands of this file."""
    group = typer.Typer(no_args_is_help=True, help="Lists datasets known by name, or local vaults.")
    group.command("remote")(list_remote)
    group.command("local")(list_local)
    app.add_typer(group, name="list")


def list_remote(
    text: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="Only datasets whose names contain this.")
    ] = "",
    json: Json = False,
) -> None:
    """Lists the datasets that are known by name.

    Example: strongbax list remote hopper
    """
    from .catalogue import entries

    found = [entry for entry in entries() if any(text in name for name in entry.names)]
    if json:
        console.print_json([entry.to_dict() for entry in found])
        return
    rows = [(e.id, console.show_bytes(e.size), e.horizon, e.licence) for e in found]
    console.print_table(("id", "size", "horizon", "licence"), rows)
    console.print_line(console.plural(len(found), "dataset"))


def list_local(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="Where to look; not given: STRONGBAX_DATASETS_PATH, or ~/.strongbax/datasets.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Lists the vaults below a folder.

    Example: strongbax list local .
    """
    from . import facts, local

    folder = local.datasets_path() if folder is None else local.existing(folder)
    with console.progress(f"Looking below {folder}") as progress:
        paths = local.find_vaults(folder)
        found: list[dict[str, Any]] = []
        for path in paths:
            found.append(facts.vault_line(path))
            progress(len(found), len(paths))
    if json:
        console.print_json(found)
        return
    console.print_rows([row | {"bytes": console.show_bytes(row["bytes"])} for row in found])
    console.print_line(f"{console.plural(len(found), 'vault')} below {folder}")
