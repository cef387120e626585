"""The command that fetches: `strongbax fetch`; `add_to` gives it to the command line."""

from pathlib import Path
from typing import Annotated

import typer

from . import completing, console
from .arguments import Json, storage_of


def add_to(app: typer.Typer) -> None:
    """Gives a command line the commands of this file."""
    app.command("fetch")(fetch)
    app.command("download", hidden=True)(fetch)  # as Minari calls it


def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID|SOURCE",
            help="Id or alias of a dataset; or where one is published: folder, s3://, gs://, https://, hf://.",
            autocompletion=completing.datasets,
        ),
    ],
    destination: Annotated[
        Path | None,
        typer.Argument(metavar="[DEST]", help="Folder for what is published; not given: the cache."),
    ] = None,
    *,
    leaves: Annotated[
        str | None, typer.Option(metavar="NAME,NAME,...", help="Only these leaves of what is published.")
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Only the README and the table of episodes.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another publication that stands at DEST.")
    ] = False,
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
    """Fetches a dataset, as a verified vault, unless it is there already.

    What was downloaded when it is stopped is not downloaded again. Of what is published every byte is
    compared; SOURCE@REVISION is an older one.

    Example: strongbax fetch D4RL/hopper/medium-v2

    Example: strongbax fetch hf://user/hopper@v1.0 hopper.vault --leaves observation,action
    """
    from . import facts

    _check_destination(name, destination, part=leaves is not None or card)
    with console.stages(f"Fetching {name}") as progress:
        if destination is not None:
            from .fetch import fetch as fetch_publication

            path = fetch_publication(
                name,
                destination,
                leaves=None if leaves is None else [leaf for leaf in leaves.split(",") if leaf],
                card=card,
                overwrite=overwrite,
                storage=storage_of(name),
                progress=progress,
            )
        else:
            from .cache import fetch_dataset

            path = fetch_dataset(
                name,
                folder=folder,
                offline=offline,
                mirrors=tuple(mirror or ()),
                storage=storage_of(name),
                progress=progress,
            )
    if card:
        console.print_json({"path": str(path)}) if json else console.print_line(str(path))
        return
    line = {name: fact for name, fact in facts.vault_line(path).items() if name != "problem"}
    if json:
        console.print_json(line)
    else:
        console.print_rows([line | {"bytes": console.show_bytes(line["bytes"])}])


def _check_destination(name: str, destination: Path | None, *, part: bool) -> None:
    """Checks that a place is given where one is needed, and only there."""
    from .catalogue import known

    folder = "://" not in name and Path(name).is_dir()
    if destination is not None and known(name) is not None and not folder:
        raise ValueError(
            f"DEST is for what is published at an address: {name} goes into the cache. Leave DEST out."
        )
    if destination is None and (part or folder):
        raise ValueError("DEST must say where to put it: the cache holds whole datasets from elsewhere.")
