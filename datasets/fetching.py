"""The command that fetches: `strongbax fetch`; `add_to` gives it to the command line."""

from pathlib import Path
from typing import Annotated

import typer

from . import completing, console
from .arguments import Json


def add_to(app: typer.Typer) -> None:
    """Gives a command line the commands of this file."""
    app.command("fetch")(fetch)
    app.command("download", hidden=True)(fetch)  # as Minari calls it


def fetch(
    name: Annotated[
        str,
        typer.Argument(metavar="ID", help="Id or alias of a dataset.", autocompletion=completing.datasets),
    ],
    *,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Cache; not given: STRONGBAX_DATASETS_PATH, or ~/.strongbax/datasets.",
        ),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Folder that has the dataset's files, tried first; may be repeated."
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask nobody for anything.")] = False,
    json: Json = False,
) -> None:
    """Fetches a dataset into the cache, as a verified vault, unless it is there already.

    What was downloaded when it is stopped is not downloaded again.

    Example: strongbax fetch D4RL/hopper/medium-v2
    """
    from . import facts
    from .cache import fetch_dataset

    with console.stages(f"Fetching {name}") as progress:
        path = fetch_dataset(
            name, folder=folder, offline=offline, mirrors=tuple(mirror or ()), progress=progress
        )
    line = {name: fact for name, fact in facts.vault_line(path).items() if name != "problem"}
    if json:
        console.print_json(line)
    else:
        console.print_rows([line | {"bytes": console.show_bytes(line["bytes"])}])
