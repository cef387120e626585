"""The command that publishes: `strongbax publish`; `add_to` gives it to the command line."""

from pathlib import Path
from typing import Annotated

import typer

from . import console
from .arguments import Json, VaultPath, storage_of


def add_to(app: typer.Typer) -> None:
    """Gives a command line the commands of this file."""
    app.command("publish")(publish)
    app.command("upload", hidden=True)(publish)  # as Minari calls it


def publish(
    path: VaultPath,
    destination: Annotated[
        str,
        typer.Argument(metavar="DEST", help="Folder, or s3://bucket/place, gs://…, hf://user/name."),
    ],
    *,
    tag: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of this publication for ever; not in a folder.")
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Publish only if this number or commit is still the newest."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository on the Hub private.")
    ] = False,
    as_it_is: Annotated[
        bool, typer.Option("--as-it-is", help="Publish the vault's own files, not packed anew.")
    ] = False,
    table: Annotated[
        bool, typer.Option("--table/--no-table", help="Put episodes.parquet beside it, or not.")
    ] = True,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="Put the page index.html beside it, or not.")
    ] = True,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Field that may hold what looks secret; may be repeated."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another dataset that stands at DEST.")
    ] = False,
    json: Json = False,
) -> None:
    """Publishes a vault: packed, with a README, a page, a table of episodes, and hashes of all files.

    Its card must name id, licence and citation, and nothing in it may look like a secret. Whoever looks at
    DEST meanwhile, or after a kill, finds what was there before or all of the new one.

    Example: strongbax publish hopper.vault published/hopper

    Example: strongbax publish hopper.vault hf://user/hopper --tag v1.0
    """
    from .publish import publish as publish_vault

    with console.stages(f"Publishing {Path(str(path)).name}") as progress:
        done = publish_vault(
            path,
            destination,
            pack=not as_it_is,
            table=table,
            page=page,
            tag=tag,
            parent=parent,
            storage=storage_of(destination) or ({"private": True} if private else None),
            allow=tuple(allow or ()),
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        console.print_json(vars(done))
    else:
        shown = vars(done) | {"size": console.show_bytes(done.size), "sent": console.show_bytes(done.sent)}
        console.print_facts(shown, "Published")
