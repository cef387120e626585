"""The command that shows a vault in a browser: `strongbax view`; `add_to` gives it to the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console
from .arguments import VaultPath

if TYPE_CHECKING:
    from ..vault.location import Location


def add_to(app: typer.Typer) -> None:
    """Gives a command line the commands of this file."""
    app.command("view")(view)


def view(
    path: VaultPath,
    *,
    port: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, max=65535, help="Port to listen at; 0: one that is free.")
    ] = 0,
    browse: Annotated[
        bool, typer.Option("--open/--no-open", help="Open a browser, or only print the address.")
    ] = True,
) -> None:
    """Shows a vault in a browser, until Ctrl-C: card, episodes, series and pictures.

    Nobody but this machine can reach the page. Of a vault that is being written the sealed part is shown.

    Example: strongbax view hopper.vault --no-open
    """
    import webbrowser

    from .serving import make_server, url_of

    folder = _folder(path)
    with make_server(folder, port) as server:
        url = url_of(server)
        console.print_line(f"{path} is shown at {url} until Ctrl-C.")
        if browse:
            webbrowser.open(url)
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            console.print_line("Stopped.")


def _folder(path: "Location") -> Path:
    """Says at once what the page would say."""
    from ..vault.errors import NotFoundError
    from .local import is_vault

    if not isinstance(path, Path):
        raise ValueError(  # noqa: TRY004 - a URL is a place too: the value is wrong, not its type
            f"`PATH` must be a folder: got {str(path)!r}. Open the page that lies beside a published vault "
            "in a browser, or copy the vault here."
        )
    if not is_vault(path):
        raise NotFoundError(f"There is no vault at {str(path)!r}. Check the path; a vault has a zarr.json.")
    return path
